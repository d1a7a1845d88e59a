"""Claims: which deliveries a worker may send now, and that it alone may.

A claim writes a lease; between it and the settlement lies the network, and no transaction.
The SQL is the same on both databases but for what only one of them has: LATERAL and SKIP LOCKED on PostgreSQL,
a correlated IN (… LIMIT) on SQLite, where the writer's lock already excludes the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store import names
from service.store.database import locks
from service.store.database.record import Record
from service.store.database.sql import Row, Statement
from service.store.deliveries import capacity, rates
from service.store.deliveries.capacity import REST, TAKEDOWN, Rooms
from service.store.schema.base import from_micros

LEASE = timedelta(
    seconds=40
)  # longer than the longest request; a dead worker is noticed sooner by its heartbeat
_UNSETTLED = "state IN ('pending', 'waiting')"

PRIORITIES = {TAKEDOWN: (0,), REST: (1, 2, 3)}
_Candidate = tuple[int, int, int]  # delivery, endpoint, article


class Claimed(NamedTuple):
    """A delivery that this worker alone may send until its lease ends. `attempts` counts this one."""

    id: int
    public_id: str
    endpoint_id: int
    partner_id: int
    event_id: int
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


NOTHING_AHEAD: Mapping[int, int] = MappingProxyType({})


def claim(
    record: Record, *, lease: str, limit: int, cursor: Cursor, now: datetime
) -> tuple[list[Claimed], Cursor]:
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
    ahead: Mapping[int, int] = NOTHING_AHEAD,
) -> tuple[list[Claimed], Cursor]:
    """Takes up to `limit` due deliveries: takedowns first, then corrections, then the rest, each by age.

    Never more of one endpoint than its cap leaves room for and its rate allows, never two of one (endpoint, article),
    never one that a newer revision has overtaken. Takedowns go to paused endpoints too, wait for no breaker,
    Retry-After or rate, and have the cap for themselves: news that hangs on the wire holds no kill up. So an
    endpoint may have twice its cap in flight, the second half takedowns.

    `ahead` (rooms.look): of these endpoints more than the cap may be claimed. It is for the caller then to keep to the
    cap on the wire, and to give back what it does not send at once (settlements.give_back).
    """
    if limit <= 0:
        return [], cursor
    values: dict[str, Any] = {
        "lease": lease,
        "ahead": ahead,
        "limit": limit,
        "cursor": cursor.endpoint_id,
        "now": now,
    }
    found = capacity.look(connection, **values)
    taken, urged = _claim(connection, TAKEDOWN, found.takedowns, lease, {}, limit, now)
    if len(taken) >= limit:
        return taken, replace(cursor, more=True, limited=found.limited)
    rest = capacity.look_at_rest(connection, **values) if taken else found.rest
    claimed, rested = _claim(connection, REST, rest, lease, ahead, limit - len(taken), now)
    turned = rested.endpoint_id or cursor.endpoint_id
    return taken + claimed, Cursor(turned, urged.more or rested.more, found.limited)


def _claim(
    connection: Connection,
    which: str,
    found: Rooms,
    lease: str,
    ahead: Mapping[int, int],
    limit: int,
    now: datetime,
) -> tuple[list[Claimed], Cursor]:
    """What was taken, and the last endpoint whose turn it was; 0 if it was none's."""
    if not found.left:
        return [], Cursor()
    picked = _pick(connection, found.left, which, limit, now)
    visited = picked[-1][1] if len(picked) >= limit else next(reversed(found.left))
    if picked and connection.dialect.name != "sqlite":
        ids = sorted({endpoint_id for _, endpoint_id, _ in picked})
        found = capacity.lock(connection, which, ids, lease=lease, ahead=ahead, now=now)
    chosen = _fitting(picked, dict(found.left), set(), limit)
    claimed = _take(connection, [each[0] for each in chosen], lease, now)
    if which == REST:
        rates.spend(connection, found.buckets, [each.endpoint_id for each in claimed], now)
    return claimed, Cursor(visited, more=len(claimed) < len(picked) or len(claimed) >= limit)


