"""Settlements: what became of what was sent, written in batches: state, attempt and receipt together.

A settlement is a compare-and-set on the lease and the attempt, so that a worker that lost its lease changes nothing,
even should it have claimed the same delivery again since.
All is one statement on PostgreSQL whatever the batch: rows go there as one JSON value, which it unpacks for less than a
statement per row costs; SQLite, in this very process, takes tuples, table by table.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, text

from service.store import notices
from service.store.database import locks
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.deliveries.claims import Claimed
from service.store.schema.base import to_micros


class Settlement(NamedTuple):
    """How a claimed delivery ends or goes on: `state` is delivered, waiting (due at `due_at`) or dead."""

    delivery: Claimed
    state: str
    due_at: datetime
    reached: bool
    status: int | None
    words: str
    attempt: dict[str, Any]  # columns of the attempt table but delivery_id, number and worker


# Its writer is alone: what is found to be ours stays so until it is written.
_OURS_SQLITE = Statement(
    "SELECT id, attempts FROM delivery WHERE id IN :ids[] AND state = 'sending' AND lease = :lease"
)
_SETTLE_SQLITE = Statement("""
    UPDATE delivery SET state = :state, due_at = :due_at, reached = (reached OR :reached), last_status = :status,
        last_words = :words, lease = NULL, lease_until = NULL,
        settled_at = CASE WHEN :state = 'waiting' THEN NULL ELSE :now END
    WHERE id = :id""")
_ATTEMPT = {
    "delivery_id": "bigint",
    "number": "integer",
    "started_at": "bigint",
    "outcome": "text",
    "status": "integer",
    "words": "text",
    "lookup_ms": "float8",
    "connect_ms": "float8",
    "tls_ms": "float8",
    "first_byte_ms": "float8",
    "total_ms": "float8",
    "address": "text",
    "response_headers": "text",
    "response_body": "text",  # in JSON: base64
    "worker": "text",
}
_INTO_ATTEMPT = f"INSERT INTO attempt ({', '.join(_ATTEMPT)})"
_ATTEMPTS_SQLITE = f"{_INTO_ATTEMPT} VALUES ({', '.join('?' * len(_ATTEMPT))})"
_HELD = """ ON CONFLICT (partner_id, article_id, endpoint_id) DO UPDATE
    SET revision = excluded.revision, held_since = excluded.held_since
    WHERE receipt.revision < excluded.revision"""
_INTO_RECEIPT = "INSERT INTO receipt (partner_id, article_id, endpoint_id, revision, channel, held_since)"
_RECEIPTS_SQLITE = f"{_INTO_RECEIPT} VALUES (?, ?, ?, ?, 'push', ?){_HELD}"
_ROW = {
    "id": "bigint",
    "state": "text",
    "due_at": "bigint",
    "reached": "boolean",
    "attempts": "integer",
    "partner_id": "bigint",
    **{name: kind for name, kind in _ATTEMPT.items() if name not in {"delivery_id", "number", "worker"}},
}
_OF_ROW = {
    "delivery_id": "v.id",
    "number": "v.attempts",
    "worker": ":lease",
    "response_body": "decode(v.response_body, 'base64')",
}
# Deliveries, attempts and receipts by one statement: each that is spared saves the way to the server and back. What
# is locked is locked in the order of ids (order.py). Receipts are grouped: no row may be written twice at once.
_RECORDSET = ", ".join(f"{name} {kind}" for name, kind in _ROW.items())
# First the locks. Then for the plan's sake: the ids once more, so that not all deliveries are read in order to join
# them; and what is asked of their state as one question, of which PostgreSQL does not guess that it leaves one row.
_SETTLE_POSTGRESQL = Statement(f"""
    WITH v AS MATERIALIZED (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r({_RECORDSET})
    ), locked AS MATERIALIZED (
        SELECT d.id FROM delivery d WHERE d.id IN :ids[] ORDER BY d.id FOR NO KEY UPDATE
    ), settled AS (
        UPDATE delivery d SET state = v.state, due_at = v.due_at, reached = (d.reached OR v.reached),
            last_status = v.status, last_words = v.words, lease = NULL, lease_until = NULL,
            settled_at = CASE WHEN v.state = 'waiting' THEN NULL ELSE :now END
        FROM v WHERE (SELECT count(*) FROM locked) > 0 AND d.id IN :ids[] AND d.id = v.id
            AND CASE WHEN d.state = 'sending' AND d.lease = :lease AND d.attempts = v.attempts
                THEN true ELSE false END
        RETURNING d.id, d.article_id, d.endpoint_id, d.revision
    ), noted AS (
        {_INTO_ATTEMPT}
        SELECT {", ".join(_OF_ROW.get(name, f"v.{name}") for name in _ATTEMPT)} FROM v JOIN settled ON settled.id = v.id
    ), held AS (
        {_INTO_RECEIPT}
        SELECT v.partner_id, settled.article_id, settled.endpoint_id, max(settled.revision), 'push', :now
        FROM v JOIN settled ON settled.id = v.id
        WHERE v.state = 'delivered' GROUP BY v.partner_id, settled.article_id, settled.endpoint_id
        {_HELD}
    )
    SELECT id FROM settled""")


def settle(record: Record, settlements: Sequence[Settlement], *, lease: str, now: datetime) -> set[int]:
    """Writes state, attempt and receipt of each in one transaction; returns the ids of those whose lease held.

    What failed while a newer revision was routed becomes superseded, never due again.
    """
    with record.writing() as connection:
        return settle_within(connection, settlements, lease=lease, now=now)


def settle_within(
    connection: Connection, settlements: Sequence[Settlement], *, lease: str, now: datetime
) -> set[int]:
    """`settle` in the caller's transaction."""
    if not settlements:
        return set()
    write = _settle_sqlite if connection.dialect.name == "sqlite" else _settle_postgresql
    held = write(connection, settlements, lease, to_micros(now))
    kept = [each for each in settlements if each.delivery.id in held]
    _supersede_waiting(connection, [each.delivery.id for each in kept if each.state == "waiting"], now)
    _tell_dead(connection, kept, now)
    _forgive(connection, kept)
    return held


