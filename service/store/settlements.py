"""Settlements: what became of what was sent, written in batches: state, attempt and receipt together.

A settlement is a compare-and-set on the lease and the attempt, so that a worker that lost its lease changes nothing,
even should it have claimed the same delivery again since.
Each table is one statement whatever the batch: rows go to PostgreSQL as one JSON value, which it unpacks for less than
a statement per row costs; SQLite, in this very process, takes tuples.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from service.store import notices, order
from service.store.claims import Claimed
from service.store.record import Record
from service.store.schema import to_micros


@dataclass(frozen=True)
class Settlement:
    """How a claimed delivery ends or goes on: `state` is delivered, waiting (due at `due_at`) or dead."""

    delivery: Claimed
    state: str
    due_at: datetime
    reached: bool
    status: int | None
    words: str
    attempt: dict[str, Any]  # columns of the attempt table but delivery_id, number and worker


_SETTLE = """
    UPDATE delivery SET state = v.state, due_at = v.due_at, reached = (delivery.reached OR v.reached),
        last_status = v.status, last_words = v.words, lease = NULL, lease_until = NULL,
        settled_at = CASE WHEN v.state = 'waiting' THEN NULL ELSE :now END
    FROM {} v
    WHERE delivery.id = v.id AND delivery.state = 'sending' AND delivery.lease = :lease
      AND delivery.attempts = v.attempts
    RETURNING delivery.id"""
_SETTLE_SQLITE = text(
    _SETTLE.format("""(SELECT json_extract(value, '$.id') AS id, json_extract(value, '$.state') AS state,
        json_extract(value, '$.due_at') AS due_at, json_extract(value, '$.reached') AS reached,
        json_extract(value, '$.status') AS status, json_extract(value, '$.words') AS words,
        json_extract(value, '$.attempts') AS attempts
    FROM json_each(:rows))""")
)
_SETTLE_POSTGRESQL = text(
    _SETTLE.format("""(SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS r(id bigint, state text, due_at bigint, reached boolean, status integer, words text, attempts integer))""")
)


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
    rows = [
        {
            "id": each.delivery.id,
            "state": each.state,
            "due_at": to_micros(each.due_at),
            "reached": each.reached,
            "status": each.status,
            "words": each.words,
            "attempts": each.delivery.attempts,
        }
        for each in settlements
    ]
    statement = _SETTLE_SQLITE if connection.dialect.name == "sqlite" else _SETTLE_POSTGRESQL
    values = {"rows": json.dumps(rows), "lease": lease, "now": to_micros(now)}
    order.lock_deliveries(connection, order.BY_ID, {"ids": [each.delivery.id for each in settlements]})
    held = set(connection.execute(statement, values).scalars())
    kept = [each for each in settlements if each.delivery.id in held]
    if kept:
        _write_attempts(connection, kept, lease)
        _write_receipts(connection, kept, now)
        _supersede_failed(connection, kept, now)
        _tell_dead(connection, kept, now)
    return held


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
_ATTEMPTS_SQLITE = f"INSERT INTO attempt ({', '.join(_ATTEMPT)}) VALUES ({', '.join('?' * len(_ATTEMPT))})"
_ATTEMPTS_POSTGRESQL = text(f"""
    INSERT INTO attempt ({", ".join(_ATTEMPT)})
    SELECT {", ".join(_ATTEMPT).replace("response_body", "decode(response_body, 'base64')")}
    FROM json_to_recordset(CAST(:rows AS json))
        AS r({", ".join(f"{name} {kind}" for name, kind in _ATTEMPT.items())})""")


def _write_attempts(connection: Connection, settlements: Sequence[Settlement], lease: str) -> None:
    rows = [
        {
            **each.attempt,
            "delivery_id": each.delivery.id,
            "number": each.delivery.attempts,
            "started_at": to_micros(each.attempt["started_at"]),
            "worker": lease,
        }
        for each in settlements
    ]
    if connection.dialect.name == "sqlite":
        tuples = [tuple([row[name] for name in _ATTEMPT]) for row in rows]
        connection.exec_driver_sql(_ATTEMPTS_SQLITE, tuples)
        return
    for row in rows:
        if row["response_body"] is not None:
            row["response_body"] = b64encode(row["response_body"]).decode()
    connection.execute(_ATTEMPTS_POSTGRESQL, {"rows": json.dumps(rows)})


_HELD = """ ON CONFLICT (partner_id, article_id, endpoint_id) DO UPDATE
    SET revision = excluded.revision, held_since = excluded.held_since
    WHERE receipt.revision < excluded.revision"""
_INTO_RECEIPT = "INSERT INTO receipt (partner_id, article_id, endpoint_id, revision, channel, held_since)"
_RECEIPTS_SQLITE = f"{_INTO_RECEIPT} VALUES (?, ?, ?, ?, 'push', ?){_HELD}"
# Grouped: no row may be written twice by one statement.
_RECEIPTS_POSTGRESQL = text(f"""
    {_INTO_RECEIPT}
    SELECT partner, article, endpoint, max(revision), 'push', :now
    FROM unnest(CAST(:partners AS bigint[]), CAST(:articles AS bigint[]), CAST(:endpoints AS bigint[]),
        CAST(:revisions AS integer[])) AS r(partner, article, endpoint, revision)
    GROUP BY partner, article, endpoint
    {_HELD}""")


def _write_receipts(connection: Connection, settlements: Sequence[Settlement], now: datetime) -> None:
    held = [each.delivery for each in settlements if each.state == "delivered"]
    if not held:
        return
    moment = to_micros(now)
    if connection.dialect.name == "sqlite":
        rows = [(each.partner_id, each.article_id, each.endpoint_id, each.revision, moment) for each in held]
        connection.exec_driver_sql(_RECEIPTS_SQLITE, rows)
        return
    values = {
        "partners": [each.partner_id for each in held],
        "articles": [each.article_id for each in held],
        "endpoints": [each.endpoint_id for each in held],
        "revisions": [each.revision for each in held],
        "now": moment,
    }
    connection.execute(_RECEIPTS_POSTGRESQL, values)


_SUPERSEDE_FAILED = text(
    "UPDATE delivery SET state = 'superseded', settled_at = :now, superseded_by ="
    " (SELECT max(o.revision) FROM delivery o"
    "  WHERE o.article_id = delivery.article_id AND o.endpoint_id = delivery.endpoint_id)"
    " WHERE id = :id AND state = 'waiting' AND NOT ordered AND EXISTS (SELECT 1 FROM delivery o"
    "  WHERE o.article_id = delivery.article_id AND o.endpoint_id = delivery.endpoint_id"
    "  AND o.revision > delivery.revision)"
)


def _supersede_failed(connection: Connection, settlements: Sequence[Settlement], now: datetime) -> None:
    rows = [
        {"id": each.delivery.id, "now": to_micros(now)} for each in settlements if each.state == "waiting"
    ]
    if rows:
        connection.execute(_SUPERSEDE_FAILED, rows)


def _tell_dead(connection: Connection, settlements: Sequence[Settlement], now: datetime) -> None:
    dead = [each for each in settlements if each.state == "dead"]
    for endpoint_id, count in sorted(Counter(each.delivery.endpoint_id for each in dead).items()):
        words = next(each.words for each in reversed(dead) if each.delivery.endpoint_id == endpoint_id)
        notices.of_dead(connection, endpoint_id, count, f"deliveries were given up; the last: {words}", now)
