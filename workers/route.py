"""Route: new events become deliveries, and the feeds they touch are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service import logs
from service.runtime.celery_app import DELIVER, PUBLISH
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.deliveries.routing import RoutingResult
from workers.leader import Clocks
from workers.single_flight import SingleFlight

log = logs.get("route")

# Articles routed in one transaction: as many as make so many deliveries, for endpoints and feeds are locked meanwhile.
FEWEST_EVENTS, MOST_EVENTS, ENOUGH_DELIVERIES = 50, 200, 1_000
HINT_FROM = 64  # deliveries: below it, hinting other processes costs more than it gains
HINT_EVERY = 0.1  # seconds, while more is being routed: a process that delivers goes on until nothing is left
# Pushes go first: feeds are asked for this long after their stories, and a burst of articles is one build.
PUBLISH_AFTER = 0.05  # seconds
# Another process routes, and may not see the newest events: after so many seconds we look again, so many times.
OTHER_ROUTER_WAIT, OTHER_ROUTER_LOOKS = 0.01, 50


@dataclass(frozen=True)
class RouteTotals:
    """The sum of a drain. `other_router`: another was at work, which may have missed the last of the events."""

    events: int
    deliveries: int
    other_router: bool


def drain(
    record: Record,
    clock: Callable[[], datetime],
    *,
    stopping: Callable[[], bool] = lambda: False,
    on_batch: Callable[[RoutingResult], None] = lambda _: None,
) -> RouteTotals:
    """Routes until no event is left, or it is `stopping`, a batch at a time; `on_batch` hears of each at once.

    Of two that run at the same time, one works and the other finds nothing.
    """
    events = deliveries = 0
    limit = FEWEST_EVENTS
    while True:
        routed = routing.route(record, clock(), limit)
        if routed.deliveries:  # twice as many at the most: the next may be for many more
            enough = ENOUGH_DELIVERIES * routed.events // routed.deliveries
            limit = max(FEWEST_EVENTS, min(MOST_EVENTS, 2 * limit, enough))
        events += routed.events
        deliveries += routed.deliveries
        if routed.events:
            on_batch(routed)
            log.info("events.routed", events=routed.events, deliveries=routed.deliveries, feeds=routed.feeds)
        if not routed.more or stopping():
            return RouteTotals(events, deliveries, routed.beside)


class RouteTask:
    """The routing of one process. `drain` may be called from any thread: one routes, the others leave a wish."""

    def __init__(
        self,
        record: Record,
        clocks: Clocks,
        hint: Callable[[str, float], None],
        *,
        delivers_here: bool,
    ) -> None:
        """`hint` tells other processes of a task, in so many seconds. `delivers_here`: so does this process."""
        self._record = record
        self._clocks = clocks
        self._hint = hint
        self._delivers_here = delivers_here
        self._flight = SingleFlight(self._run)
        self._unhinted = False  # there are deliveries that other processes have had no hint of
        self._hint_at = 0.0  # steady

    def drain(self) -> int:
        """Routes until no event is left; returns how many deliveries that made."""
        return self._flight.run()

    def request(self) -> bool:
        return self._flight.request()

    def stop(self) -> None:
        self._flight.stop()

    def close(self, seconds: float) -> None:
        self._flight.close(seconds)

    def _run(self) -> int:
        deliveries = 0
        for _ in range(OTHER_ROUTER_LOOKS + 1):
            totals = drain(
                self._record, self._clocks.now, stopping=self._flight.stopped, on_batch=self._hint_others
            )
            deliveries += totals.deliveries
            if not totals.other_router or self._flight.stopped():
                break
            self._flight.pause(OTHER_ROUTER_WAIT)
        return deliveries

    def _hint_others(self, routed: RoutingResult) -> None:
        """Hints other processes at their work; they begin while the rest is routed."""
        if routed.feeds:
            self._hint(PUBLISH, PUBLISH_AFTER)
        many = routed.more or routed.deliveries > HINT_FROM
        self._unhinted |= bool(routed.deliveries) and (many or not self._delivers_here)
        if self._unhinted and (not routed.more or self._clocks.steady() >= self._hint_at):
            self._unhinted = False
            self._hint_at = self._clocks.steady() + HINT_EVERY
            self._hint(DELIVER, 0.0)
