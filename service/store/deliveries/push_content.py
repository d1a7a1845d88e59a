"""What a push says: the event and the revision it is about, read once for all the endpoints that get it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.schema.base import from_micros


class Told(NamedTuple):
    """An event and its revision. `content` is the canonical content of exactly this revision, a JSON object."""

    event: str
    type: str
    occurred_at: datetime
    article: str
    revision: int
    status: str
    content: str
    first_published_at: datetime


def told(record: Record, event_ids: Iterable[int]) -> dict[int, Told]:
    """Events by their row ids."""
    with record.reading() as connection:
        return told_within(connection, event_ids)


def told_within(connection: Connection, event_ids: Iterable[int]) -> dict[int, Told]:
    """`told` in the caller's transaction."""
    return {
        number: Told(
            event=name,
            type=kind,
            occurred_at=from_micros(occurred),
            article=article,
            revision=revision,
            status=status,
            content=content,
            first_published_at=from_micros(first),
        )
        for number, name, kind, occurred, article, revision, status, content, first in _TOLD.rows(
            connection, ids=list(event_ids)
        )
    }


_TOLD = Statement("""
    SELECT v.id, v.public_id, v.type, v.occurred_at, a.public_id, r.number, r.status, r.content, a.first_published_at
    FROM event v JOIN article a ON a.id = v.article_id
        JOIN revision r ON r.article_id = v.article_id AND r.number = v.revision
    WHERE v.id IN :ids[]""")
