"""Who did what, when: operators' actions, and what the system did or refused of its own. Append-only."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from service.store.schema.operations import audit


def note(
    connection: Connection, *, actor: str, action: str, target: str, detail: dict[str, Any], now: datetime
) -> None:
    """One row, in the caller's transaction: what is done and the note of it commit together. No secrets."""
    connection.execute(
        audit.insert(),
        {"at": now, "actor": actor, "action": action, "target": target, "detail": json.dumps(detail)},
    )
