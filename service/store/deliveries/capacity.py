"""Rooms: which endpoints have due work, and how much more of each a worker may claim.

Read twice. At first without a lock, to see where there is work at all; then, on PostgreSQL, of the few endpoints that
something is claimed of, under their rows' locks, so that two workers cannot both fill the same room. SQLite's writer
is alone, and its first look is the truth.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.database.sql import Statement
from service.store.deliveries import rates
from service.store.deliveries.rates import Bucket
from service.store.schema.base import MICROSECOND, to_micros

# No breaker and no Retry-After sets a wait longer than these: one that ends later was set by a clock that has been put
# back since, and is over. Otherwise an endpoint would be held for as long as the clock was wrong.
LONGEST_OPEN, LONGEST_HELD = timedelta(minutes=20), timedelta(hours=25)

TAKEDOWN, REST, LIMITED = "takedown", "rest", "limited"

_CAP = """CASE WHEN e.breaker <> 'closed' THEN 1 WHEN e.slow_start < e.max_in_flight THEN e.slow_start
    ELSE e.max_in_flight END"""
_TAKES_REST = f"""e.state = 'live'
      AND (e.not_before IS NULL OR e.not_before <= :now OR e.not_before > :now + {LONGEST_HELD // MICROSECOND})
      AND (e.breaker = 'closed' OR e.breaker_until IS NULL OR e.breaker_until <= :now
           OR e.breaker_until > :now + {LONGEST_OPEN // MICROSECOND})
      AND {rates.READY}"""
_STEADY = "(e.breaker = 'closed' AND e.slow_start IS NULL AND e.rate_per_second IS NULL)"
_LIMITED = "e.rate_per_second, e.tokens, e.refilled_at"
_UNLIMITED = "CAST(NULL AS float8), CAST(NULL AS float8), CAST(NULL AS bigint)"
# Once for all endpoints: counting each one's anew costs more, most of all where much was on the wire a moment ago.
_IN_FLIGHT = """WITH flying AS MATERIALIZED (
        SELECT f.endpoint_id, count(*) AS total, count(CASE WHEN f.lease <> :lease THEN 1 END) AS others,
            count(CASE WHEN f.priority = 0 THEN 1 END) AS takedowns
        FROM delivery f WHERE f.state = 'sending'{} GROUP BY f.endpoint_id)"""
# The offset keeps PostgreSQL from turning this into a join, for which it would read all that is due: a look into the
# index for each endpoint finds out as much.
_DUE = """EXISTS (SELECT 1 FROM delivery d
          WHERE d.endpoint_id = e.id AND d.state IN ('pending', 'waiting') AND d.due_at <= :now AND d.priority {}
          LIMIT 1 OFFSET 0)"""
_WITH_TAKEDOWNS = f"""
    SELECT '{TAKEDOWN}' AS which, e.id, e.max_in_flight AS cap, {_UNLIMITED}, false AS steady,
        coalesce(flying.takedowns, 0) AS total, 0 AS others
    FROM endpoint e LEFT JOIN flying ON flying.endpoint_id = e.id
    WHERE e.state <> 'off' AND e.max_in_flight > coalesce(flying.takedowns, 0) AND {_DUE.format("= 0")}
    ORDER BY e.id LIMIT :limit"""
# An endpoint that is full may have room still for the worker that has all of it: up to :ahead, which the caller knows.
_WITH_REST = f"""
    SELECT '{REST}' AS which, e.id, {_CAP} AS cap, {_LIMITED}, {_STEADY} AS steady,
        coalesce(flying.total, 0) AS total, coalesce(flying.others, 0) AS others
    FROM endpoint e LEFT JOIN flying ON flying.endpoint_id = e.id
    WHERE {_TAKES_REST}
      AND ({_CAP} > coalesce(flying.total, 0) OR (flying.others = 0 AND flying.total < :ahead))
      AND {_DUE.format("IN (1, 2, 3)")}
    ORDER BY CASE WHEN e.id <= :cursor THEN 1 ELSE 0 END, e.id LIMIT :limit"""
_WITH_RATE = f"""
    SELECT '{LIMITED}' AS which, e.id, 0, {_UNLIMITED}, false, 0, 0
    FROM endpoint e WHERE e.rate_per_second IS NOT NULL LIMIT 1"""
_LOOK = Statement(
    f"{_IN_FLIGHT.format('')} SELECT * FROM ({_WITH_TAKEDOWNS}) t UNION ALL SELECT * FROM ({_WITH_REST}) r"
    f" UNION ALL SELECT * FROM ({_WITH_RATE}) l"
)
_LOOK_AT_REST = Statement(f"{_IN_FLIGHT.format('')} {_WITH_REST}")
_AMONG = "e.id IN :ids[] ORDER BY e.id FOR NO KEY UPDATE SKIP LOCKED"
_LOCKED = {
    TAKEDOWN: Statement(
        f"SELECT '{TAKEDOWN}', e.id, e.max_in_flight, {_UNLIMITED}, false, 0, 0 FROM endpoint e"
        f" WHERE e.state <> 'off' AND {_AMONG}"
    ),
    REST: Statement(
        f"SELECT '{REST}', e.id, {_CAP}, {_LIMITED}, {_STEADY}, 0, 0 FROM endpoint e WHERE {_TAKES_REST} AND {_AMONG}"
    ),
}
_FLYING = Statement(
    f"{_IN_FLIGHT.format(' AND f.endpoint_id IN :ids[]')}"
    " SELECT endpoint_id, total, others, takedowns FROM flying"
)


class _Room(NamedTuple):
    which: str
    id: int
    cap: int
    rate_per_second: float | None
    tokens: float | None
    refilled_at: int | None
    steady: bool
    total: int
    others: int


@dataclass(frozen=True)
class Looked:
    """Where a worker may claim takedowns, and where the rest. `limited`: some endpoint has a rate."""

    takedowns: Rooms
    rest: Rooms
    limited: bool


@dataclass
class Rooms:
    """How many more may be claimed of each endpoint, in the order of their turn; the buckets of those limited."""

    left: dict[int, int] = field(default_factory=dict)
    buckets: dict[int, Bucket] = field(default_factory=dict)


def anybody(connection: Connection, now: datetime) -> bool:
    """Whether some endpoint has due work that any worker may claim, whoever it is."""
    values = {"now": now, "lease": "", "limit": 1, "cursor": 0, "ahead": 0}
    return any(row[0] != LIMITED for row in _LOOK.rows(connection, **values))


def look(
    connection: Connection, *, lease: str, ahead: Mapping[int, int], limit: int, cursor: int, now: datetime
) -> Looked:
    """Endpoints with due work that it may be sent to now.

    `ahead`: how many of an endpoint's the worker `lease` may have in hand, beyond the cap on the wire, as long as no
    other worker has any.
    """
    return _look(_LOOK, connection, lease, ahead, limit, cursor, now)


def look_at_rest(
    connection: Connection, *, lease: str, ahead: Mapping[int, int], limit: int, cursor: int, now: datetime
) -> Rooms:
    """Once more, after takedowns were claimed, which take room as well."""
    return _look(_LOOK_AT_REST, connection, lease, ahead, limit, cursor, now).rest


def _look(
    statement: Statement,
    connection: Connection,
    lease: str,
    ahead: Mapping[int, int],
    limit: int,
    cursor: int,
    now: datetime,
) -> Looked:
    most = max(ahead.values(), default=0)
    values = {"now": now, "limit": limit, "lease": lease, "cursor": cursor, "ahead": most}
    rows = [_Room(*row) for row in statement.rows(connection, **values)]
    rows.sort(key=lambda row: (row.which == REST and row.id <= cursor, row.id))
    takedowns, rest = (
        _rooms([row for row in rows if row.which == which], ahead, now) for which in (TAKEDOWN, REST)
    )
    return Looked(takedowns, rest, any(row.which == LIMITED for row in rows))


def lock(
    connection: Connection,
    which: str,
    ids: Collection[int],
    *,
    lease: str,
    ahead: Mapping[int, int],
    now: datetime,
) -> Rooms:
    """The rooms of these endpoints as they are now, and stay until the transaction ends; on PostgreSQL.

    Those that another worker claims of at this moment have none. What is in flight is counted after the lock: the
    query that locks sees the record as it was before it waited.
    """
    rows = [_Room(*row) for row in _LOCKED[which].rows(connection, ids=list(ids), now=now)]
    if rows:
        flying = _FLYING.rows(connection, ids=[row.id for row in rows], lease=lease)
        counts = {
            number: (takedowns, 0) if which == TAKEDOWN else (total, others)
            for number, total, others, takedowns in flying
        }
        counted = [(row, *counts.get(row.id, (0, 0))) for row in rows]
        rows = [row._replace(total=total, others=others) for row, total, others in counted]
    return _rooms(rows, ahead, now)


def _rooms(rows: Sequence[_Room], ahead: Mapping[int, int], now: datetime) -> Rooms:
    moment = to_micros(now)
    found = Rooms()
    for row in rows:
        most = row.cap
        if row.which == REST:
            if row.steady and not row.others:
                most = max(most, ahead.get(row.id, 0))
            bucket = rates.bucket_of(row)
            if bucket is not None:
                found.buckets[row.id] = bucket
                most = min(most, row.total + bucket.whole(moment))
        if most > row.total:
            found.left[row.id] = most - row.total
    return found
