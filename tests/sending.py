"""Sending without a network: a test claims what is due and says how each push ended."""

from __future__ import annotations

from datetime import datetime

from service.store.articles import accept
from service.store.database.record import Record
from service.store.deliveries import claims, routing, settlements
from service.store.deliveries.claims import ClaimedDelivery, Cursor
from service.store.deliveries.settlements import Settlement
from service.store.deliveries.states import State
from tests.builders import NOW, later, pushes_for

WORKER = "w1"


def work(record: Record, now: datetime) -> None:
    """The sweep's part and the routing, as workers do it at this moment."""
    accept.expire_due(record, now)
    accept.return_due(record, now)
    while routing.route(record, now).more:
        pass


def claim(record: Record, now: datetime) -> list[ClaimedDelivery]:
    found, _ = claims.claim(record, lease=WORKER, limit=100, cursor=Cursor(), now=now)
    return found


def deliver(record: Record, now: datetime, state: State = State.DELIVERED) -> list[ClaimedDelivery]:
    """Claims and settles until nothing is due; returns all of it in the order of sending."""
    sent: list[ClaimedDelivery] = []
    while found := claim(record, now):
        rows = [settlement(each, state, later(10**6)) for each in found]
        settlements.settle(record, rows, lease=WORKER, now=now)
        sent += found
    return sent


def settlement(claimed: ClaimedDelivery, state: State, due_at: datetime) -> Settlement:
    timings = ["lookup_ms", "connect_ms", "tls_ms", "first_byte_ms", "total_ms"]
    blank = dict.fromkeys([*timings, "address", "response_headers", "response_body"])
    attempt = {"started_at": NOW, "outcome": "delivered", "status": 200, "words": "answered 200", **blank}
    return Settlement(claimed, state, due_at, True, 200, "answered 200", attempt)


def bodies(record: Record, claimed: list[ClaimedDelivery]) -> list[str]:
    return [push.body.decode() for push in pushes_for(record, claimed, NOW)]


def revisions(claimed: list[ClaimedDelivery]) -> list[int]:
    return [each.revision for each in claimed]
