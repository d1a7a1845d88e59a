"""Attempts: one row for each HTTP try of a delivery, append-only. The only module that writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from service.store.database.sql import Statement, insert
from service.store.schema.deliveries import attempt

# What a settlement says of an attempt, with PostgreSQL's types.
MEASURED = {
    "started_at": "bigint",
    "outcome": "text",
    "status": "integer",
    "words": "text",
    "lookup_ms": "float8",
    "connect_ms": "float8",
    "tls_ms": "float8",
    "first_byte_ms": "float8",
    "total_ms": "float8",
    "address": "text",
    "response_headers": "text",
    "response_body": "text",  # in JSON: base64
}
_COLUMNS = ("delivery_id", "number", "worker", *MEASURED)
_WRITE = insert(attempt, " ".join(_COLUMNS))
_WRITE_LOST = Statement("""
    INSERT INTO attempt (delivery_id, number, started_at, outcome, words, worker)
    VALUES (:id, :attempts, :now, 'lost', 'the worker ended while sending; it may have arrived', :worker)""")


def write(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Rows with all columns of the table but its id."""
    _WRITE.run_all(connection, rows)


def write_lost(connection: Connection, delivery_id: int, number: int, worker: str, now: datetime) -> None:
    """An attempt that its worker did not live to report."""
    _WRITE_LOST.run(connection, {"id": delivery_id, "attempts": number, "worker": worker, "now": now})


def writing_settled(settled: str, lease: str) -> str:
    """PostgreSQL: the same as a part of a larger statement. `settled` names a query's rows: those of the JSON, `v`."""
    own = {"delivery_id": "v.id", "number": "v.attempts", "worker": lease}
    own["response_body"] = "decode(v.response_body, 'base64')"
    values = ", ".join(own.get(name, f"v.{name}") for name in _COLUMNS)
    return f"INSERT INTO attempt ({', '.join(_COLUMNS)}) SELECT {values} FROM {settled}"
