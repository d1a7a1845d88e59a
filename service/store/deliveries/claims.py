"""Claims: which deliveries a worker may send now, and that it alone may.

A claim writes a lease; between it and the settlement lies the network, and no transaction.
The SQL is the same on both databases but for what only one of them has: LATERAL and SKIP LOCKED on PostgreSQL,
a correlated IN (… LIMIT) on SQLite, where the writer's lock already excludes the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store import names
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.deliveries import capacity, numbering, rates, state_writes
from service.store.deliveries.capacity import ALL_OPEN, Allowance, Capacity, Lane
from service.store.deliveries.state_writes import ClaimedRow
from service.store.deliveries.states import claimable

LEASE = timedelta(
    seconds=40
)  # longer than the longest request; a dead worker is noticed sooner by its heartbeat


class ClaimedDelivery(NamedTuple):
    """A delivery that this worker alone may send until its lease ends. `attempts` counts this one."""

    id: int
    public_id: str
    endpoint_id: int
    partner_id: int
    event_id: int
    event: str  # the public id: a record that is set back gives the row's number to another event
    article_id: int
    revision: int
    sequence: int
    priority: int
    attempts: int
    forgiven: int
    created_at: datetime
    url: str
    sealed: bytes
    schedule: tuple[float, ...] | None
    cap: int  # of the endpoint's pushes on the wire at once
    healthy: bool  # the endpoint's breaker is closed and its last answer was a success


@dataclass(frozen=True)
class Cursor:
    """Where the rotation over endpoints stands: none is first twice while another waits.

    `more`: the last claim saw more than it took; another worker may have been at the same endpoints.
    `limited`: some endpoint has a rate, which may be all that holds it back.
    """

    endpoint_id: int = 0
    more: bool = False
    limited: bool = False


def claim(
    record: Record, *, lease: str, limit: int, cursor: Cursor, now: datetime
) -> tuple[list[ClaimedDelivery], Cursor]:
    """`claim_within` in a transaction of its own."""
    with record.writing() as connection:
        return claim_within(connection, lease=lease, limit=limit, cursor=cursor, now=now)


def claim_within(
    connection: Connection,
    *,
    lease: str,
    limit: int,
    cursor: Cursor,
    now: datetime,
    allowance: Allowance = ALL_OPEN,
) -> tuple[list[ClaimedDelivery], Cursor]:
    """Takes up to `limit` due deliveries: takedowns first, then corrections, then the rest, each by age.

    Never more of one endpoint than its cap leaves room for and its rate allows, never two of one (endpoint, article),
    never one that a newer revision has overtaken. Takedowns go to paused and switched-off endpoints too, wait
    for no breaker, Retry-After or rate, and have the cap for themselves: news that hangs on the wire holds no kill up.
    So an endpoint may have twice its cap in flight, the second half takedowns.

    `allowance`: what this worker knows of the endpoints; of some more than the cap may be claimed. The caller then
    keeps to the cap on the wire, and gives back what it does not send at once (settlements.give_back).
    """
    if limit <= 0:
        return [], cursor
    values: dict[str, Any] = {
        "lease": lease,
        "allowance": allowance,
        "limit": limit,
        "cursor": cursor.endpoint_id,
        "now": now,
    }
    found = capacity.endpoints_with_capacity(connection, **values)
    urgent_claim = _LaneClaim(Lane.TAKEDOWNS, lease, allowance, now)
    takedowns, urgent = _claim(connection, urgent_claim, found.takedowns, limit)
    if len(takedowns) >= limit:
        return takedowns, replace(cursor, more=True, limited=found.limited)
    free = capacity.endpoints_with_capacity_for_news(connection, **values) if takedowns else found.news
    news, turn = _claim(
        connection, _LaneClaim(Lane.NEWS, lease, allowance, now), free, limit - len(takedowns)
    )
    turned = turn.endpoint_id or cursor.endpoint_id
    return takedowns + news, Cursor(turned, urgent.more or turn.more, found.limited)


class _LaneClaim(NamedTuple):
    """A worker's claim in one lane."""

    lane: Lane
    lease: str
    allowance: Allowance
    now: datetime


def _claim(
    connection: Connection, wanted: _LaneClaim, found: Capacity, limit: int
) -> tuple[list[ClaimedDelivery], Cursor]:
    """Returns the claimed deliveries, and the last endpoint that had a turn; 0 if none had one."""
    lane, lease, allowance, now = wanted
    if not found.available:
        return [], Cursor()
    picked = _pick(connection, found.available, lane, limit, now)
    visited = picked[-1].endpoint_id if len(picked) >= limit else next(reversed(found.available))
    if picked and connection.dialect.name != "sqlite":
        ids = sorted({each.endpoint_id for each in picked})
        found = capacity.lock(connection, lane, ids, lease=lease, allowance=allowance, now=now)
    chosen = _fitting(picked, dict(found.available), set(), limit)
    claimed = _take(connection, [each.id for each in chosen], lease, now)
    if lane == Lane.NEWS:
        rates.spend(connection, found.buckets, [each.endpoint_id for each in claimed], now)
    return claimed, Cursor(visited, more=len(claimed) < len(picked) or len(claimed) >= limit)


class Candidate(NamedTuple):
    """A delivery that is due and may go, if its endpoint has room for it."""

    id: int
    endpoint_id: int
    article_id: int
    priority: int


