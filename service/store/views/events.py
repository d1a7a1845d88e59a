"""The latest events and their deliveries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from service.store.database.record import Record
from service.store.schema.deliveries import delivery
from service.store.views.columns import query


@dataclass(frozen=True)
class EventNow:
    """An event with how many of its deliveries are in which state. `headline` is None while under embargo."""

    id: str
    type: str
    revision: int
    occurred_at: datetime
    routed_at: datetime | None
    article: str
    status: str
    source: str
    embargo_until: datetime | None
    headline: str | None
    language: str | None
    deliveries: Mapping[str, int]


class _EventListRow(NamedTuple):
    id: str
    type: str
    revision: int
    occurred_at: datetime
    routed_at: datetime | None
    article_row: int
    article: str
    status: str
    source: str
    embargo_until: datetime | None
    own_embargo: datetime | None
    headline: str | None
    language: str | None


_LATEST = query(
    _EventListRow,
    """
    SELECT v.public_id, v.type, v.revision, v.occurred_at, v.routed_at, v.article_id, a.public_id, a.status,
        s.slug, a.embargo_until, r.embargo_until, {headline}, {language}
    FROM (SELECT * FROM event ORDER BY id DESC LIMIT :limit) v
    JOIN article a ON a.id = v.article_id JOIN source s ON s.id = a.source_id
    JOIN revision r ON r.article_id = v.article_id AND r.number = v.revision
    ORDER BY v.id DESC""",
)


def latest_events(record: Record, now: datetime, limit: int = 50) -> list[EventNow]:
    """The newest events first, each with its deliveries counted by state."""
    with record.surveying() as connection:
        rows = _LATEST.all(connection, limit=limit)
        counts = _deliveries_by_state(connection, {row.article_row for row in rows})
    return [_event(row, counts.get((row.article_row, row.revision), {}), now) for row in rows]


def _event(row: _EventListRow, deliveries: Mapping[str, int], now: datetime) -> EventNow:
    embargo = max(filter(None, (row.embargo_until, row.own_embargo)), default=None)
    secret = embargo is not None and embargo > now
    return EventNow(
        id=row.id,
        type=row.type,
        revision=row.revision,
        occurred_at=row.occurred_at,
        routed_at=row.routed_at,
        article=row.article,
        status=row.status,
        source=row.source,
        embargo_until=embargo,
        headline=None if secret else row.headline,
        language=row.language,
        deliveries=deliveries,
    )


def _deliveries_by_state(connection: Connection, articles: set[int]) -> dict[tuple[int, int], Counter[str]]:
    """By article's row and revision."""
    columns = (delivery.c.article_id, delivery.c.revision, delivery.c.state)
    rows = connection.execute(
        select(*columns, func.count()).where(delivery.c.article_id.in_(sorted(articles))).group_by(*columns)
    )
    counts: dict[tuple[int, int], Counter[str]] = {}
    for article_id, number, state, count in rows:
        counts.setdefault((article_id, number), Counter())[state] = count
    return counts
