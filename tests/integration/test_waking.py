"""A worker that waits for a slow partner alone hears at once of other work."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from service.runtime.celery_app import ROUTE
from service.store.database.record import Record
from service.store.deliveries import routing
from tests.builders import a_desk, an_article, an_endpoint, post
from tests.desk import eventually
from tests.integration.test_transport import OK, a_push, a_sender, a_server, answering
from tests.worker import a_delivery_loop, a_runner
from workers.deliver import steps
from workers.leader import Clocks
from workers.net.transport import Timeouts

SLOW = Timeouts(total=60.0)


def now() -> datetime:
    return datetime.now(UTC)


def hangs(server: Any) -> Any:
    return lambda _connection, _request: server[0].over.wait(20) and False


def test_a_thread_that_waits_for_an_answer_can_be_woken_from_another() -> None:
    servers: list[Any] = []
    with a_server(hangs(servers)) as server, a_sender(timeouts=SLOW) as sender:
        servers.append(server)
        sender.submit(a_push(server.url))
        eventually(lambda: sender.poll(0.1) or server.requests, within=10, what="the push is on the wire")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(sender.poll, 30)
            sender.wake()
            assert waiting.result(timeout=10) == []
        assert sender.in_flight == 1


def test_a_wake_up_that_came_early_counts_once() -> None:
    servers: list[Any] = []
    with a_server(hangs(servers)) as server, a_sender(timeouts=SLOW) as sender:
        servers.append(server)
        for _ in range(100_000):  # more than the pipe takes: waking never blocks
            sender.wake()
        sender.submit(a_push(server.url))
        while not server.requests:
            sender.poll(0.1)
        while sender.poll(0.1):
            pass
        began = time.monotonic()
        sender.poll(0.3)
        assert time.monotonic() - began >= 0.3


def test_a_sender_that_is_closed_may_be_woken_still() -> None:
    with a_sender() as sender:
        pass
    sender.wake()


def test_a_partner_that_hangs_delays_nobody_elses_news_when_there_is_no_redis(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep then starts the work, and a drain that it started before may still wait for the partner."""
    monkeypatch.setattr(steps, "IDLE_POLL", 60.0)
    servers: list[Any] = []
    with a_server(hangs(servers)) as slow, a_server(answering(OK, keep=True)) as quick:
        servers.append(slow)
        source = a_desk(record)
        an_endpoint(record, url=slow.url, sections=["china"])
        an_endpoint(record, url=quick.url, sections=["world"])
        runner = a_runner(record, "w1.test", Clocks(now), timeouts=SLOW)
        post(record, source, an_article(external_id="1", sections=("china",)), now=now())
        runner.start(ROUTE)
        eventually(lambda: slow.requests, within=10, what="the slow partner's push is on the wire")
        post(record, source, an_article(external_id="2"), now=now())
        runner.start(ROUTE)
        eventually(lambda: quick.requests, within=10, what="the quick partner has its news")
        slow.over.set()
        runner.close()


def test_a_partner_that_hangs_keeps_nobody_elses_news_waiting(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "IDLE_POLL", 60.0)  # as if it never looked up by itself
    servers: list[Any] = []
    with a_server(hangs(servers)) as slow, a_server(answering(OK, keep=True)) as quick:
        servers.append(slow)
        source = a_desk(record)
        an_endpoint(record, url=slow.url, sections=["china"])
        an_endpoint(record, url=quick.url, sections=["world"])
        post(record, source, an_article(external_id="1", sections=("china",)), now=now())
        routing.route(record, now())
        loop = a_delivery_loop(record, "w1.test", now, SLOW)
        with ThreadPoolExecutor(1) as pool:
            drained = pool.submit(loop.drain)
            eventually(lambda: slow.requests, within=10, what="the slow partner's push is on the wire")
            time.sleep(0.2)  # until it waits for nothing else
            post(record, source, an_article(external_id="2"), now=now())
            routing.route(record, now())
            assert loop.drain() == 0  # another thread drains: this one leaves a wish
            eventually(lambda: quick.requests, within=10, what="the quick partner has its news")
            slow.over.set()
            loop.close()
            assert drained.result(timeout=10) == 2
