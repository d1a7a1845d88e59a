"""Who has nothing but a slow partner to wait for hears at once of what else there is to do."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from service.store.database.record import Record
from service.store.deliveries import routing
from tests.builders import a_desk, an_article, an_endpoint, post
from tests.desk import eventually
from tests.integration.test_transport import OK, a_push, a_sender, a_server, answering
from workers.deliver import loop
from workers.deliver.loop import Courier
from workers.net.transport import Sender


def now() -> datetime:
    return datetime.now(UTC)


def hangs(server: Any) -> Any:
    return lambda _connection, _request: server[0].over.wait(20) and False


def test_who_waits_for_an_answer_can_be_woken_from_another_thread() -> None:
    servers: list[Any] = []
    with a_server(hangs(servers)) as server, a_sender(total_timeout=60.0) as sender:
        servers.append(server)
        sender.submit(a_push(server.url))
        eventually(lambda: sender.poll(0.1) or server.requests, within=10, what="the push is on the wire")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(sender.poll, 30)
            sender.wake()
            assert waiting.result(timeout=10) == []
        assert sender.in_flight == 1


def test_one_word_that_came_early_is_heard_once() -> None:
    servers: list[Any] = []
    with a_server(hangs(servers)) as server, a_sender(total_timeout=60.0) as sender:
        servers.append(server)
        for _ in range(100_000):  # more than its socket takes: nobody waits for whom it wakes
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


def test_a_partner_that_hangs_keeps_nobody_elses_news_waiting(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "IDLE_POLL", 60.0)  # as if it never looked up by itself
    servers: list[Any] = []
    with a_server(hangs(servers)) as slow, a_server(answering(OK, keep=True)) as quick:
        servers.append(slow)
        source = a_desk(record)
        an_endpoint(record, url=slow.url, sections=["china"])
        an_endpoint(record, url=quick.url, sections=["world"])
        post(record, source, an_article(external_id="1", sections=("china",)), now=now())
        routing.route(record, now())
        sender = Sender([ip_network("127.0.0.0/8")], user_agent="test", total_timeout=60)
        courier = Courier(record, sender, "w1.test", now, lambda: 0.5)
        with ThreadPoolExecutor(1) as pool:
            drained = pool.submit(courier.drain)
            eventually(lambda: slow.requests, within=10, what="the slow partner's push is on the wire")
            time.sleep(0.2)  # until it waits for nothing else
            post(record, source, an_article(external_id="2"), now=now())
            routing.route(record, now())
            assert courier.drain() == 0  # another drains: it leaves word
            eventually(lambda: quick.requests, within=10, what="the quick partner has its news")
            slow.over.set()
            courier.close()
            assert drained.result(timeout=10) == 2
