"""The statements that write deliveries: one function for each transition of `states`, all in the caller's transaction.

Each is a compare-and-set: it changes only rows that are in a state the transition starts from. Several rows are locked
in the order of their ids first (database/locks.py); endpoints are locked before deliveries, by the caller.
The SQL is the same on both databases but for what one of them lacks: RETURNING from other tables on SQLite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store.database import locks
from service.store.database.sql import Query, Rows, Statement
from service.store.deliveries.states import (
    CANCEL,
    CLAIM,
    GIVE_BACK,
    RECOVER,
    SETTLE,
    SUPERSEDE,
    UNSETTLED,
    State,
    claimable,
    in_states,
    overtakes,
)
from service.store.schema.deliveries import delivery

# ---- enqueue and repeat: new rows

_ENQUEUE = Rows(
    delivery,
    {
        "endpoint_id": "bigint",
        "event_id": "bigint",
        "article_id": "bigint",
        "revision": "integer",
        "sequence": "bigint",
        "priority": "integer",
        "owed": "boolean",
        "ordered": "boolean",
        "state": "text",
        "superseded_by": "integer",
        "settled_at": "bigint",
        "due_at": "bigint",
        "created_at": "bigint",
    },
)


def enqueue(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Writes new deliveries: pending, or superseded on arrival. An event routed twice fails on the table's key."""
    _ENQUEUE.insert(connection, rows)


# ---- supersede and cancel: a newer revision


class NewRevision(NamedTuple):
    """An article's newest revision. `takedown`: it takes the story down."""

    article_id: int
    revision: int
    takedown: bool


# An endpoint that wants every revision (`ordered`) still gets the old ones first, but never the content of a story that
# was taken down, and not if it has ceased to want them: the newest, which says so, would go first.
_SUPERSEDE = Statement(f"""
    UPDATE delivery SET state = '{State.SUPERSEDED.value}', superseded_by = :revision, settled_at = :now
    WHERE article_id = :article_id AND {SUPERSEDE.guard()} AND revision < :revision AND (NOT ordered OR :takedown
        OR NOT (SELECT e.every_revision FROM endpoint e WHERE e.id = delivery.endpoint_id))""")
# A statement of its own, after the one that made the row unsettled: it sees what was routed while that one waited for
# a lock.
_SUPERSEDE_OVERTAKEN = Statement(f"""
    UPDATE delivery SET state = '{State.SUPERSEDED.value}', settled_at = :now,
        superseded_by = (SELECT max(o.revision) FROM delivery o
            WHERE o.article_id = delivery.article_id AND o.endpoint_id = delivery.endpoint_id)
    WHERE id = :id AND {SUPERSEDE.guard()} AND EXISTS (SELECT 1 FROM delivery o
        WHERE o.article_id = delivery.article_id AND o.endpoint_id = delivery.endpoint_id
            AND {overtakes("o", "delivery")})""")
_CANCEL = Statement(f"""
    UPDATE delivery SET state = '{State.CANCELLED.value}', superseded_by = NULL
    WHERE article_id = :article_id AND {CANCEL.guard()} AND superseded_by = :revision
        AND endpoint_id NOT IN (SELECT t.endpoint_id FROM delivery t
            WHERE t.article_id = :article_id AND t.revision = :revision)""")
_OF_ARTICLES = "article_id IN :articles[] AND "


def supersede(
    connection: Connection, newest: Sequence[NewRevision], now: datetime, *, await_settlements: bool = False
) -> None:
    """Nothing older of these articles is sent from now on.

    `await_settlements`: what is on the wire is locked too. A settlement that is being written at this moment is waited
    for and then seen here; one that comes later sees what is being routed. Either way a failure is not due again.
    """
    if not newest:
        return
    states = (*UNSETTLED, State.SENDING) if await_settlements else UNSETTLED
    articles = {"articles": [each.article_id for each in newest]}
    locks.lock_deliveries(connection, _OF_ARTICLES + in_states(states), articles)
    _run(connection, _SUPERSEDE, [each._asdict() | {"now": now} for each in newest])


