"""Routing: from events to deliveries. One router at a time, in the order of each article's revisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from service.store.database import locks
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.deliveries import due_times, numbering, routing_rules, state_writes, withdrawals
from service.store.deliveries.routing_rules import OWED_TO_HOLDERS
from service.store.deliveries.state_writes import NewRevision
from service.store.deliveries.states import UNSETTLED
from service.store.events import Event, mark_routed, unrouted
from service.store.feeds.placements import place, section_feeds
from service.store.schema.articles import TAKEDOWN_EVENTS
from service.store.schema.deliveries import delivery

ROUTER_LOCK = 0x0DA7E207


@dataclass(frozen=True)
class RoutingResult:
    """`more`: there may be further events, call again.

    `beside`: another router is at work, and may not see what has just come.
    """

    events: int
    deliveries: int
    feeds: int
    more: bool
    beside: bool = False


def route(record: Record, now: datetime, limit: int = 50) -> RoutingResult:
    """Claims unrouted events and writes their deliveries, in one transaction: each event is routed exactly once.

    Killed half-way, nothing of it stands; run beside itself, the second finds the lock taken and does nothing.
    """
    with record.writing() as connection:
        if not alone(record, connection):
            return RoutingResult(0, 0, 0, more=False, beside=True)
        events = unrouted(connection, limit)
        if not events:
            return RoutingResult(0, 0, 0, more=False)
        sections = section_feeds(connection)
        rows = routing_rules.deliveries(events, routing_rules.read(connection, events, sections), now)
        feeds = place(connection, events, sections, now)
        if owing := [each.article_id for each in events if each.type in OWED_TO_HOLDERS]:
            _stop_claims(connection, owing, rows)
            # Once more, with those who became holders until now.
            rows = routing_rules.deliveries(events, routing_rules.read(connection, events, sections), now)
        # The endpoints are locked from here on, and claims go round them: only what must be is done under the locks.
        numbering.number(connection, rows, now)
        _supersede(connection, events, now)
        state_writes.enqueue(connection, rows)
        _supersede_taken_down(connection, events, now)
        _follow_embargoes(connection, events, now)
        _cancel_unheld(connection, events, now)
        mark_routed(connection, [each.id for each in events], now)
    return RoutingResult(len(events), len(rows), feeds, more=len(events) == limit)


# The commit need not wait for the disk: what comes of a routing, first of all a claim, is committed after it, and on
# the disk only together with it; lost before, it is done again.
_ALONE = Statement("SELECT pg_try_advisory_xact_lock(:key), set_config('synchronous_commit', 'off', true)")


def alone(record: Record, connection: Connection) -> bool:
    """Whether this transaction, until it ends, is the only one that writes deliveries of events."""
    if record.is_sqlite:
        return True  # it has the file's lock
    return bool(_ALONE.rows(connection, key=ROUTER_LOCK)[0][0])


def _stop_claims(connection: Connection, articles: list[int], rows: list[dict[str, Any]]) -> None:
    """Until this transaction ends nobody becomes a holder of these articles unseen.

    What of them still waits could be claimed between the look at the holders and its being superseded: then it
    would be sent, and its takedown would not. A claim needs its endpoint's lock; one that has it is waited for.
    """
    waiting = select(delivery.c.endpoint_id).where(
        delivery.c.article_id.in_(articles), delivery.c.state.in_([each.value for each in UNSETTLED])
    )
    ids = {row["endpoint_id"] for row in rows}.union(connection.execute(waiting).scalars())
    locks.lock_endpoints(connection, ids)


def _supersede(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Intake did this already, but for what was being routed, or came back from the wire, at that very moment."""
    newest = [
        NewRevision(each.article_id, each.newest, each.newest_status != "usable")
        for each in events
        if each.newest > 1 and each.revision == each.newest
    ]
    state_writes.supersede(connection, newest, now, await_settlements=True)


def _supersede_taken_down(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Revisions before a takedown go to nobody, though the story is back already when all of it is routed at once.

    At an endpoint that wants every revision they would wait for ever, and those after them with them.
    """
    taken_down = [
        NewRevision(each.article_id, each.revision, takedown=True)
        for each in events
        if each.type in TAKEDOWN_EVENTS and 1 < each.revision < each.newest
    ]
    state_writes.supersede(connection, taken_down, now)


def _follow_embargoes(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Intake did this already, but for what was being routed at that very moment."""
    changed = [each.article_id for each in events if 1 < each.revision == each.newest]
    due_times.follow_embargo(connection, changed, now)


def _cancel_unheld(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """A takedown of what an endpoint never got is no news to it.

    The holders were read before what is on the wire was locked: one that came back unsent since is seen here.
    """
    takedowns = [
        NewRevision(each.article_id, each.revision, takedown=True)
        for each in events
        if each.type in TAKEDOWN_EVENTS and each.revision == each.newest
    ]
    state_writes.cancel(connection, takedowns)
    withdrawals.withdraw(connection, takedowns, now)
