"""The audit: each act of an operator, and each act or refusal of the system itself. Append-only."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from service.store.schema.operations import audit


def note(
    connection: Connection, *, actor: str, action: str, target: str, detail: dict[str, Any], now: datetime
) -> None:
    """Writes one row in the caller's transaction: an act and its note commit together. No secrets."""
    connection.execute(
        audit.insert(),
        {"at": now, "actor": actor, "action": action, "target": target, "detail": json.dumps(detail)},
    )
