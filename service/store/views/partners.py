"""How the desk stands now: partners, pipeline, latest events. Read-only, for the status page and the signals.

Nothing here reads the settled past: backlog, what is on the wire and what was given up each have an index of
their own, and the latest events are read from the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, text

from service.store.database.record import Record
from service.store.schema.articles import section
from service.store.schema.base import from_micros, to_micros
from service.store.schema.partners import endpoint, partner, subscription
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
            oldest_since=moment(row.oldest_since),
            due_since=moment(row.due_since),
        )
    for row in connection.execute(_FLYING):
        counts.setdefault(row.endpoint_id, {})["in_flight"] = row.in_flight
    for row in connection.execute(_DEAD):
        counts.setdefault(row.endpoint_id, {}).update(given_up=row.given_up, missing=int(row.missing))
    return counts


def moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(int(micros))
