"""The line that an act leaves in the audit, in the act's own transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from service.store import audit


@dataclass(frozen=True)
class AuditLine:
    """A line of the audit that is still to be written: who acts, and when."""

    actor: str
    now: datetime

    def write(self, connection: Connection, action: str, target: str | int, **detail: Any) -> None:
        audit.note(
            connection, actor=self.actor, action=action, target=str(target), detail=detail, now=self.now
        )