def _settle_postgresql(
    connection: Connection, settlements: Sequence[Settlement], lease: str, now: int
) -> set[int]:
    rows = []
    for each in settlements:
        row = _state(each) | each.attempt
        row["partner_id"] = each.delivery.partner_id
        row["started_at"] = to_micros(each.attempt["started_at"])
        if row["response_body"] is not None:
            row["response_body"] = b64encode(row["response_body"]).decode()
        # PostgreSQL pays for each name; of an answer over a connection that was there half of them are NULL.
        rows.append({name: value for name, value in row.items() if value is not None})
    ids = [each.delivery.id for each in settlements]
    values = {"rows": orjson.dumps(rows).decode(), "ids": ids, "lease": lease, "now": now}
    return {number for (number,) in _SETTLE_POSTGRESQL.rows(connection, **values)}


def _settle_sqlite(
    connection: Connection, settlements: Sequence[Settlement], lease: str, now: int
) -> set[int]:
    ids = [each.delivery.id for each in settlements]
    ours: dict[int, int] = dict(_OURS_SQLITE.rows(connection, ids=ids, lease=lease))
    kept = [each for each in settlements if ours.get(each.delivery.id) == each.delivery.attempts]
    if not kept:
        return set()
    _SETTLE_SQLITE.run_all(connection, [_state(each) | {"now": now} for each in kept])
    attempts = []
    for each in kept:
        own = {
            "delivery_id": each.delivery.id,
            "number": each.delivery.attempts,
            "started_at": to_micros(each.attempt["started_at"]),
            "worker": lease,
        }
        row = each.attempt | own
        attempts.append(tuple([row[name] for name in _ATTEMPT]))
    connection.exec_driver_sql(_ATTEMPTS_SQLITE, attempts)
    receipts = [
        (of.partner_id, of.article_id, of.endpoint_id, of.revision, now)
        for of in (each.delivery for each in kept if each.state == "delivered")
    ]
    if receipts:
        connection.exec_driver_sql(_RECEIPTS_SQLITE, receipts)
    return {each.delivery.id for each in kept}


def _state(each: Settlement) -> dict[str, Any]:
    return {
        "id": each.delivery.id,
        "state": each.state,
        "due_at": to_micros(each.due_at),
        "reached": each.reached,
        "status": each.status,
        "words": each.words,
        "attempts": each.delivery.attempts,
    }


_GIVE_BACK = Statement(
    "UPDATE delivery SET state = CASE WHEN attempts = forgiven + 1 THEN 'pending' ELSE 'waiting' END,"
    " attempts = attempts - 1, lease = NULL, lease_until = NULL"
    " WHERE id = :id AND state = 'sending' AND lease = :lease AND attempts = :attempts"
)


def give_back(connection: Connection, claimed: Sequence[Claimed], *, lease: str, now: datetime) -> None:
    """What was claimed and not sent stands as it did before, due at the time it was, for any worker to claim.

    In the caller's transaction. What a newer revision has overtaken meanwhile is superseded.
    """
    if not claimed:
        return
    locks.lock_deliveries(connection, locks.BY_ID, {"ids": [each.id for each in claimed]})
    _GIVE_BACK.run_all(
        connection, [{"id": each.id, "lease": lease, "attempts": each.attempts} for each in claimed]
    )
    _supersede_waiting(connection, [each.id for each in claimed], now)


_SUPERSEDE_WAITING = Statement(
    "UPDATE delivery SET state = 'superseded', settled_at = :now, superseded_by ="
    " (SELECT max(o.revision) FROM delivery o"
    "  WHERE o.article_id = delivery.article_id AND o.endpoint_id = delivery.endpoint_id)"
    " WHERE id = :id AND state IN ('pending', 'waiting') AND NOT ordered AND EXISTS (SELECT 1 FROM delivery o"
    "  WHERE o.article_id = delivery.article_id AND o.endpoint_id = delivery.endpoint_id"
    "  AND o.revision > delivery.revision)"
)


def _supersede_waiting(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    _SUPERSEDE_WAITING.run_all(connection, [{"id": each, "now": now} for each in ids])


def _forgive(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """What its own worker cut off is no attempt of the schedule's."""
    lost = [{"id": each.delivery.id} for each in settlements if each.attempt["outcome"] == "lost"]
    if lost:
        connection.execute(text("UPDATE delivery SET forgiven = forgiven + 1 WHERE id = :id"), lost)


def _tell_dead(connection: Connection, settlements: Sequence[Settlement], now: datetime) -> None:
    dead = [each for each in settlements if each.state == "dead"]
    for endpoint_id, count in sorted(Counter(each.delivery.endpoint_id for each in dead).items()):
        words = next(each.words for each in reversed(dead) if each.delivery.endpoint_id == endpoint_id)
        notices.of_dead(connection, endpoint_id, count, f"deliveries were given up; the last: {words}", now)
