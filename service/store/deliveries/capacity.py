"""Capacity: which endpoints have due work, and how much more of each a worker may claim.

It is read twice. At first without a lock, to see where there is work at all; then, on PostgreSQL, of the few endpoints
that something is claimed of, under their rows' locks, so that two workers cannot both use the same room. SQLite's
writer is alone, and what it reads first is the truth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.database.sql import Query
from service.store.deliveries import rates
from service.store.deliveries.rates import Bucket
from service.store.deliveries.states import UNSETTLED, Priority, State, in_states
from service.store.schema.base import MICROSECOND, to_micros

# No breaker and no Retry-After sets a wait longer than these: one that ends later was set by a clock that has been put
# back since, and is over. Otherwise an endpoint would be held for as long as the clock was wrong.
LONGEST_OPEN, LONGEST_HELD = timedelta(minutes=20), timedelta(hours=25)


class Lane(StrEnum):
    """Deliveries that are claimed apart from the others, with a cap of their own at each endpoint."""

    TAKEDOWNS = "takedowns"
    NEWS = "news"

    @property
    def priorities(self) -> tuple[Priority, ...]:
        if self is Lane.TAKEDOWNS:
            return (Priority.TAKEDOWN,)
        return (Priority.CORRECTION, Priority.NEWS, Priority.BACKFILL)


NOTHING_AHEAD: Mapping[int, int] = MappingProxyType({})


class Allowance(NamedTuple):
    """How much a worker may claim of an endpoint, by how its pushes went there.

    `ahead`: how many of an endpoint it may have in hand, beyond the cap on the wire, as long as no other worker has
    any. `proven`: the endpoints that this worker knows to answer soon, to which it sends several at once; None: all. To
    the others it sends one at a time, whatever other workers have in hand: one of those may stand still. Nothing is
    claimed of those that are closed.
    """

    ahead: Mapping[int, int] = NOTHING_AHEAD
    proven: Collection[int] | None = None
    closed_to_takedowns: Sequence[int] = ()
    closed_to_news: Sequence[int] = ()

    def most(self, row: _EndpointRow) -> int:
        """How many of the endpoint may be in hand at once, in all workers."""
        if self.proven is not None and row.id not in self.proven:
            return min(row.cap, row.others + 1)
        own = row.lane == Lane.NEWS and row.steady and not row.others
        return max(row.cap, self.ahead.get(row.id, 0)) if own else row.cap

    @property
    def values(self) -> dict[str, object]:
        return {
            "ahead": max(self.ahead.values(), default=0),
            "no_takedowns": list(self.closed_to_takedowns),
            "no_news": list(self.closed_to_news),
        }


ALL_OPEN = Allowance()

_SOME_RATE = "rate"  # of a row that says that some endpoint has a rate
_CAP = """CASE WHEN e.breaker <> 'closed' THEN 1 WHEN e.slow_start < e.max_in_flight THEN e.slow_start
    ELSE e.max_in_flight END"""
_TAKES_NEWS = f"""e.state = 'live'
      AND (e.not_before IS NULL OR e.not_before <= :now OR e.not_before > :now + {LONGEST_HELD // MICROSECOND})
      AND (e.breaker = 'closed' OR e.breaker_until IS NULL OR e.breaker_until <= :now
           OR e.breaker_until > :now + {LONGEST_OPEN // MICROSECOND})
      AND {rates.READY}"""
_STEADY = "(e.breaker = 'closed' AND e.slow_start IS NULL AND e.rate_per_second IS NULL)"
_BUCKET = "e.rate_per_second, e.tokens, e.refilled_at"
_NO_BUCKET = "CAST(NULL AS float8), CAST(NULL AS float8), CAST(NULL AS bigint)"
# Once for all endpoints: counting each one's anew costs more, most of all where much was on the wire a moment ago.
_IN_FLIGHT = f"""WITH flying AS MATERIALIZED (
        SELECT f.endpoint_id, count(*) AS total, count(CASE WHEN f.lease <> :lease THEN 1 END) AS others,
            count(CASE WHEN f.priority = {Priority.TAKEDOWN.value} THEN 1 END) AS takedowns,
            count(CASE WHEN f.priority = {Priority.TAKEDOWN.value} AND f.lease <> :lease THEN 1 END)
                AS takedowns_of_others
        FROM delivery f WHERE {in_states([State.SENDING], "f")}{{}} GROUP BY f.endpoint_id)"""
# The offset keeps PostgreSQL from turning this into a join, for which it would read all that is due: a look into the
# index for each endpoint finds out as much.
_DUE = f"""EXISTS (SELECT 1 FROM delivery d
          WHERE d.endpoint_id = e.id AND {in_states(UNSETTLED, "d")} AND d.due_at <= :now AND d.priority {{}}
          LIMIT 1 OFFSET 0)"""
_WITH_TAKEDOWNS = f"""
    SELECT '{Lane.TAKEDOWNS.value}' AS lane, e.id, e.max_in_flight AS cap, {_NO_BUCKET}, false AS steady,
        coalesce(flying.takedowns, 0) AS total, coalesce(flying.takedowns_of_others, 0) AS others
    FROM endpoint e LEFT JOIN flying ON flying.endpoint_id = e.id
    WHERE e.max_in_flight > coalesce(flying.takedowns, 0) AND NOT (e.id IN :no_takedowns[])
      AND {_DUE.format("= 0")}
    ORDER BY e.id LIMIT :limit"""
# An endpoint that is full may have room still for the worker that has all of it: up to :ahead, which the caller knows.
_WITH_NEWS = f"""
    SELECT '{Lane.NEWS.value}' AS lane, e.id, {_CAP} AS cap, {_BUCKET}, {_STEADY} AS steady,
        coalesce(flying.total, 0) AS total, coalesce(flying.others, 0) AS others
    FROM endpoint e LEFT JOIN flying ON flying.endpoint_id = e.id
    WHERE {_TAKES_NEWS}
      AND ({_CAP} > coalesce(flying.total, 0) OR (flying.others = 0 AND flying.total < :ahead))
      AND NOT (e.id IN :no_news[])
      AND {_DUE.format("IN (1, 2, 3)")}
    ORDER BY CASE WHEN e.id <= :cursor THEN 1 ELSE 0 END, e.id LIMIT :limit"""
_WITH_RATE = f"""
    SELECT '{_SOME_RATE}' AS lane, e.id, 0, {_NO_BUCKET}, false, 0, 0
    FROM endpoint e WHERE e.rate_per_second IS NOT NULL LIMIT 1"""


class _EndpointRow(NamedTuple):
    lane: str
    id: int
    cap: int
    rate_per_second: float | None
    tokens: float | None
    refilled_at: int | None
    steady: bool
    total: int
    others: int


class _InFlightCount(NamedTuple):
    endpoint_id: int
    total: int
    others: int
    takedowns: int
    takedowns_of_others: int


_ALL = Query(
    _EndpointRow,
    f"{_IN_FLIGHT.format('')} SELECT * FROM ({_WITH_TAKEDOWNS}) t UNION ALL SELECT * FROM ({_WITH_NEWS}) n"
    f" UNION ALL SELECT * FROM ({_WITH_RATE}) l",
)
_NEWS_ALONE = Query(_EndpointRow, f"{_IN_FLIGHT.format('')} {_WITH_NEWS}")
_AMONG = "e.id IN :ids[] ORDER BY e.id FOR NO KEY UPDATE SKIP LOCKED"
_LOCKED = {
    Lane.TAKEDOWNS: Query(
        _EndpointRow,
        f"SELECT '{Lane.TAKEDOWNS.value}', e.id, e.max_in_flight, {_NO_BUCKET}, false, 0, 0 FROM endpoint e"
        f" WHERE {_AMONG}",
    ),
    Lane.NEWS: Query(
        _EndpointRow,
        f"SELECT '{Lane.NEWS.value}', e.id, {_CAP}, {_BUCKET}, {_STEADY}, 0, 0"
        f" FROM endpoint e WHERE {_TAKES_NEWS} AND {_AMONG}",
    ),
}
_FLYING = Query(
    _InFlightCount,
    f"{_IN_FLIGHT.format(' AND f.endpoint_id IN :ids[]')}"
    " SELECT endpoint_id, total, others, takedowns, takedowns_of_others FROM flying",
)


@dataclass
class Capacity:
    """How many more may be claimed of each endpoint, in the order of their turn; the buckets of those with a rate."""

    available: dict[int, int] = field(default_factory=dict)
    buckets: dict[int, Bucket] = field(default_factory=dict)


@dataclass(frozen=True)
class Capacities:
    """Where a worker may claim takedowns, and where news. `limited`: some endpoint has a rate."""

    takedowns: Capacity
    news: Capacity
    limited: bool


def work_is_due(connection: Connection, now: datetime) -> bool:
    """Whether some endpoint has due work that any worker may claim."""
    values = {"now": now, "lease": "", "limit": 1, "cursor": 0, **ALL_OPEN.values}
    return any(row.lane != _SOME_RATE for row in _ALL.all(connection, **values))


def endpoints_with_capacity(
    connection: Connection, *, lease: str, allowance: Allowance, limit: int, cursor: int, now: datetime
) -> Capacities:
    """Endpoints with due work that the worker `lease` may send to them now."""
    rows = _ALL.all(connection, now=now, limit=limit, lease=lease, cursor=cursor, **allowance.values)
    # A union keeps no order.
    takedowns = sorted((row for row in rows if row.lane == Lane.TAKEDOWNS), key=lambda row: row.id)
    news = _in_turn((row for row in rows if row.lane == Lane.NEWS), cursor)
    limited = any(row.lane == _SOME_RATE for row in rows)
    return Capacities(_capacity(takedowns, allowance, now), _capacity(news, allowance, now), limited)


def endpoints_with_capacity_for_news(
    connection: Connection, *, lease: str, allowance: Allowance, limit: int, cursor: int, now: datetime
) -> Capacity:
    """Once more, after takedowns were claimed, which take room as well."""
    values = {"now": now, "limit": limit, "lease": lease, "cursor": cursor, **allowance.values}
    del values["no_takedowns"]
    rows = _NEWS_ALONE.all(connection, **values)
    return _capacity(_in_turn(rows, cursor), allowance, now)


def _in_turn(rows: Iterable[_EndpointRow], cursor: int) -> list[_EndpointRow]:
    return sorted(rows, key=lambda row: (row.id <= cursor, row.id))


def lock(
    connection: Connection,
    lane: Lane,
    ids: Collection[int],
    *,
    lease: str,
    allowance: Allowance,
    now: datetime,
) -> Capacity:
    """The capacity of these endpoints as it is now, and stays until the transaction ends; on PostgreSQL.

    Those that another worker claims of at this moment have none. What is in flight is counted after the lock: the
    query that locks sees the record as it was before it waited.
    """
    rows = _LOCKED[lane].all(connection, ids=list(ids), now=now)
    if rows:
        flying = _FLYING.all(connection, ids=[row.id for row in rows], lease=lease)
        counts = {
            each.endpoint_id: (each.takedowns, each.takedowns_of_others)
            if lane is Lane.TAKEDOWNS
            else (each.total, each.others)
            for each in flying
        }
        counted = [(row, *counts.get(row.id, (0, 0))) for row in rows]
        rows = [row._replace(total=total, others=others) for row, total, others in counted]
    return _capacity(rows, allowance, now)


def _capacity(rows: Iterable[_EndpointRow], allowance: Allowance, now: datetime) -> Capacity:
    moment = to_micros(now)
    found = Capacity()
    for row in rows:
        most = allowance.most(row)
        if row.lane == Lane.NEWS:
            bucket = rates.bucket_of(row)
            if bucket is not None:
                found.buckets[row.id] = bucket
                most = min(most, row.total + bucket.whole(moment))
        if most > row.total:
            found.available[row.id] = most - row.total
    return found
