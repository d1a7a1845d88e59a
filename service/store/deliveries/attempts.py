"""Attempts: one row for each HTTP try of a delivery. The only module that writes them.

They are append-only but for the answer, which is wiped when the story is killed (withdrawn_answers.py)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store.database.record import Record
from service.store.database.sql import Statement, insert
from service.store.schema.base import from_micros
from service.store.schema.deliveries import attempt

# The kinds of outcome. The record's attempt.outcome and the metrics' `outcome` label use these very words.
OUTCOMES = (
    "delivered",  # 2xx
    "refused",  # 4xx but the next two
    "gone",  # 410
    "throttled",  # 429, 503
    "server_error",  # 5xx but 503
    "redirect",  # 3xx: never followed
    "timeout",  # too slow, at whichever stage
    "dns",  # the name leads nowhere
    "connect",  # nobody answers at the address
    "tls",  # the certificate or the handshake
    "blocked",  # the address guard
    "closed",  # the connection broke off before an answer
    "garbled",  # an answer that is not HTTP, or not as it says
    "unsent",  # never tried: the URL or a fault of ours
    "lost",  # cut off by our worker, which ended or stood still; it may have arrived. The partner has no part in it
)
# Why a delivery was given up: the outcome of its last attempt.
CAUSES = OUTCOMES[1:]
# What a settlement says of an attempt, with PostgreSQL's types.
MEASURED = {
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
}
_COLUMNS = ("delivery_id", "number", "worker", *MEASURED)
_WRITE = insert(attempt, " ".join(_COLUMNS))
_WRITE_LOST = Statement("""
    INSERT INTO attempt (delivery_id, number, started_at, outcome, words, worker)
    VALUES (:id, :attempts, :now, 'lost', 'the worker ended while sending; it may have arrived', :worker)""")


# The outcome of a delivery's last attempt, as SQL.
LAST_OUTCOME = (
    "(SELECT t.outcome FROM attempt t WHERE t.delivery_id = {delivery}.id ORDER BY t.number DESC LIMIT 1)"
)


def write(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Rows with all columns of the table but its id."""
    _WRITE.run_all(connection, rows)


def write_lost(connection: Connection, delivery_id: int, number: int, worker: str, now: datetime) -> None:
    """An attempt that its worker did not live to report."""
    _WRITE_LOST.run(connection, {"id": delivery_id, "attempts": number, "worker": worker, "now": now})


LONGEST_GAP = timedelta(days=1, hours=1)  # the longest wait between two attempts: what a partner may ask for


def tried_for(connection: Connection, delivery_id: int, now: datetime) -> timedelta:
    """For how long a delivery was tried: a sum of steps, so that a clock that jumps adds one of them, not the jump."""
    moments = [from_micros(moment) for (moment,) in _STARTED.rows(connection, id=delivery_id)]
    steps = (later - earlier for earlier, later in pairwise([*moments, now]))
    return sum((min(max(step, timedelta(0)), LONGEST_GAP) for step in steps), timedelta(0))


def tried_for_each(record: Record, ids: Sequence[int], now: datetime) -> dict[int, timedelta]:
    """The same for several, in a transaction of its own; none of them costs nothing."""
    if not ids:
        return {}
    with record.reading() as connection:
        return {each: tried_for(connection, each, now) for each in ids}


_STARTED = Statement("SELECT started_at FROM attempt WHERE delivery_id = :id ORDER BY id")


class WipedAnswer(NamedTuple):
    """The rest of an attempt's answer: the hash of its body, its words, a header's name."""

    id: int
    words: str
    headers: str | None
    hash: str | None


def wipe(connection: Connection, wiped: Sequence[WipedAnswer]) -> None:
    """Takes the answers out of these attempts."""
    _WIPE.run_all(connection, [each._asdict() for each in wiped])


_WIPE = Statement(
    "UPDATE attempt SET words = :words, response_headers = :headers, response_body = NULL, answer_hash = :hash"
    " WHERE id = :id"
)


def writing_settled(settled: str, lease: str) -> str:
    """PostgreSQL: the same as a part of a larger statement. `settled` names a query's rows: those of the JSON, `v`."""
    own = {"delivery_id": "v.id", "number": "v.attempts", "worker": lease}
    own["response_body"] = "decode(v.response_body, 'base64')"
    values = ", ".join(own.get(name, f"v.{name}") for name in _COLUMNS)
    return f"INSERT INTO attempt ({', '.join(_COLUMNS)}) SELECT {values} FROM {settled}"