# Nothing of this article is on the wire there; nothing newer was ever routed there, whatever became of it (what was
# superseded or given up may have arrived); and for an endpoint that wants every revision nothing older waits.
_MAY_GO = """
    NOT EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = x.article_id AND o.endpoint_id = x.endpoint_id
        AND (o.state = 'sending' OR CASE WHEN x.ordered
             THEN o.revision < x.revision AND o.state IN ('pending', 'waiting')
             ELSE o.revision > x.revision END))"""
_CANDIDATES = f"""
    SELECT {{}} FROM delivery x
    WHERE x.endpoint_id = e.id AND x.state IN ('pending', 'waiting') AND x.priority = {{}}
      AND x.due_at <= :now AND {_MAY_GO}
    ORDER BY x.due_at, x.id LIMIT """
# Endpoint by endpoint, in the order of their turn, until the limit is reached: who is visited last is first next time.
_PICK_SQLITE = Statement(f"""
    SELECT d.id, d.endpoint_id, d.article_id FROM
        (SELECT json_extract(value, '$[0]') AS id FROM json_each(:rooms)) e
        CROSS JOIN delivery d ON d.id IN ({_CANDIDATES.format("x.id", ":priority")} :most)
    LIMIT :limit""")
_PICK = f"""SELECT c.id, c.endpoint_id, c.article_id, {{0}} AS priority FROM
        unnest(CAST(:ids AS bigint[]), CAST(:rooms AS integer[])) AS e(id, room)
        CROSS JOIN LATERAL ({_CANDIDATES.format("x.id, x.endpoint_id, x.article_id", "{0}")} e.room) c
        LIMIT :limit"""
# One priority after the other: a later one is looked at only where the earlier ones left room.
_PICK_POSTGRESQL = {
    priorities: Statement(
        " UNION ALL ".join(f"SELECT * FROM ({_PICK.format(each)}) p{each}" for each in priorities)
        + " LIMIT :limit"
    )
    for priorities in PRIORITIES.values()
}
_WIDE = 8  # rooms wider than this are asked for apart on SQLite, which takes one limit for all that is asked at once


def _pick(
    connection: Connection, left: Mapping[int, int], which: str, limit: int, now: datetime
) -> list[_Candidate]:
    """Up to `limit` candidates that fit into the rooms, by priority, then in the order of the endpoints."""
    room = dict(left)
    busy: set[tuple[int, int]] = set()
    if connection.dialect.name != "sqlite":
        values = {"ids": list(room), "rooms": list(room.values()), "limit": limit, "now": now}
        rows = _PICK_POSTGRESQL[PRIORITIES[which]].rows(connection, **values)
        rows.sort(key=lambda row: row[3])
        return _fitting([(row[0], row[1], row[2]) for row in rows], room, busy, limit)
    picked: list[_Candidate] = []
    for priority in PRIORITIES[which]:
        for group in _groups(room):
            if len(picked) < limit:
                found = _candidates(connection, group, priority, limit - len(picked), now)
                picked += _fitting(found, room, busy, limit - len(picked))
    return picked


def _groups(room: Mapping[int, int]) -> list[dict[int, int]]:
    wide = {number: size for number, size in room.items() if size > _WIDE}
    narrow = {number: size for number, size in room.items() if 0 < size <= _WIDE}
    return [group for group in (wide, narrow) if group]


