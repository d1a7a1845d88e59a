"""Route: new events become deliveries, and the feeds they touch are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service import logs
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.deliveries.routing import RoutingResult

log = logs.get("route")

# Articles routed in one transaction: as many as make so many deliveries, for endpoints and feeds are locked meanwhile.
LEAST, MOST, ENOUGH = 50, 200, 1_000


@dataclass(frozen=True)
class Done:
    """What a drain of the events made. `beside`: another router was at work, which may have missed the last of them."""

    events: int
    deliveries: int
    beside: bool


def drain(
    record: Record,
    clock: Callable[[], datetime],
    *,
    stopping: Callable[[], bool] = lambda: False,
    tell: Callable[[RoutingResult], None] = lambda _: None,
) -> Done:
    """Routes until no event is left, or it is `stopping`, a batch at a time; `tell` hears of each at once.

    Run beside itself, one works and the other finds nothing.
    """
    events = deliveries = 0
    limit = LEAST
    while True:
        routed = routing.route(record, clock(), limit)
        if routed.deliveries:  # twice as many at the most: the next may be for many more
            limit = max(LEAST, min(MOST, 2 * limit, ENOUGH * routed.events // routed.deliveries))
        events += routed.events
        deliveries += routed.deliveries
        if routed.events:
            tell(routed)
            log.info("events.routed", events=routed.events, deliveries=routed.deliveries, feeds=routed.feeds)
        if not routed.more or stopping():
            return Done(events, deliveries, routed.beside)
