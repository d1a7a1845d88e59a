"""What a push says: the event and the revision it is about, read once for all the endpoints that get it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from service.store.record import Record
from service.store.schema import article, event, revision


@dataclass(frozen=True)
class Told:
    """An event and its revision. `content` is the canonical content of exactly this revision."""

    event: str
    type: str
    occurred_at: datetime
    article: str
    revision: int
    status: str
    content: dict[str, Any]
    first_published_at: datetime


def told(record: Record, event_ids: Iterable[int]) -> dict[int, Told]:
    """Events by their row ids."""
    with record.reading() as connection:
        return told_within(connection, event_ids)


def told_within(connection: Connection, event_ids: Iterable[int]) -> dict[int, Told]:
    """`told` in the caller's transaction."""
    query = (
        select(
            event.c.id,
            event.c.public_id,
            event.c.type,
            event.c.occurred_at,
            article.c.public_id.label("article"),
            revision.c.number,
            revision.c.status,
            revision.c.content,
            article.c.first_published_at,
        )
        .join(article, article.c.id == event.c.article_id)
        .join(
            revision, (revision.c.article_id == event.c.article_id) & (revision.c.number == event.c.revision)
        )
        .where(event.c.id.in_(list(event_ids)))
    )
    return {
        row.id: Told(
            event=row.public_id,
            type=row.type,
            occurred_at=row.occurred_at,
            article=row.article,
            revision=row.number,
            status=row.status,
            content=json.loads(row.content),
            first_published_at=row.first_published_at,
        )
        for row in connection.execute(query)
    }
