"""Due times and numbers of deliveries that wait: they move, and the state stays. In the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from service.store.database import locks
from service.store.database.sql import Statement
from service.store.deliveries.states import UNSETTLED, Priority, State, due, embargo, in_states
from service.store.schema.base import EPOCH, MICROSECOND

# No retry and no Retry-After puts a delivery off for longer: what is due later was put off by a clock that was ahead.
LONGEST_OUTAGE_WAIT = timedelta(hours=26)


_DUE_NOW = due("delivery")
_ASKED_TO_WAIT = """EXISTS (SELECT 1 FROM attempt t WHERE t.delivery_id = delivery.id AND t.number = delivery.attempts
          AND lower(t.response_headers) LIKE '%"retry-after"%')"""
# What failed as an outage does is due at once; what was refused, or asked to wait (Retry-After), keeps its time.
_HASTEN = f"""
    UPDATE delivery SET due_at = {_DUE_NOW}
    WHERE endpoint_id = :endpoint AND {in_states([State.WAITING])} AND due_at > :now AND NOT {_ASKED_TO_WAIT}"""
_HASTEN_REFUSED_TOO = Statement(_HASTEN)
_HASTEN_OUTAGE = Statement(
    f"{_HASTEN} AND (last_status IS NULL OR last_status NOT BETWEEN 400 AND 499 OR last_status IN (408, 425, 429))"
)
_HASTEN_TAKEDOWNS = Statement(f"""
    UPDATE delivery SET due_at = :now
    WHERE endpoint_id = :endpoint AND priority = {Priority.TAKEDOWN.value} AND {in_states(UNSETTLED)} AND due_at > :now
      AND NOT {_ASKED_TO_WAIT}
      AND NOT (EXISTS (SELECT 1 FROM attempt t WHERE t.delivery_id = delivery.id AND t.started_at < :since)
          AND EXISTS (SELECT 1 FROM attempt t WHERE t.delivery_id = delivery.id AND t.started_at >= :since))""")
_TRY_NOW = Statement(f"""
    UPDATE delivery SET due_at = {_DUE_NOW}
    WHERE endpoint_id = :endpoint AND {in_states(UNSETTLED)} AND due_at > :now AND due_at > {_DUE_NOW}""")
_DUE_STILL = Statement(f"""
    UPDATE delivery SET due_at = {_DUE_NOW}
    WHERE {in_states([State.PENDING])} AND due_at > :now AND due_at > {_DUE_NOW}""")
_WAIT_STILL = Statement(f"""
    UPDATE delivery SET due_at = CASE WHEN due_at - :back > {_DUE_NOW} THEN due_at - :back ELSE {_DUE_NOW} END
    WHERE {in_states([State.WAITING])} AND due_at > :now""")
_LATE = Statement(f"""
    UPDATE delivery SET due_at = {_DUE_NOW}
    WHERE due_at > {_DUE_NOW} AND ({in_states([State.PENDING])} AND due_at > :now
        OR {in_states([State.WAITING])} AND due_at > :now + {LONGEST_OUTAGE_WAIT // MICROSECOND})""")
_OF_ARTICLES = "article_id IN :articles[] AND "
# What waits for an embargo has not been tried since it was set: it goes when the present one ends. What waits for a
# retry keeps its time if that is later.
_FOLLOW = Statement(f"""
    UPDATE delivery SET due_at = {_DUE_NOW}
    WHERE {_OF_ARTICLES}{in_states(UNSETTLED)} AND priority > {Priority.TAKEDOWN.value}
      AND (due_at < {embargo("delivery")} OR ({in_states([State.PENDING])} AND due_at > {_DUE_NOW}))""")
_RESPECT = Statement(f"""
    UPDATE delivery SET due_at = {embargo("delivery")}
    WHERE id = :id AND {in_states(UNSETTLED)} AND due_at < {embargo("delivery")}""")


def hasten(connection: Connection, endpoint_id: int, now: datetime, *, refused: bool = False) -> None:
    """Makes the deliveries that an outage of the endpoint put off due now; `refused`: those that it refused, too."""
    statement = _HASTEN_REFUSED_TOO if refused else _HASTEN_OUTAGE
    statement.run(connection, {"endpoint": endpoint_id, "now": now})


def hasten_takedowns(
    connection: Connection, endpoint_id: int, now: datetime, *, failed_since: datetime | None = None
) -> None:
    """Makes the endpoint's takedowns that wait for a retry due now: it takes pushes again.

    Not where its partner asked to wait; nor, with `failed_since`, the endpoint's success before this one, those that
    were tried before that and again after it: they fail though it takes other pushes, and each success would send
    them once more.
    """
    values = {"endpoint": endpoint_id, "now": now, "since": failed_since or EPOCH}  # never
    _HASTEN_TAKEDOWNS.run(connection, values)


def try_now(connection: Connection, endpoint_id: int, now: datetime) -> int:
    """Makes all that waits at the endpoint due now, whatever it waits for but an embargo; returns how many moved."""
    return _TRY_NOW.run(connection, {"endpoint": endpoint_id, "now": now})


def keep_due(connection: Connection, was: datetime, now: datetime) -> int:
    """The time of day went from `was` back to `now`: news that was due is due still, retries go as long after this as
    they would have gone; embargoes keep their time. Returns how much news that was."""
    _WAIT_STILL.run(connection, {"back": (was - now) // MICROSECOND, "now": now})
    return _DUE_STILL.run(connection, {"now": now})


def release_late(connection: Connection, now: datetime) -> int:
    """Deliveries that a clock put off for longer than they may wait are due now: it was ahead, and nobody may have seen
    it go back. Returns how many."""
    return _LATE.run(connection, {"now": now})


def follow_embargo(connection: Connection, articles: Sequence[int], now: datetime) -> None:
    """Deliveries of these articles that wait, of any revision, are due when the present embargo ends; at once if there
    is none."""
    if articles:
        values = {"articles": list(articles)}
        locks.lock_deliveries(connection, _OF_ARTICLES + in_states(UNSETTLED), values)
        _FOLLOW.run(connection, values | {"now": now})


_NUMBER = Statement("UPDATE delivery SET sequence = :sequence WHERE id = :id AND sequence < 0")


def set_numbers(connection: Connection, numbers: Mapping[int, int]) -> None:
    """Gives these deliveries their sequence numbers."""
    rows = [{"id": number, "sequence": sequence} for number, sequence in sorted(numbers.items())]
    _NUMBER.run_all(connection, rows)


def respect_embargoes(connection: Connection, ids: Sequence[int]) -> None:
    """Of these, which came back from the wire, none is due before the embargo that its article has got meanwhile."""
    _RESPECT.run_all(connection, [{"id": each} for each in ids])
