"""Route: new events become deliveries, and the feeds they touch are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service import logs
from service.store import routing
from service.store.record import Record

log = logs.get("route")


@dataclass(frozen=True)
class Done:
    """What a drain of the events made."""

    events: int
    deliveries: int
    feeds: int


def drain(
    record: Record, clock: Callable[[], datetime], stopping: Callable[[], bool] = lambda: False
) -> Done:
    """Routes until no event is left, or it is `stopping`. Run beside itself, one works and the other finds nothing."""
    events = deliveries = feeds = 0
    while True:
        routed = routing.route(record, clock())
        events += routed.events
        deliveries += routed.deliveries
        feeds += routed.feeds
        if routed.events:
            log.info("events.routed", events=routed.events, deliveries=routed.deliveries, feeds=routed.feeds)
        if not routed.more or stopping():
            return Done(events, deliveries, feeds)
