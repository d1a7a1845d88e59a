"""Settlements: what became of what was sent, written in batches: state, attempt and receipt together.

A settlement is a compare-and-set on the lease and the attempt, so that a worker that lost its lease changes nothing,
even should it have claimed the same delivery again since.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from service.store import notices
from service.store.claims import Claimed
from service.store.record import Record
from service.store.schema import attempt, to_micros


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
_ROWS_SQLITE = """(SELECT json_extract(value, '$.id') AS id, json_extract(value, '$.state') AS state,
        json_extract(value, '$.due_at') AS due_at, json_extract(value, '$.reached') AS reached,
        json_extract(value, '$.status') AS status, json_extract(value, '$.words') AS words,
        json_extract(value, '$.attempts') AS attempts
    FROM json_each(:rows))"""
_ROWS_POSTGRESQL = """(SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS r(id bigint, state text, due_at bigint, reached boolean, status integer, words text, attempts integer))"""


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
    source = _ROWS_SQLITE if connection.dialect.name == "sqlite" else _ROWS_POSTGRESQL
    values = {"rows": json.dumps(rows), "lease": lease, "now": to_micros(now)}
    held = set(connection.execute(text(_SETTLE.format(source)), values).scalars())
    kept = [each for each in settlements if each.delivery.id in held]
    if kept:
        _write_attempts(connection, kept, lease)
        _write_receipts(connection, kept, now)
        _supersede_failed(connection, kept, now)
        _tell_dead(connection, kept, now)
    return held


def _write_attempts(connection: Connection, settlements: Sequence[Settlement], lease: str) -> None:
    rows = [
        {
            **each.attempt,
            "delivery_id": each.delivery.id,
            "number": each.delivery.attempts,
            "worker": lease,
        }
        for each in settlements
    ]
    connection.execute(attempt.insert(), rows)


_RECEIPT = text(
    "INSERT INTO receipt (partner_id, article_id, endpoint_id, revision, channel, held_since)"
    " VALUES (:partner, :article, :endpoint, :revision, 'push', :now)"
    " ON CONFLICT (partner_id, article_id, endpoint_id) DO UPDATE"
    " SET revision = excluded.revision, held_since = excluded.held_since"
    " WHERE receipt.revision < excluded.revision"
)


def _write_receipts(connection: Connection, settlements: Sequence[Settlement], now: datetime) -> None:
    rows = [
        {
            "partner": each.delivery.partner_id,
            "article": each.delivery.article_id,
            "endpoint": each.delivery.endpoint_id,
            "revision": each.delivery.revision,
            "now": to_micros(now),
        }
        for each in settlements
        if each.state == "delivered"
    ]
    if rows:
        connection.execute(_RECEIPT, rows)


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