def supersede_overtaken(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """Of these, which came back from the wire, none is sent that a newer revision has overtaken meanwhile."""
    _SUPERSEDE_OVERTAKEN.run_all(connection, [{"id": each, "now": now} for each in ids])


def cancel(connection: Connection, takedowns: Sequence[NewRevision]) -> None:
    """A takedown of what an endpoint never got is no news to it: what waited there is cancelled, not superseded.

    After the takedowns' own deliveries are written.
    """
    _CANCEL.run_all(connection, [each._asdict() for each in takedowns])


def _run(connection: Connection, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
    """A driver's `execute` costs less for the one row that an intake has."""
    if len(rows) == 1:
        statement.run(connection, rows[0])
    else:
        statement.run_all(connection, rows)


# ---- claim


class ClaimedRow(NamedTuple):
    """A delivery that was claimed, with what its endpoint and event say of it. `due_at` in microseconds."""

    id: int
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
    secret_sealed: bytes
    schedule: str | None
    healthy: bool
    event_public_id: str
    replay: int
    due_at: int
    max_in_flight: int


_CLAIM = f"""
    UPDATE delivery AS x SET state = '{State.SENDING.value}', attempts = attempts + 1, lease = :lease,
        lease_until = :until"""
_CLAIMED = """x.id, x.endpoint_id, e.partner_id, x.event_id, x.article_id, x.revision, x.sequence, x.priority,
        x.attempts, x.forgiven, x.created_at, e.url, e.secret_sealed, e.schedule,
        (e.breaker = 'closed' AND e.failures = 0 AND e.failing_since IS NULL AND e.slow_start IS NULL),
        v.public_id, x.replay, x.due_at, e.max_in_flight"""
# All is checked again: since the pick, which locks nothing, an intake may have superseded one of them, and another
# worker may have claimed it, or another of the same article.
_CLAIM_POSTGRESQL = Query(
    ClaimedRow,
    f"""{_CLAIM} FROM endpoint e, event v
    WHERE x.id IN :ids[] AND e.id = x.endpoint_id AND v.id = x.event_id AND {claimable("x")}
    RETURNING {_CLAIMED}""",
)
_CLAIM_SQLITE = Statement(f"{_CLAIM} WHERE x.id IN :ids[] AND {CLAIM.guard('x')} RETURNING id")
_CLAIMED_SQLITE = Query(
    ClaimedRow,
    f"""SELECT {_CLAIMED} FROM delivery x JOIN endpoint e ON e.id = x.endpoint_id JOIN event v ON v.id = x.event_id
    WHERE x.id IN :ids[]""",
)


def claim(
    connection: Connection, ids: list[int], lease: str, until: datetime, now: datetime
) -> list[ClaimedRow]:
    """Puts those that may still go on the wire, under this lease, in no order; no two of one article and endpoint."""
    if connection.dialect.name == "sqlite":
        taken = [number for (number,) in _CLAIM_SQLITE.rows(connection, lease=lease, until=until, ids=ids)]
        return _CLAIMED_SQLITE.all(connection, ids=taken)
    locks.lock_deliveries(connection, locks.BY_ID, {"ids": ids})
    return _CLAIM_POSTGRESQL.all(connection, lease=lease, until=until, ids=ids, now=now)


# ---- settle, give back, recover: from the wire


def _settled(value: str) -> str:
    """The columns that a settlement sets; `value` goes before the name of what it sets them to."""
    return f"""state = {value}state, due_at = {value}due_at, reached = (d.reached OR {value}reached),
        last_status = {value}status, last_words = {value}words, lease = NULL, lease_until = NULL,
        settled_at = CASE WHEN {value}state = '{State.WAITING.value}' THEN NULL ELSE :now END"""


# Its writer is alone: what is found to be ours stays so until it is written.
_OURS_SQLITE = Statement(
    f"SELECT id, attempts, created_at FROM delivery WHERE id IN :ids[] AND {SETTLE.guard()} AND lease = :lease"
)
_SETTLE_SQLITE = Statement(f"UPDATE delivery AS d SET {_settled(':')} WHERE d.id = :id")
_GIVE_BACK = Statement(f"""
    UPDATE delivery SET state = CASE WHEN attempts = forgiven + 1 THEN '{State.PENDING.value}'
        ELSE '{State.WAITING.value}' END, attempts = attempts - 1, lease = NULL, lease_until = NULL
    WHERE id = :id AND {GIVE_BACK.guard()} AND lease = :lease AND attempts = :attempts""")
# It may have arrived, so it counts as reached, and goes again under the same id.
_RECOVER = Statement(f"""
    UPDATE delivery SET state = '{State.WAITING.value}', reached = true, due_at = :now, lease = NULL, lease_until = NULL
    WHERE id = :id AND {RECOVER.guard()} AND attempts = :attempts AND lease = :lease""")
_FORGIVE = Statement("UPDATE delivery SET forgiven = forgiven + 1 WHERE id = :id")


def ours(connection: Connection, ids: list[int], lease: str) -> set[tuple[int, int, int]]:
    """SQLite: (id, attempts, created_at) of those of them that are on the wire under this lease.

    In a record that was set back the number may be another delivery's, but that one was not made at the same moment.
    """
    return {(row[0], row[1], row[2]) for row in _OURS_SQLITE.rows(connection, ids=ids, lease=lease)}


def settle(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """SQLite: ends or puts off what is `ours`."""
    _SETTLE_SQLITE.run_all(connection, rows)


def settling(rows: str) -> str:
    """PostgreSQL: the same as a part of a larger statement, for `rows`, which have a settlement's columns. The query
    `locked` has locked the deliveries. Returns each one's id, article_id, endpoint_id and revision.

    For the plan's sake: the ids once more, so that not all deliveries are read in order to join them; and what is
    asked of their state as one question, of which PostgreSQL does not guess that it leaves one row.
    """
    return f"""UPDATE delivery AS d SET {_settled(f"{rows}.")} FROM {rows}
        WHERE (SELECT count(*) FROM locked) > 0 AND d.id IN :ids[] AND d.id = {rows}.id
            AND CASE WHEN {SETTLE.guard("d")} AND d.lease = :lease AND d.attempts = {rows}.attempts
                AND d.created_at = {rows}.created_at
                THEN true ELSE false END
        RETURNING d.id, d.article_id, d.endpoint_id, d.revision"""


def give_back(connection: Connection, claims: Sequence[tuple[int, int]], lease: str) -> None:
    """Returns claimed deliveries, (delivery, attempt), unsent: each is as before the claim, due at its old time."""
    locks.lock_deliveries(connection, locks.BY_ID, {"ids": [each for each, _ in claims]})
    _GIVE_BACK.run_all(
        connection, [{"id": each, "lease": lease, "attempts": attempts} for each, attempts in claims]
    )


def recover(connection: Connection, delivery_id: int, attempts: int, lease: str, now: datetime) -> bool:
    """Frees a delivery whose worker is lost; False if it was settled, or claimed again, since it was seen."""
    values = {"id": delivery_id, "attempts": attempts, "lease": lease, "now": now}
    return _RECOVER.run(connection, values) == 1


def forgive(connection: Connection, ids: Sequence[int]) -> None:
    """The last attempt of these does not count in the schedule of retries."""
    _FORGIVE.run_all(connection, [{"id": each} for each in ids])


# ---- words alone


def reword(connection: Connection, words: Mapping[int, str]) -> None:
    """Gives deliveries, by their ids, other last words. No state changes."""
    _REWORD.run_all(connection, [{"id": number, "words": text} for number, text in sorted(words.items())])


_REWORD = Statement("UPDATE delivery SET last_words = :words WHERE id = :id")
