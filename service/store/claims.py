"""Claims: which deliveries a worker may send now, and that it alone may.

A claim writes a lease; between it and the settlement lies the network, and no transaction.
The SQL is the same on both databases but for what only one of them has: LATERAL and SKIP LOCKED on PostgreSQL,
a correlated IN (… LIMIT) on SQLite, where the writer's lock already excludes the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, text

from service.store import order, rates
from service.store.rates import Bucket
from service.store.record import Record
from service.store.schema import MICROSECOND, from_micros, to_micros

LEASE = timedelta(
    seconds=40
)  # longer than the longest request; a dead worker is noticed sooner by its heartbeat
_UNSETTLED = "state IN ('pending', 'waiting')"
# No breaker and no Retry-After sets a wait longer than these: one that ends later was set by a clock that has been put
# back since, and is over. Otherwise an endpoint would be held for as long as the clock was wrong.
LONGEST_OPEN, LONGEST_HELD = timedelta(minutes=20), timedelta(hours=25)


@dataclass(frozen=True)
class Claimed:
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
    healthy: bool  # the endpoint's breaker is closed and its last answer was a success


@dataclass(frozen=True)
class Cursor:
    """Where the rotation over endpoints stands: none is first twice while another waits."""

    endpoint_id: int = 0


def claim(
    record: Record, *, lease: str, limit: int, cursor: Cursor, now: datetime
) -> tuple[list[Claimed], Cursor]:
    """`claim_within` in a transaction of its own."""
    with record.writing() as connection:
        return claim_within(record, connection, lease=lease, limit=limit, cursor=cursor, now=now)


def claim_within(
    record: Record, connection: Connection, *, lease: str, limit: int, cursor: Cursor, now: datetime
) -> tuple[list[Claimed], Cursor]:
    """Takes up to `limit` due deliveries: takedowns first, then corrections, then the rest, each by age.

    Never more of one endpoint than its cap leaves room for and its rate allows, never two of one (endpoint, article),
    never one that a newer revision has overtaken. Takedowns go to paused endpoints too, wait for no breaker,
    Retry-After or rate, and have the cap for themselves: news that hangs on the wire holds no kill up. So an
    endpoint may have twice its cap in flight, the second half takedowns.
    """
    if limit <= 0:
        return [], cursor
    taken: list[tuple[int, int, int]] = []
    urgent, _ = _endpoints(record, connection, "takedown", limit, cursor, now)
    if urgent:
        taken += _pick(record, connection, urgent, (0,), limit, now)
    buckets: dict[int, Bucket] = {}
    if len(taken) < limit:
        rest, buckets = _endpoints(record, connection, "rest", limit, cursor, now)
        for _, endpoint_id, _ in taken:
            rest[endpoint_id] = rest.get(endpoint_id, 0) - 1
        picked = _pick(record, connection, rest, (1, 2, 3), limit - len(taken), now)
        busy = {each[1:] for each in taken}
        taken += [each for each in picked if each[1:] not in busy]
        if rest:
            cursor = Cursor(max(rest, key=lambda each: (each <= cursor.endpoint_id, each)))
    claimed = _take(connection, [each[0] for each in taken], lease, now)
    rates.spend(connection, buckets, [each.endpoint_id for each in claimed if each.priority > 0], now)
    return claimed, cursor


_DUE = f"d.endpoint_id = e.id AND d.{_UNSETTLED} AND d.due_at <= :now"
_FLYING = "(SELECT count(*) FROM delivery f WHERE f.endpoint_id = e.id AND f.state = 'sending'"
_CAP = """CASE WHEN e.breaker <> 'closed' THEN 1 WHEN e.slow_start < e.max_in_flight THEN e.slow_start
    ELSE e.max_in_flight END"""
ENDPOINTS = {
    "takedown": f"""
        SELECT e.id, e.max_in_flight AS cap FROM endpoint e
        WHERE e.state <> 'off' AND e.max_in_flight > {_FLYING} AND f.priority = 0)
          AND EXISTS (SELECT 1 FROM delivery d WHERE {_DUE} AND d.priority = 0)
        ORDER BY e.id LIMIT :limit""",
    "rest": f"""
        SELECT e.id, {_CAP} AS cap, e.rate_per_second, e.tokens, e.refilled_at FROM endpoint e
        WHERE e.state = 'live'
          AND (e.not_before IS NULL OR e.not_before <= :now OR e.not_before > :now + {LONGEST_HELD // MICROSECOND})
          AND (e.breaker = 'closed' OR e.breaker_until IS NULL OR e.breaker_until <= :now
               OR e.breaker_until > :now + {LONGEST_OPEN // MICROSECOND})
          AND {rates.READY} AND {_CAP} > {_FLYING})
          AND EXISTS (SELECT 1 FROM delivery d WHERE {_DUE} AND d.priority IN (1, 2, 3))
        ORDER BY CASE WHEN e.id <= :cursor THEN 1 ELSE 0 END, e.id LIMIT :limit""",
}


def _endpoints(
    record: Record, connection: Connection, which: str, limit: int, cursor: Cursor, now: datetime
) -> tuple[dict[int, int], dict[int, Bucket]]:
    """Endpoints with due work that may be sent to now → how many more may go there; the buckets of those limited.

    Locked on PostgreSQL until the claim commits, so that two workers cannot both fill the same room. What is in
    flight is counted after the lock: the query that locks sees the record as it was before it waited.
    """
    lock = "" if record.is_sqlite else " FOR NO KEY UPDATE OF e SKIP LOCKED"
    moment = to_micros(now)
    values: dict[str, Any] = {"now": moment, "limit": limit}
    if which == "rest":
        values["cursor"] = cursor.endpoint_id
    rows = connection.execute(_statement(ENDPOINTS[which] + lock), values).all()
    if not rows:
        return {}, {}
    flying = _flying(connection, [row.id for row in rows], "priority = 0" if which == "takedown" else "true")
    rooms = {row.id: row.cap - flying.get(row.id, 0) for row in rows}
    found = {row.id: rates.bucket_of(row) for row in rows} if which == "rest" else {}
    buckets = {number: bucket for number, bucket in found.items() if bucket is not None}
    rooms |= {number: min(rooms[number], bucket.whole(moment)) for number, bucket in buckets.items()}
    return {number: room for number, room in rooms.items() if room > 0}, buckets


def _flying(connection: Connection, ids: list[int], which: str) -> dict[int, int]:
    sqlite = connection.dialect.name == "sqlite"
    among = "IN (SELECT value FROM json_each(:ids))" if sqlite else "= ANY(CAST(:ids AS bigint[]))"
    query = _statement(
        f"SELECT endpoint_id, count(*) FROM delivery WHERE state = 'sending' AND endpoint_id {among} AND {which}"
        " GROUP BY endpoint_id"
    )
    rows = connection.execute(query, {"ids": json.dumps(ids) if sqlite else ids})
    return {row[0]: row[1] for row in rows}


@cache
def _statement(sql: str) -> TextClause:
    return text(sql)


# Nothing of this article is on the wire there; nothing newer was ever routed there, whatever became of it (what was
# superseded or given up may have arrived); and for an endpoint that wants every revision nothing older waits.
_MAY_GO = """
    NOT EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = x.article_id AND o.endpoint_id = x.endpoint_id
        AND (o.state = 'sending' OR CASE WHEN x.ordered
             THEN o.revision < x.revision AND o.state IN ('pending', 'waiting')
             ELSE o.revision > x.revision END))"""
_CANDIDATES = f"""
    SELECT x.id FROM delivery x
    WHERE x.endpoint_id = e.id AND x.state IN ('pending', 'waiting') AND x.priority = :priority
      AND x.due_at <= :now AND {_MAY_GO}
    ORDER BY x.due_at, x.id LIMIT """
_PICK_SQLITE = text(f"""
    SELECT d.id, d.endpoint_id, d.article_id FROM
        (SELECT json_extract(value, '$[0]') AS id FROM json_each(:rooms)) e
        CROSS JOIN delivery d ON d.id IN ({_CANDIDATES} :most)
    ORDER BY d.due_at, d.id LIMIT :limit""")
_PICK_POSTGRESQL = text(f"""
    SELECT d.id, d.endpoint_id, d.article_id FROM
        unnest(CAST(:ids AS bigint[]), CAST(:rooms AS integer[])) AS e(id, room)
        CROSS JOIN LATERAL ({_CANDIDATES} e.room) c
        JOIN delivery d ON d.id = c.id
    ORDER BY d.due_at, d.id LIMIT :limit""")


def _pick(
    record: Record,
    connection: Connection,
    rooms: dict[int, int],
    priorities: Sequence[int],
    limit: int,
    now: datetime,
) -> list[tuple[int, int, int]]:
    """(delivery, endpoint, article) of up to `limit` candidates that fit into the rooms, which are used up."""
    picked: list[tuple[int, int, int]] = []
    for priority in priorities:
        open_rooms = {endpoint_id: room for endpoint_id, room in rooms.items() if room > 0}
        if not open_rooms or len(picked) >= limit:
            break
        values: dict[str, Any] = {"now": to_micros(now), "priority": priority, "limit": limit}
        if record.is_sqlite:
            values |= {"rooms": json.dumps(list(open_rooms.items())), "most": max(open_rooms.values())}
            rows = connection.execute(_PICK_SQLITE, values)
        else:
            values |= {"ids": list(open_rooms), "rooms": list(open_rooms.values())}
            rows = connection.execute(_PICK_POSTGRESQL, values)
        picked += _fitting(rows.all(), rooms, picked, limit)
    return picked


def _fitting(
    rows: Sequence[Any], rooms: dict[int, int], before: list[tuple[int, int, int]], limit: int
) -> list[tuple[int, int, int]]:
    busy = {(endpoint_id, article_id) for _, endpoint_id, article_id in before}
    fitting: list[tuple[int, int, int]] = []
    for number, endpoint_id, article_id in rows:
        if len(before) + len(fitting) >= limit:
            break
        if rooms[endpoint_id] > 0 and (endpoint_id, article_id) not in busy:
            rooms[endpoint_id] -= 1
            busy.add((endpoint_id, article_id))
            fitting.append((number, endpoint_id, article_id))
    return fitting


_TAKE = f"""
    UPDATE delivery SET state = 'sending', attempts = attempts + 1, lease = :lease, lease_until = :until
    {{}}{_UNSETTLED} RETURNING """
_DETAILS = """d.id, d.endpoint_id, e.partner_id, d.event_id, d.article_id, d.revision, d.sequence, d.priority,
        d.attempts, d.forgiven, d.created_at, e.url, e.secret_sealed, e.schedule,
        (e.breaker = 'closed' AND e.failures = 0 AND e.failing_since IS NULL AND e.slow_start IS NULL)
        AS healthy,
        v.public_id, d.replay, d.due_at"""
# The state is checked again: since the pick, an intake may have superseded one of them.
_TAKE_POSTGRESQL = text(
    _TAKE.replace("delivery SET", "delivery d SET").format(
        "FROM endpoint e, event v WHERE d.id = ANY(CAST(:ids AS bigint[]))"
        " AND e.id = d.endpoint_id AND v.id = d.event_id AND d."
    )
    + _DETAILS
)
# SQLite's RETURNING knows no other table.
_TAKE_SQLITE = text(_TAKE.format("WHERE id IN (SELECT value FROM json_each(:ids)) AND ") + "id")
_DETAILS_SQLITE = text(f"""
    SELECT {_DETAILS} FROM delivery d JOIN endpoint e ON e.id = d.endpoint_id JOIN event v ON v.id = d.event_id
    WHERE d.id IN (SELECT value FROM json_each(:ids))""")


def _take(connection: Connection, ids: list[int], lease: str, now: datetime) -> list[Claimed]:
    if not ids:
        return []
    values: dict[str, Any] = {"lease": lease, "until": to_micros(now + LEASE)}
    if connection.dialect.name == "sqlite":
        got = connection.execute(_TAKE_SQLITE, values | {"ids": json.dumps(ids)}).scalars().all()
        rows = connection.execute(_DETAILS_SQLITE, {"ids": json.dumps(list(got))}).all()
    else:
        order.lock_deliveries(connection, order.BY_ID, {"ids": ids})
        rows = connection.execute(_TAKE_POSTGRESQL, values | {"ids": ids}).all()
    return [_claimed(row) for row in sorted(rows, key=_turn)]


def _turn(row: Any) -> tuple[int, int, int]:
    return row[7], row[17], row[0]


def _claimed(row: Any) -> Claimed:
    (number, endpoint_id, partner_id, event_id, article_id, revision, sequence, priority, attempts, forgiven,
     created_at, url, sealed, schedule, healthy, event_public_id, replay, _) = row  # fmt: skip
    return Claimed(
        id=number,
        public_id=delivery_name(event_public_id, endpoint_id, replay),
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
        healthy=bool(healthy),
    )


def delivery_name(event_public_id: str, endpoint_id: int, replay: int) -> str:
    """The delivery's public id, which is the push's webhook-id: the same on every attempt, another per replay."""
    name = f"dlv_{event_public_id.removeprefix('evt_')}_{endpoint_id}"
    return f"{name}_{replay}" if replay else name
