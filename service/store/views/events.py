"""The latest events and their deliveries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text

from service.store.database.record import Record
from service.store.schema.base import from_micros
from service.store.schema.deliveries import delivery
from service.store.views.columns import headline_of, language_of
from service.store.views.partners import moment


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


def latest_events(record: Record, now: datetime, limit: int = 50) -> list[EventNow]:
    """The newest events first, each with its deliveries counted by state."""
    query = text(f"""
        SELECT v.public_id, v.type, v.revision, v.occurred_at, v.routed_at, v.article_id, a.public_id AS article,
            a.status, a.embargo_until, s.slug AS source, r.embargo_until AS own_embargo,
            {headline_of(record)} AS headline, {language_of(record)} AS language
        FROM (SELECT * FROM event ORDER BY id DESC LIMIT :limit) v
        JOIN article a ON a.id = v.article_id JOIN source s ON s.id = a.source_id
        JOIN revision r ON r.article_id = v.article_id AND r.number = v.revision
        ORDER BY v.id DESC""")
    with record.surveying() as connection:
        rows = connection.execute(query, {"limit": limit}).all()
        counts = _deliveries_by_state(connection, {row.article_id for row in rows})
    return [_event(row, counts.get((row.article_id, row.revision), {}), now) for row in rows]


def _event(row: Any, deliveries: Mapping[str, int], now: datetime) -> EventNow:
    embargo = moment(max(filter(None, (row.embargo_until, row.own_embargo)), default=None))
    held = embargo is not None and embargo > now
    return EventNow(
        id=row.public_id,
        type=row.type,
        revision=row.revision,
        occurred_at=from_micros(row.occurred_at),
        routed_at=moment(row.routed_at),
        article=row.article,
        status=row.status,
        source=row.source,
        embargo_until=embargo,
        headline=None if held else row.headline,
        language=row.language,
        deliveries=deliveries,
    )


def _deliveries_by_state(connection: Connection, articles: set[int]) -> dict[tuple[int, int], Counter[str]]:
    query = (
        select(delivery.c.article_id, delivery.c.revision, delivery.c.state, func.count())
        .where(delivery.c.article_id.in_(sorted(articles)))
        .group_by(delivery.c.article_id, delivery.c.revision, delivery.c.state)
    )
    counts: dict[tuple[int, int], Counter[str]] = {}
    for article_id, number, state, count in connection.execute(query):
        counts.setdefault((article_id, number), Counter())[state] = count
    return counts
