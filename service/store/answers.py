"""What sources were told: the first answer to an idempotency key is kept, and given again word for word."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from service.store.errors import KeyReused
from service.store.schema import answer


@dataclass(frozen=True)
class Answer:
    """What a source is told: `outcome` is accepted, repeat or stale."""

    article: str
    revision: int
    event: str
    type: str
    outcome: str


_GIVEN = select(answer.c.body_hash, answer.c.body).where(
    answer.c.source_id == bindparam("source"), answer.c.key == bindparam("its_key")
)
_KEEP = answer.insert()


def given(connection: Connection, source_id: int, key: str, body_hash: str) -> Answer | None:
    """The answer that the key got before, if it did. Raises KeyReused when that was for another body."""
    row = connection.execute(_GIVEN, {"source": source_id, "its_key": key}).one_or_none()
    if row is None:
        return None
    if row.body_hash != body_hash:
        raise KeyReused(key)
    return Answer(**json.loads(row.body))


def keep(
    connection: Connection, source_id: int, key: str, body_hash: str, told: Answer, now: datetime
) -> None:
    """In the transaction of what is answered for."""
    values = {"source_id": source_id, "key": key, "body_hash": body_hash, "given_at": now}
    connection.execute(_KEEP, {**values, "body": json.dumps(asdict(told))})
