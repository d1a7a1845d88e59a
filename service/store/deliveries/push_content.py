"""The content of a push: the event and the revision it is about, read once for all the endpoints that get it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.database.record import Record
from service.store.database.sql import Query


class PushContent(NamedTuple):
    """An event and its revision. `content` is the canonical content of exactly this revision, a JSON object."""

    event: str
    type: str
    occurred_at: datetime
    article: str
    revision: int
    status: str
    content: str
    first_published_at: datetime


class _PushContentRow(NamedTuple):
    event_id: int
    event: str
    type: str
    occurred_at: datetime
    article: str
    revision: int
    status: str
    content: str
    first_published_at: datetime


_CONTENTS = Query(
    _PushContentRow,
    """SELECT v.id, v.public_id, v.type, v.occurred_at, a.public_id, r.number, r.status, r.content, a.first_published_at
    FROM event v JOIN article a ON a.id = v.article_id
        JOIN revision r ON r.article_id = v.article_id AND r.number = v.revision
    WHERE v.id IN :ids[]""",
)


def push_contents(record: Record, event_ids: Iterable[int]) -> dict[int, PushContent]:
    """Events by their row ids."""
    with record.reading() as connection:
        return push_contents_within(connection, event_ids)


def push_contents_within(connection: Connection, event_ids: Iterable[int]) -> dict[int, PushContent]:
    """`push_contents` in the caller's transaction."""
    rows = _CONTENTS.all(connection, ids=list(event_ids))
    return {row.event_id: PushContent(*row[1:]) for row in rows}
