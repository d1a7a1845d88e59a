"""How the desk stands now: partners, pipeline, latest events. Read-only, for the status page and the signals.

Nothing here reads the settled past: backlog, what is on the wire and what was given up each have an index of
their own, and the latest events are read from the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select, text

from service.store.database.record import Record
from service.store.deliveries.claims import LEASE
from service.store.schema.base import (
    delivery,
    endpoint,
    from_micros,
    partner,
    section,
    subscription,
    to_micros,
)
from service.store.views.feeds import FeedNow, read_feeds


@dataclass(frozen=True)
class EndpointNow:
    """An endpoint and what waits there.

    `backlog` counts what could be sent; `scheduled` what waits for its embargo; `retrying` those of the backlog
    that failed at least once. `oldest_since`: since when the oldest of the backlog could have been sent. `due_since`:
    the earliest time anything of it was or is due. `given_up`: dead deliveries; `missing`: those of them that no
    newer delivery of the same article has made up for.
    """

    id: int
    url: str
    state: str
    state_reason: str | None
    state_since: datetime
    breaker: str
    breaker_until: datetime | None
    not_before: datetime | None
    failures: int
    max_in_flight: int
    every_revision: bool
    sections: tuple[str, ...] | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_failure: str | None
    failing_since: datetime | None
    backlog: int = 0
    scheduled: int = 0
    retrying: int = 0
    in_flight: int = 0
    given_up: int = 0
    missing: int = 0
    oldest_since: datetime | None = None
    due_since: datetime | None = None


@dataclass(frozen=True)
class PartnerNow:
    """`feeds` are its own, revoked ones too."""

    slug: str
    name: str
    endpoints: tuple[EndpointNow, ...]
    feeds: tuple[FeedNow, ...] = ()


@dataclass(frozen=True)
class WorkerNow:
    """`broker`: 'up', or in words why this worker cannot use Redis."""

    name: str
    started_at: datetime
    seen_at: datetime
    broker: str


@dataclass(frozen=True)
class PipelineNow:
    """`feeds_behind`: feeds that are asked for and not built yet, with the moment of the latest such wish.

    `swept_at`: the last sign of life of the worker that sweeps. `leased_since`: when the oldest delivery on the
    wire was claimed.
    """

    workers: tuple[WorkerNow, ...]
    unrouted: int
    unrouted_since: datetime | None
    feeds: int
    feeds_behind: Mapping[str, datetime]
    swept_at: datetime | None
    leased_since: datetime | None


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


def partners_now(record: Record, now: datetime, slug: str | None = None) -> list[PartnerNow]:
    """All partners in the order they were added, or only the one of this name."""
    wanted = select(partner.c.id, partner.c.slug, partner.c.name).order_by(partner.c.id)
    if slug is not None:
        wanted = wanted.where(partner.c.slug == slug)
    with record.surveying() as connection:
        known = connection.execute(wanted).all()
        ids = [each.id for each in known] if slug is not None else None
        found = _endpoints(connection, now, ids)
        feeds = read_feeds(connection, ids)
    return [
        PartnerNow(
            each.slug,
            each.name,
            tuple(one for owner, one in found if owner == each.id),
            tuple(one for one in feeds if one.partner_id == each.id),
        )
        for each in known
    ]


_ENDPOINT_COLUMNS = (
    "id",
    "url",
    "state",
    "state_reason",
    "state_since",
    "breaker",
    "breaker_until",
    "not_before",
    "failures",
    "max_in_flight",
    "every_revision",
    "last_success_at",
    "last_failure_at",
    "last_failure",
    "failing_since",
)


def _endpoints(
    connection: Connection, now: datetime, partner_ids: Sequence[int] | None
) -> list[tuple[int, EndpointNow]]:
    query = select(endpoint.c.partner_id, *(endpoint.c[name] for name in _ENDPOINT_COLUMNS)).order_by(
        endpoint.c.id
    )
    if partner_ids is not None:
        query = query.where(endpoint.c.partner_id.in_(partner_ids))
    rows = connection.execute(query).mappings().all()
    ids = [row["id"] for row in rows]
    wanted = _sections(connection)
    counts = _counts(connection, now, ids)
    return [(row["partner_id"], _endpoint(row, wanted, counts.get(row["id"], {}))) for row in rows]


def _endpoint(row: RowMapping, wanted: Mapping[int, list[str]], counts: Mapping[str, Any]) -> EndpointNow:
    columns = {name: row[name] for name in _ENDPOINT_COLUMNS}
    chosen = wanted.get(row["id"])
    return EndpointNow(**columns, sections=None if chosen is None else tuple(chosen), **counts)


def _sections(connection: Connection) -> dict[int, list[str]]:
    """The sections of each endpoint that does not want them all."""
    some = select(endpoint.c.id).where(~endpoint.c.all_sections)
    wanted: dict[int, list[str]] = {each: [] for each in connection.execute(some).scalars()}
    pairs = select(subscription.c.endpoint_id, section.c.slug).join(section).order_by(section.c.id)
    for endpoint_id, slug in connection.execute(pairs):
        wanted.setdefault(endpoint_id, []).append(slug)
    return wanted


# Per endpoint, so that each count is a range of its index. What waits for an embargo is not late; once the embargo
# is over, it is late since then and not since it was accepted. Only articles with an embargo are joined: they are few
# and have an index of their own, where all articles would be read from end to end.
_WAITING = text("""
    SELECT w.endpoint_id, count(*) AS waiting, sum(w.scheduled) AS scheduled, sum(w.retrying) AS retrying,
        min(CASE WHEN w.scheduled = 0 THEN w.since END) AS oldest_since, min(w.due_at) AS due_since
    FROM (SELECT d.endpoint_id, d.due_at,
            CASE WHEN d.state = 'pending' AND d.due_at > :now THEN 1 ELSE 0 END AS scheduled,
            CASE WHEN d.state = 'waiting' THEN 1 ELSE 0 END AS retrying,
            CASE WHEN a.embargo_until > d.created_at THEN a.embargo_until ELSE d.created_at END AS since
          FROM delivery d LEFT JOIN article a ON a.id = d.article_id AND a.embargo_until IS NOT NULL
          WHERE d.state IN ('pending', 'waiting')) w
    GROUP BY w.endpoint_id""")
_FLYING = text(
    "SELECT endpoint_id, count(*) AS in_flight FROM delivery WHERE state = 'sending' GROUP BY endpoint_id"
)
MADE_UP = (
    "EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = d.article_id AND o.endpoint_id = d.endpoint_id"
    " AND o.revision > d.revision)"
)
_DEAD = text(f"""
    SELECT d.endpoint_id, count(*) AS given_up, sum(CASE WHEN {MADE_UP} THEN 0 ELSE 1 END) AS missing
    FROM delivery d WHERE d.state = 'dead' GROUP BY d.endpoint_id""")


def _counts(connection: Connection, now: datetime, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    counts: dict[int, dict[str, Any]] = {each: {} for each in ids}
    for row in connection.execute(_WAITING, {"now": to_micros(now)}):
        counts.setdefault(row.endpoint_id, {}).update(
            backlog=int(row.waiting - row.scheduled),
            scheduled=int(row.scheduled),
            retrying=int(row.retrying),
            oldest_since=_moment(row.oldest_since),
            due_since=_moment(row.due_since),
        )
    for row in connection.execute(_FLYING):
        counts.setdefault(row.endpoint_id, {})["in_flight"] = row.in_flight
    for row in connection.execute(_DEAD):
        counts.setdefault(row.endpoint_id, {}).update(given_up=row.given_up, missing=int(row.missing))
    return counts


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(int(micros))


_PIPELINE = text("""
    SELECT (SELECT count(*) FROM event WHERE routed_at IS NULL) AS unrouted,
        (SELECT occurred_at FROM event WHERE routed_at IS NULL ORDER BY id LIMIT 1) AS unrouted_since,
        (SELECT count(*) FROM feed WHERE closed_at IS NULL) AS feeds,
        (SELECT w.seen_at FROM lease l JOIN worker w ON w.name = l.holder WHERE l.name = 'sweep') AS swept_at,
        (SELECT min(lease_until) FROM delivery WHERE state = 'sending') AS leased_until""")


def pipeline_now(record: Record) -> PipelineNow:
    """Workers (the latest seen first), events not routed, feeds not built, what is on the wire."""
    with record.surveying() as connection:
        row = connection.execute(_PIPELINE).one()
        behind = connection.execute(
            text("SELECT slug, wanted_at FROM feed WHERE wanted > built AND closed_at IS NULL ORDER BY slug")
        )
        workers = connection.execute(
            text("SELECT name, started_at, seen_at, broker FROM worker ORDER BY seen_at DESC, name")
        )
        leased_until = _moment(row.leased_until)
        return PipelineNow(
            workers=tuple(
                WorkerNow(each.name, from_micros(each.started_at), from_micros(each.seen_at), each.broker)
                for each in workers
            ),
            unrouted=row.unrouted,
            unrouted_since=_moment(row.unrouted_since),
            feeds=row.feeds,
            feeds_behind={each.slug: from_micros(each.wanted_at) for each in behind},
            swept_at=_moment(row.swept_at),
            leased_since=leased_until - LEASE if leased_until else None,
        )


def headline_of(record: Record) -> str:
    """The SQL of a revision's headline, without reading its body into this process."""
    return "json_extract(r.content, '$.headline')" if record.is_sqlite else "(r.content::json ->> 'headline')"


def language_of(record: Record) -> str:
    return "json_extract(r.content, '$.language')" if record.is_sqlite else "(r.content::json ->> 'language')"


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
    embargo = _moment(max(filter(None, (row.embargo_until, row.own_embargo)), default=None))
    held = embargo is not None and embargo > now
    return EventNow(
        id=row.public_id,
        type=row.type,
        revision=row.revision,
        occurred_at=from_micros(row.occurred_at),
        routed_at=_moment(row.routed_at),
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
