"""What sources were told: the first answer to an idempotency key is kept, and given again word for word."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection

from service.store.database.sql import Statement, insert
from service.store.errors import KeyReused
from service.store.schema.articles import answer


@dataclass(frozen=True)
class Answer:
    """What a source is told: `outcome` is accepted, repeat or stale."""

    article: str
    revision: int
    event: str
    type: str
    outcome: str


_GIVEN = Statement("SELECT body_hash, body FROM answer WHERE source_id = :source AND key = :key")
_KEEP = insert(answer, "source_id key body_hash body given_at")


def given(connection: Connection, source_id: int, key: str, body_hash: str) -> Answer | None:
    """The answer that the key got before, if it did. Raises KeyReused when that was for another body."""
    row = _GIVEN.row(connection, source=source_id, key=key)
    if row is None:
        return None
    first_hash, first = row
    if first_hash != body_hash:
        raise KeyReused(key)
    return Answer(**json.loads(first))


def keep(
    connection: Connection, source_id: int, key: str, body_hash: str, told: Answer, now: datetime
) -> None:
    """In the transaction of what is answered for."""
    values = {"source_id": source_id, "key": key, "body_hash": body_hash, "given_at": now}
    _KEEP.run(connection, {**values, "body": json.dumps(asdict(told))})
