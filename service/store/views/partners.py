"""Partners and their endpoints as they stand now. Read-only.

Nothing here reads the settled past: backlog, what is on the wire and what was given up each have an index of
their own. Of one partner, nothing of the others is read. The figures are exact, so what all partners have is counted
whole: operators watch a backlog fall.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, RowMapping, select

from service.store import names
from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.schema.partners import endpoint, partner
from service.store.views.feeds import FeedNow, read_feeds
from service.store.views.thresholds import BEHIND_AFTER

EndpointRow = TypeVar("EndpointRow")


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

    @property
    def undelivered(self) -> int:
        """The deliveries that it should have and has not: waiting or on the wire."""
        return self.backlog + self.in_flight

    @property
    def is_failing(self) -> bool:
        return bool(self.failures or self.retrying)

    def is_slow(self, now: datetime) -> bool:
        return self.oldest_since is not None and now - self.oldest_since > BEHIND_AFTER


@dataclass(frozen=True)
class PartnerNow:
    """`feeds` are its own, revoked ones too."""

    slug: str
    name: str
    endpoints: tuple[EndpointNow, ...]
    feeds: tuple[FeedNow, ...] = ()

    @property
    def undelivered(self) -> int:
        return sum(each.undelivered for each in self.endpoints)

    @property
    def in_flight(self) -> int:
        return sum(each.in_flight for each in self.endpoints)

    @property
    def given_up(self) -> int:
        return sum(each.given_up for each in self.endpoints)

    @property
    def missing(self) -> int:
        return sum(each.missing for each in self.endpoints)

    @property
    def oldest_since(self) -> datetime | None:
        return min((each.oldest_since for each in self.endpoints if each.oldest_since), default=None)

    @property
    def last_success_at(self) -> datetime | None:
        return max((each.last_success_at for each in self.endpoints if each.last_success_at), default=None)

    @property
    def last_failed(self) -> EndpointNow | None:
        """The endpoint that failed last."""
        failed = [(each.last_failure_at, each.id, each) for each in self.endpoints if each.last_failure_at]
        return max(failed)[2] if failed else None

    @property
    def open_feeds(self) -> tuple[FeedNow, ...]:
        """Its own feeds, but for the revoked."""
        return tuple(each for each in self.feeds if each.revoked_at is None)

    @property
    def last_fetched_at(self) -> datetime | None:
        return max((each.fetched_at for each in self.open_feeds if each.fetched_at), default=None)

    def is_late(self, now: datetime) -> bool:
        """Something has waited for longer than a minute."""
        return any(each.is_slow(now) for each in self.endpoints)

    def is_behind(self, now: datetime) -> bool:
        """It is late, or something was given up and never made up for."""
        return self.is_late(now) or self.missing > 0


def partners_now(record: Record, now: datetime, slug: str | None = None) -> list[PartnerNow]:
    """All partners but the removed, in the order they were added; or only the one of this name, removed or not."""
    if slug is not None and not names.is_storable(slug):
        return []
    known = select(partner.c.id, partner.c.slug, partner.c.name).order_by(partner.c.id)
    known = known.where(partner.c.removed_at.is_(None) if slug is None else partner.c.slug == slug)
    with record.surveying() as connection:
        owners = connection.execute(known).all()
        ids = [each.id for each in owners] if slug is not None else None
        endpoints = _endpoints(connection, now, ids)
        feeds = read_feeds(connection, ids)
    feeds_of: dict[int, list[FeedNow]] = defaultdict(list)
    for one in feeds:
        feeds_of[one.partner_id].append(one)
    return [
        PartnerNow(each.slug, each.name, tuple(endpoints.get(each.id, ())), tuple(feeds_of[each.id]))
        for each in owners
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
) -> dict[int, list[EndpointNow]]:
    """By partner."""
    query = select(endpoint.c.partner_id, *(endpoint.c[name] for name in _ENDPOINT_COLUMNS)).order_by(
        endpoint.c.id
    )
    if partner_ids is not None:
        query = query.where(endpoint.c.partner_id.in_(partner_ids))
    rows = connection.execute(query).mappings().all()
    ids = None if partner_ids is None else [row["id"] for row in rows]
    sections, counts = _sections(connection, ids), _counts(connection, now, ids)
    by_partner: dict[int, list[EndpointNow]] = defaultdict(list)
    for row in rows:
        by_partner[row["partner_id"]].append(_endpoint(row, sections, counts.get(row["id"], {})))
    return by_partner


def _endpoint(row: RowMapping, sections: Mapping[int, list[str]], counts: Mapping[str, Any]) -> EndpointNow:
    columns = {name: row[name] for name in _ENDPOINT_COLUMNS}
    chosen = sections.get(row["id"])
    return EndpointNow(**columns, sections=None if chosen is None else tuple(chosen), **counts)


def _sections(connection: Connection, ids: Sequence[int] | None) -> dict[int, list[str]]:
    """The sections of each of these endpoints, or of all, that does not want them all."""
    chosen: dict[int, list[str]] = defaultdict(list)
    for each in _SECTIONS.all(connection, ids):
        chosen[each.endpoint_id] += [] if each.section is None else [each.section]
    return chosen


class _OfEndpoints(Generic[EndpointRow]):
    """A query of all endpoints, and the same of some, which reads nothing of the others. `{}` is where these are named,
    by the column `endpoint_id` of d."""

    def __init__(self, kind: Callable[..., EndpointRow], sql: str) -> None:
        self._of_all = Query(kind, sql.format(""))
        self._of_some = Query(kind, sql.format(" AND d.endpoint_id IN :ids[]"))

    def all(self, connection: Connection, ids: Sequence[int] | None, **values: Any) -> list[EndpointRow]:
        if ids is None:
            return self._of_all.all(connection, **values)
        return self._of_some.all(connection, ids=list(ids), **values)


class _Choice(NamedTuple):
    endpoint_id: int
    section: str | None  # None: it does not want them all


_SECTIONS = _OfEndpoints(
    _Choice,
    """
    SELECT c.endpoint_id, c.section FROM (
        SELECT d.endpoint_id, s.slug AS section, s.id AS place
        FROM (SELECT endpoint_id, section_id FROM subscription) d JOIN section s ON s.id = d.section_id WHERE true{0}
        UNION ALL SELECT d.endpoint_id, NULL, 0 FROM (SELECT id AS endpoint_id, all_sections FROM endpoint) d
        WHERE NOT d.all_sections{0}) c
    ORDER BY place""",
)


class _Backlog(NamedTuple):
    endpoint_id: int
    backlog: int
    scheduled: int
    retrying: int
    oldest_since: datetime | None
    due_since: datetime | None


class _OnTheWire(NamedTuple):
    endpoint_id: int
    in_flight: int


class _DeadCounts(NamedTuple):
    endpoint_id: int
    given_up: int
    missing: int


# Per endpoint, so that each count is a range of its index. What waits for an embargo is not late; once the embargo
# is over, it is late since then and not since it was accepted. Only articles with an embargo are joined: they are few
# and have an index of their own, where all articles would be read from end to end.
_BACKLOG = _OfEndpoints(
    _Backlog,
    """
    SELECT w.endpoint_id, sum(1 - w.scheduled), sum(w.scheduled), sum(w.retrying),
        min(CASE WHEN w.scheduled = 0 THEN w.since END), min(w.due_at)
    FROM (SELECT d.endpoint_id, d.due_at,
            CASE WHEN d.state = 'pending' AND d.due_at > :now THEN 1 ELSE 0 END AS scheduled,
            CASE WHEN d.state = 'waiting' THEN 1 ELSE 0 END AS retrying,
            CASE WHEN a.embargo_until > d.created_at THEN a.embargo_until ELSE d.created_at END AS since
          FROM delivery d LEFT JOIN article a ON a.id = d.article_id AND a.embargo_until IS NOT NULL
          WHERE d.state IN ('pending', 'waiting'){}) w
    GROUP BY w.endpoint_id""",
)
_ON_THE_WIRE = _OfEndpoints(
    _OnTheWire,
    "SELECT d.endpoint_id, count(*) FROM delivery d WHERE d.state = 'sending'{} GROUP BY d.endpoint_id",
)
MADE_UP = (
    "EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = d.article_id AND o.endpoint_id = d.endpoint_id"
    " AND o.revision > d.revision)"
)
_DEAD_COUNTS = _OfEndpoints(
    _DeadCounts,
    f"""
    SELECT d.endpoint_id, count(*), sum(CASE WHEN {MADE_UP} THEN 0 ELSE 1 END)
    FROM delivery d WHERE d.state = 'dead'{{}} GROUP BY d.endpoint_id""",
)


def _counts(connection: Connection, now: datetime, ids: Sequence[int] | None) -> dict[int, dict[str, Any]]:
    """By endpoint, for those fields of EndpointNow that count deliveries."""
    counts: dict[int, dict[str, Any]] = defaultdict(dict)
    rows: tuple[_Backlog | _OnTheWire | _DeadCounts, ...] = (
        *_BACKLOG.all(connection, ids, now=now),
        *_ON_THE_WIRE.all(connection, ids),
        *_DEAD_COUNTS.all(connection, ids),
    )
    for row in rows:
        facts = row._asdict()
        counts[facts.pop("endpoint_id")] |= facts
    return counts