_CANDIDATES = f"""
    SELECT {{}} FROM delivery x
    WHERE x.endpoint_id = e.id AND x.priority = {{}} AND x.due_at <= :now AND {claimable("x")}
    ORDER BY x.due_at, x.id LIMIT """
# Endpoint by endpoint, in the order of their turn, until the limit is reached: the next turn begins with those that
# this one did not come to. Those of one endpoint come in no order.
_PICK_SQLITE = Statement(
    f"""SELECT d.due_at, d.id, d.endpoint_id, d.article_id, d.priority
    FROM (SELECT value AS id FROM json_each(:endpoints)) e
        CROSS JOIN delivery d ON d.id IN ({_CANDIDATES.format("x.id", ":priority")} :most)"""
)
_PICK = f"""SELECT c.id, c.endpoint_id, c.article_id, {{0}} AS priority FROM
        unnest(CAST(:ids AS bigint[]), CAST(:available AS integer[])) AS e(id, available)
        CROSS JOIN LATERAL ({_CANDIDATES.format("x.id, x.endpoint_id, x.article_id", "{0}")} e.available) c
        LIMIT :limit"""
# One priority after the other: a later one is looked at only where the earlier ones left room.
_PICK_POSTGRESQL = {
    lane: Query(
        Candidate,
        " UNION ALL ".join(
            f"SELECT * FROM ({_PICK.format(each.value)}) p{each.value}" for each in lane.priorities
        )
        + " LIMIT :limit",
    )
    for lane in Lane
}
# Endpoints with room for more than this are asked for apart on SQLite, which takes one limit for all asked at once.
_WIDE = 8


def _pick(
    connection: Connection, available: Mapping[int, int], lane: Lane, limit: int, now: datetime
) -> list[Candidate]:
    """Up to `limit` candidates that there is room for, by priority, then in the order of the endpoints."""
    room = dict(available)
    busy: set[tuple[int, int]] = set()
    if connection.dialect.name != "sqlite":
        values = {"ids": list(room), "available": list(room.values()), "limit": limit, "now": now}
        found = _PICK_POSTGRESQL[lane].all(connection, **values)
        found.sort(key=attrgetter("priority"))
        return _fitting(found, room, busy, limit)
    picked: list[Candidate] = []
    for priority in lane.priorities:
        for group in _groups(room):
            if len(picked) < limit:
                waiting = _candidates(connection, group, priority.value, now)
                picked += _fitting(waiting, room, busy, limit - len(picked))
    return picked


def _groups(room: Mapping[int, int]) -> list[dict[int, int]]:
    wide = {number: size for number, size in room.items() if size > _WIDE}
    narrow = {number: size for number, size in room.items() if 0 < size <= _WIDE}
    return [group for group in (wide, narrow) if group]


def _candidates(
    connection: Connection, room: Mapping[int, int], priority: int, now: datetime
) -> Iterator[Candidate]:
    """Endpoint by endpoint, each one's by age. No more endpoints are looked at than it takes to reach a limit."""
    most = max(room.values())
    rows = _PICK_SQLITE.each(connection, endpoints=list(room), most=most, priority=priority, now=now)
    for _, of_endpoint in groupby(rows, key=itemgetter(2)):
        for row in sorted(of_endpoint):
            yield Candidate(*row[1:])


def _fitting(
    candidates: Iterable[Candidate], room: dict[int, int], busy: set[tuple[int, int]], limit: int
) -> list[Candidate]:
    """The first of them, up to `limit` (1 or more), that there is room for, which is used up. No (endpoint, article)
    twice."""
    fitting: list[Candidate] = []
    for candidate in candidates:
        _, endpoint_id, article_id, _ = candidate
        if room.get(endpoint_id, 0) > 0 and (endpoint_id, article_id) not in busy:
            room[endpoint_id] -= 1
            busy.add((endpoint_id, article_id))
            fitting.append(candidate)
            if len(fitting) == limit:
                break
    return fitting


def _take(connection: Connection, ids: list[int], lease: str, now: datetime) -> list[ClaimedDelivery]:
    if not ids:
        return []
    rows = state_writes.claim(connection, ids, lease, now + LEASE, now)
    if unnumbered := [row.id for row in rows if row.sequence < 0]:
        numbers = numbering.number_these(connection, unnumbered)
        rows = [row._replace(sequence=numbers.get(row.id, row.sequence)) for row in rows]
    return [_claimed(row) for row in sorted(rows, key=attrgetter("priority", "due_at", "id"))]


def _claimed(row: ClaimedRow) -> ClaimedDelivery:
    return ClaimedDelivery(
        id=row.id,
        public_id=names.delivery_id(row.event_public_id, row.endpoint_id, row.replay),
        endpoint_id=row.endpoint_id,
        partner_id=row.partner_id,
        event_id=row.event_id,
        event=row.event_public_id,
        article_id=row.article_id,
        revision=row.revision,
        sequence=row.sequence,
        priority=row.priority,
        attempts=row.attempts,
        forgiven=row.forgiven,
        created_at=row.created_at,
        url=row.url,
        sealed=bytes(row.secret_sealed),
        schedule=tuple(json.loads(row.schedule)) if row.schedule else None,
        cap=row.max_in_flight,
        healthy=row.healthy,
    )