def _candidates(
    connection: Connection, room: Mapping[int, int], priority: int, limit: int, now: datetime
) -> Sequence[_Candidate]:
    most = max(room.values())
    spare = sum(most - size for size in room.values())
    rooms_json = json.dumps(list(room.items()))
    rows = _PICK_SQLITE.rows(
        connection, rooms=rooms_json, most=most, limit=limit + spare, priority=priority, now=now
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _fitting(
    candidates: Sequence[_Candidate], room: dict[int, int], busy: set[tuple[int, int]], limit: int
) -> list[_Candidate]:
    """The first of them, up to `limit`, that fit into the rooms, which are used up. No (endpoint, article) twice."""
    fitting: list[_Candidate] = []
    for candidate in candidates:
        if len(fitting) >= limit:
            break
        _, endpoint_id, article_id = candidate
        if room.get(endpoint_id, 0) > 0 and (endpoint_id, article_id) not in busy:
            room[endpoint_id] -= 1
            busy.add((endpoint_id, article_id))
            fitting.append(candidate)
    return fitting


_TAKE = f"""
    UPDATE delivery SET state = 'sending', attempts = attempts + 1, lease = :lease, lease_until = :until
    {{}}{_UNSETTLED} RETURNING """
_DETAILS = """x.id, x.endpoint_id, e.partner_id, x.event_id, x.article_id, x.revision, x.sequence, x.priority,
        x.attempts, x.forgiven, x.created_at, e.url, e.secret_sealed, e.schedule,
        (e.breaker = 'closed' AND e.failures = 0 AND e.failing_since IS NULL AND e.slow_start IS NULL)
        AS healthy,
        v.public_id, x.replay, x.due_at, e.max_in_flight"""
# All is checked again: since the pick, which locks nothing, an intake may have superseded one of them, and another
# worker may have claimed it, or another of the same article.
_TAKE_POSTGRESQL = Statement(
    _TAKE.replace("delivery SET", "delivery x SET").format(
        "FROM endpoint e, event v WHERE x.id IN :ids[]"
        f" AND e.id = x.endpoint_id AND v.id = x.event_id AND {_MAY_GO} AND x."
    )
    + _DETAILS
)
# SQLite's RETURNING knows no other table.
_TAKE_SQLITE = Statement(_TAKE.format("WHERE id IN :ids[] AND ") + "id")
_DETAILS_SQLITE = Statement(f"""
    SELECT {_DETAILS} FROM delivery x JOIN endpoint e ON e.id = x.endpoint_id JOIN event v ON v.id = x.event_id
    WHERE x.id IN :ids[]""")


def _take(connection: Connection, ids: list[int], lease: str, now: datetime) -> list[Claimed]:
    if not ids:
        return []
    values: dict[str, Any] = {"lease": lease, "until": now + LEASE}
    if connection.dialect.name == "sqlite":
        got = [number for (number,) in _TAKE_SQLITE.rows(connection, **values, ids=ids)]
        rows = _DETAILS_SQLITE.rows(connection, ids=got)
    else:
        locks.lock_deliveries(connection, locks.BY_ID, {"ids": ids})
        rows = _TAKE_POSTGRESQL.rows(connection, **values, ids=ids)
    return [_claimed(row) for row in sorted(rows, key=_turn)]


def _turn(row: Row) -> tuple[int, int, int]:
    return row[7], row[17], row[0]


def _claimed(row: Row) -> Claimed:
    (number, endpoint_id, partner_id, event_id, article_id, revision, sequence, priority, attempts, forgiven,
     created_at, url, sealed, schedule, healthy, event_public_id, replay, _, cap) = row  # fmt: skip
    return Claimed(
        id=number,
        public_id=names.delivery_id(event_public_id, endpoint_id, replay),
        endpoint_id=endpoint_id,
        partner_id=partner_id,
        event_id=event_id,
        article_id=article_id,
        revision=revision,
        sequence=sequence,
        priority=priority,
        attempts=attempts,
        forgiven=forgiven,
        created_at=from_micros(created_at),
        url=url,
        sealed=bytes(sealed),
        schedule=tuple(json.loads(schedule)) if schedule else None,
        cap=cap,
        healthy=bool(healthy),
    )
