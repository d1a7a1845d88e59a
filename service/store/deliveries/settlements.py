"""Settlements: what became of what was sent, written in batches: state, attempt and receipt together.

A settlement is a compare-and-set on the lease and the attempt, so that a worker that lost its lease changes nothing,
even should it have claimed the same delivery again since.
All is one statement on PostgreSQL however large the batch: rows go there as one JSON value, which it unpacks for less
than a statement per row costs; SQLite, in this very process, takes tuples, table by table.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from service.store import ledger, notices
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.deliveries import attempts, due_times, state_writes, withdrawals, withdrawn_answers
from service.store.deliveries.claims import ClaimedDelivery
from service.store.deliveries.states import State
from service.store.ledger import Channel, Receipt
from service.store.redirect_words import with_host_alone
from service.store.schema.base import to_micros


class Settlement(NamedTuple):
    """How a claimed delivery ends or goes on: `state` is delivered, waiting (due at `due_at`) or dead."""

    delivery: ClaimedDelivery
    state: State
    due_at: datetime
    reached: bool
    status: int | None
    words: str
    attempt: dict[str, Any]  # columns of the attempt table but delivery_id, number and worker


_ROW = {
    "id": "bigint",
    "state": "text",
    "due_at": "bigint",
    "reached": "boolean",
    "attempts": "integer",
    "created_at": "bigint",
    "partner_id": "bigint",
    **attempts.MEASURED,
}
_RECORDSET = ", ".join(f"{name} {kind}" for name, kind in _ROW.items())
# Deliveries, attempts and receipts by one statement: each that is spared saves the way to the server and back. What
# is locked is locked in the order of ids (database/locks.py).
_SETTLE_POSTGRESQL = Statement(f"""
    WITH v AS MATERIALIZED (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r({_RECORDSET})
    ), locked AS MATERIALIZED (
        SELECT d.id FROM delivery d WHERE d.id IN :ids[] ORDER BY d.id FOR NO KEY UPDATE
    ), settled AS (
        {state_writes.settling("v")}
    ), attempted AS (
        {attempts.writing_settled("v JOIN settled ON settled.id = v.id", ":lease")}
    ), pushed AS (
        SELECT v.partner_id, settled.article_id, settled.endpoint_id, settled.revision
        FROM v JOIN settled ON settled.id = v.id WHERE v.state = '{State.DELIVERED.value}'
    ), receipts AS (
        {ledger.writing_pushed("pushed", ":now")}
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
    settled = write(connection, settlements, lease, now)
    written = [each for each in settlements if each.delivery.id in settled]
    failed = [each.delivery.id for each in written if each.state == State.WAITING]
    state_writes.supersede_overtaken(connection, failed, now)
    refused = [each.delivery.id for each in written if each.state != State.DELIVERED and not each.reached]
    withdrawals.withdraw_after(connection, refused, now)
    withdrawn_answers.wipe_late(connection, {each.delivery.article_id for each in written})
    due_times.respect_embargoes(connection, failed)
    _notify_of_dead(connection, written, now)
    _forgive(connection, written)
    return settled


def _settle_postgresql(
    connection: Connection, settlements: Sequence[Settlement], lease: str, now: datetime
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
    connection: Connection, settlements: Sequence[Settlement], lease: str, now: datetime
) -> set[int]:
    ours = state_writes.ours(connection, [each.delivery.id for each in settlements], lease)
    settled = [each for each in settlements if _identity(each.delivery) in ours]
    if not settled:
        return set()
    moment = to_micros(now)
    state_writes.settle(connection, [_state(each) | {"now": moment} for each in settled])
    attempts.write(connection, [_attempt(each, lease) for each in settled])
    ledger.write(
        connection, [_receipt(each) for each in settled if each.state == State.DELIVERED], Channel.PUSH, now
    )
    return {each.delivery.id for each in settled}


def _identity(claimed: ClaimedDelivery) -> tuple[int, int, int]:
    return claimed.id, claimed.attempts, to_micros(claimed.created_at)


def _state(each: Settlement) -> dict[str, Any]:
    return {
        "id": each.delivery.id,
        "state": each.state.value,
        "due_at": to_micros(each.due_at),
        "reached": each.reached,
        "status": each.status,
        "words": each.words,
        "attempts": each.delivery.attempts,
        "created_at": to_micros(each.delivery.created_at),
    }


def _attempt(each: Settlement, lease: str) -> dict[str, Any]:
    own = {
        "delivery_id": each.delivery.id,
        "number": each.delivery.attempts,
        "started_at": to_micros(each.attempt["started_at"]),
        "worker": lease,
    }
    return each.attempt | own


def _receipt(each: Settlement) -> Receipt:
    of = each.delivery
    return Receipt(of.article_id, of.partner_id, of.endpoint_id, of.revision)


def give_back(
    connection: Connection, claimed: Sequence[ClaimedDelivery], *, lease: str, now: datetime
) -> None:
    """Returns claimed deliveries unsent: each is as before the claim, due at its old time, for any worker to claim.

    In the caller's transaction. One that a newer revision has overtaken meanwhile is superseded.
    """
    if not claimed:
        return
    ids = [each.id for each in claimed]
    state_writes.give_back(connection, [(each.id, each.attempts) for each in claimed], lease)
    state_writes.supersede_overtaken(connection, ids, now)
    withdrawals.withdraw_after(connection, ids, now)
    due_times.respect_embargoes(connection, ids)


def _forgive(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """An attempt that its own worker cut off does not count in the schedule."""
    state_writes.forgive(
        connection, [each.delivery.id for each in settlements if each.attempt["outcome"] == "lost"]
    )


def _notify_of_dead(connection: Connection, settlements: Sequence[Settlement], now: datetime) -> None:
    dead = [each for each in settlements if each.state == State.DEAD]
    for endpoint_id, count in sorted(Counter(each.delivery.endpoint_id for each in dead).items()):
        words = next(each.words for each in reversed(dead) if each.delivery.endpoint_id == endpoint_id)
        notices.of_dead(
            connection,
            endpoint_id,
            count,
            f"deliveries were given up; the last: {with_host_alone(words)}",
            now,
        )
