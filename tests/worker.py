"""A worker's tasks, put together as its process does, for tests that run them by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_network

from service.runtime.celery_app import DELIVER, PUBLISH, ROUTE
from service.store.database.record import Record
from workers.deliver.loop import DeliveryLoop
from workers.leader import Clocks, LeaderLease
from workers.net.transport import DEFAULT_TIMEOUTS, Sender, Timeouts
from workers.publish.builder import FeedBuilder
from workers.publish.task import PublishTask
from workers.route import RouteTask
from workers.runner import TaskRunner

LOOPBACK = (ip_network("127.0.0.0/8"),)
URL = "https://news.example.org"


def a_delivery_loop(
    record: Record,
    worker: str,
    clock: Callable[[], datetime],
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    capacity: int = 256,
) -> DeliveryLoop:
    """It can reach 127.0.0.1 alone, and spreads no retries."""
    sender = Sender(LOOPBACK, user_agent="test", timeouts=timeouts, capacity=capacity)
    return DeliveryLoop(record, sender, worker, clock, lambda: 0.5)


def a_runner(
    record: Record,
    worker: str,
    clocks: Clocks,
    hint: Callable[[str, float], None] = lambda _task, _after: None,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
) -> TaskRunner:
    """It does all tasks."""
    builder = FeedBuilder(record, URL, clocks.now)
    return TaskRunner(
        {
            ROUTE: RouteTask(record, clocks, hint, delivers_here=True),
            PUBLISH: PublishTask(builder, LeaderLease(record, clocks), worker, clocks.steady),
            DELIVER: a_delivery_loop(record, worker, clocks.now, timeouts),
        }
    )
