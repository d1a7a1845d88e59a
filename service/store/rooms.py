"""Rooms: which endpoints have due work, and how much more of each a worker may claim.

Read twice. At first without a lock, to see where there is work at all; then, on PostgreSQL, of the few endpoints that
something is claimed of, under their rows' locks, so that two workers cannot both fill the same room. SQLite's writer
is alone, and its first look is the truth.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from service.store import rates
from service.store.rates import Bucket
from service.store.schema import MICROSECOND, to_micros

# No breaker and no Retry-After sets a wait longer than these: one that ends later was set by a clock that has been put
# back since, and is over. Otherwise an endpoint would be held for as long as the clock was wrong.
LONGEST_OPEN, LONGEST_HELD = timedelta(minutes=20), timedelta(hours=25)

TAKEDOWN, REST = "takedown", "rest"

_CAP = """CASE WHEN e.breaker <> 'closed' THEN 1 WHEN e.slow_start < e.max_in_flight THEN e.slow_start
    ELSE e.max_in_flight END"""
_TAKES_REST = f"""e.state = 'live'
      AND (e.not_before IS NULL OR e.not_before <= :now OR e.not_before > :now + {LONGEST_HELD // MICROSECOND})
      AND (e.breaker = 'closed' OR e.breaker_until IS NULL OR e.breaker_until <= :now
           OR e.breaker_until > :now + {LONGEST_OPEN // MICROSECOND})
      AND {rates.READY}"""
_REST_COLUMNS = f"""e.id, {_CAP} AS cap, e.rate_per_second, e.tokens, e.refilled_at,
      (e.breaker = 'closed' AND e.slow_start IS NULL AND e.rate_per_second IS NULL) AS steady"""
# Once for all endpoints: counting each one's anew costs more, most of all where much was on the wire a moment ago.
_IN_FLIGHT = """WITH flying AS MATERIALIZED (
        SELECT f.endpoint_id, count(*) AS total, count(CASE WHEN f.lease <> :lease THEN 1 END) AS others
        FROM delivery f WHERE f.state = 'sending'{} GROUP BY f.endpoint_id)"""
# The offset keeps PostgreSQL from turning this into a join, for which it would read all that is due: a look into the
# index for each endpoint finds out as much.
_DUE = """EXISTS (SELECT 1 FROM delivery d
          WHERE d.endpoint_id = e.id AND d.state IN ('pending', 'waiting') AND d.due_at <= :now AND d.priority {}
          LIMIT 1 OFFSET 0)"""
# An endpoint that is full may have room still for the worker that has all of it: up to :ahead, which the caller knows.
ENDPOINTS = {
    TAKEDOWN: text(f"""
        {_IN_FLIGHT.format(" AND f.priority = 0")}
        SELECT e.id, e.max_in_flight AS cap, coalesce(flying.total, 0) AS total, 0 AS others
        FROM endpoint e LEFT JOIN flying ON flying.endpoint_id = e.id
        WHERE e.state <> 'off' AND e.max_in_flight > coalesce(flying.total, 0) AND {_DUE.format("= 0")}
        ORDER BY e.id LIMIT :limit"""),
    REST: text(f"""
        {_IN_FLIGHT.format("")}
        SELECT {_REST_COLUMNS}, coalesce(flying.total, 0) AS total, coalesce(flying.others, 0) AS others
        FROM endpoint e LEFT JOIN flying ON flying.endpoint_id = e.id
        WHERE {_TAKES_REST}
          AND ({_CAP} > coalesce(flying.total, 0) OR (flying.others = 0 AND flying.total < :ahead))
          AND {_DUE.format("IN (1, 2, 3)")}
        ORDER BY CASE WHEN e.id <= :cursor THEN 1 ELSE 0 END, e.id LIMIT :limit"""),
}
_AMONG = "e.id = ANY(CAST(:ids AS bigint[])) ORDER BY e.id FOR NO KEY UPDATE SKIP LOCKED"
_LOCKED = {
    TAKEDOWN: text(
        f"SELECT e.id, e.max_in_flight AS cap FROM endpoint e WHERE e.state <> 'off' AND {_AMONG}"
    ),
    REST: text(f"SELECT {_REST_COLUMNS} FROM endpoint e WHERE {_TAKES_REST} AND {_AMONG}"),
}
_THEIR_FLYING = " AND f.endpoint_id = ANY(CAST(:ids AS bigint[]))"
_FLYING = {
    TAKEDOWN: text(f"{_IN_FLIGHT.format(_THEIR_FLYING + ' AND f.priority = 0')} SELECT * FROM flying"),
    REST: text(f"{_IN_FLIGHT.format(_THEIR_FLYING)} SELECT * FROM flying"),
}


@dataclass
class Rooms:
    """How many more may be claimed of each endpoint, in the order of their turn; the buckets of those limited."""

    left: dict[int, int] = field(default_factory=dict)
    buckets: dict[int, Bucket] = field(default_factory=dict)


def look(
    connection: Connection,
    which: str,
    *,
    lease: str,
    ahead: Mapping[int, int],
    limit: int,
    cursor: int,
    now: datetime,
) -> Rooms:
    """Endpoints with due work of this kind, takedowns or the rest, that it may be sent to now.

    `ahead`: how many of an endpoint's the worker `lease` may have in hand, beyond the cap on the wire, as long as no
    other worker has any.
    """
    values: dict[str, Any] = {"now": to_micros(now), "limit": limit, "lease": lease}
    if which == REST:
        values |= {"cursor": cursor, "ahead": max(ahead.values(), default=0)}
    rows = connection.execute(ENDPOINTS[which], values).all()
    return _rooms(rows, {row.id: (row.total, row.others) for row in rows}, which, ahead, now)


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
    values: dict[str, Any] = {"ids": list(ids)}
    if which == REST:
        values["now"] = to_micros(now)
    rows = connection.execute(_LOCKED[which], values).all()
    flying: dict[int, tuple[int, int]] = {}
    if rows:
        counted = connection.execute(_FLYING[which], {"ids": [row.id for row in rows], "lease": lease})
        flying = {number: (total, others) for number, total, others in counted}
    return _rooms(rows, flying, which, ahead, now)


def _rooms(
    rows: Sequence[Any],
    flying: Mapping[int, tuple[int, int]],
    which: str,
    ahead: Mapping[int, int],
    now: datetime,
) -> Rooms:
    moment = to_micros(now)
    found = Rooms()
    for row in rows:
        total, others = flying.get(row.id, (0, 0))
        most = row.cap
        if which == REST:
            if row.steady and not others:
                most = max(most, ahead.get(row.id, 0))
            bucket = rates.bucket_of(row)
            if bucket is not None:
                found.buckets[row.id] = bucket
                most = min(most, total + bucket.whole(moment))
        if most > total:
            found.left[row.id] = most - total
    return found
