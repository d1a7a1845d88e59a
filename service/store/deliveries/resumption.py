"""Resumption: an endpoint is back. What waited for it goes now, what was given up meanwhile goes again, newest only.

Or its operator wants to know: then all that waits is tried now, and nothing that was given up goes again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from service.store import names
from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.deliveries import due_times, requeue
from service.store.deliveries.states import UNSETTLED, Priority, in_states
from service.store.errors import NotFound


def revive(
    connection: Connection, endpoint_id: int, since: datetime, now: datetime, *, refused: bool = False
) -> int:
    """Has everything sent that its endpoint missed; returns how many of it were given up after `since`.

    Takedowns are due at once, so that nothing of it goes before them. `refused`: it refused story after story, so
    what it refused goes again at once; otherwise that is the stories' own fault and keeps its time.
    In the caller's transaction, which holds the endpoint's lock. Run twice, it changes nothing more.
    """
    due_times.hasten_takedowns(connection, endpoint_id, now)
    due_times.hasten(connection, endpoint_id, now, refused=refused)
    return requeue.revive_missed(connection, endpoint_id, since, now)


def revived_words(count: int) -> str:
    if not count:
        return ""
    return f"; {count} {'delivery that was' if count == 1 else 'deliveries that were'} given up will be sent again"


class _OutlookRow(NamedTuple):
    state: str
    breaker: str
    breaker_until: datetime | None
    not_before: datetime | None
    takedowns: int
    takedown_at: datetime | None
    others: int
    other_at: datetime | None


@dataclass(frozen=True)
class Outlook:
    """An endpoint's waiting pushes, embargoed or not, and when the first of them goes; None if none goes by itself.

    `trial`: its circuit is open, so that one push goes first, and the others after its success.
    """

    endpoint_id: int
    state: str
    waiting: int
    takedowns: int
    next_at: datetime | None
    trial: bool


_WAITING = f"FROM delivery d WHERE d.endpoint_id = e.id AND {in_states(UNSETTLED, 'd')} AND d.priority"
_TAKEDOWN, _OTHERS = f"= {Priority.TAKEDOWN.value}", f"> {Priority.TAKEDOWN.value}"
_OUTLOOK = Query(
    _OutlookRow,
    f"""SELECT e.state, e.breaker, e.breaker_until, e.not_before,
        (SELECT count(*) {_WAITING} {_TAKEDOWN}), (SELECT min(d.due_at) {_WAITING} {_TAKEDOWN}),
        (SELECT count(*) {_WAITING} {_OTHERS}), (SELECT min(d.due_at) {_WAITING} {_OTHERS})
    FROM endpoint e WHERE e.id = :endpoint""",
)


def outlook(record: Record, endpoint_id: int, now: datetime) -> Outlook:
    """The number of pushes that wait for an endpoint, and when the next goes. Raises NotFound."""
    with record.reading() as connection:
        return outlook_within(connection, endpoint_id, now)


def outlook_within(connection: Connection, endpoint_id: int, now: datetime) -> Outlook:
    """`outlook` in the caller's transaction."""
    row = _OUTLOOK.one(connection, endpoint=endpoint_id) if names.is_row(endpoint_id) else None
    if row is None:
        raise NotFound("endpoint", str(endpoint_id))
    moments = [row.takedown_at] if row.takedown_at else []
    if row.state == "live" and row.other_at is not None:
        until = row.breaker_until if row.breaker == "open" else None
        moments.append(max(filter(None, (row.other_at, row.not_before, until))))
    return Outlook(
        endpoint_id=endpoint_id,
        state=row.state,
        waiting=row.takedowns + row.others,
        takedowns=row.takedowns,
        next_at=max(now, min(moments)) if moments else None,
        trial=row.state == "live" and row.breaker != "closed" and row.others > 0,
    )


def try_now(connection: Connection, endpoint_id: int, now: datetime) -> Outlook:
    """Makes all that waits at an endpoint due now. What is under embargo, or waits for a paused endpoint, waits on.

    In the caller's transaction, which holds the endpoint's lock. Run twice, it changes nothing more.
    """
    due_times.try_now(connection, endpoint_id, now)
    return outlook_within(connection, endpoint_id, now)
