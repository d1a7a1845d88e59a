"""A worker that stood still while others took over changes nothing when it is back, and sends nothing stale."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy import select

from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, recovery, routing
from service.store.deliveries.claims import Cursor
from service.store.schema.deliveries import attempt, delivery
from service.store.schema.partners import endpoint
from service.webhooks.receiver import Receiver
from tests.builders import NOW, SECRET, a_desk, an_article, an_endpoint, later, post
from tests.integration.test_transport import OK, Misbehaving, a_server
from workers.deliver.loop import DeliveryLoop
from workers.net.transport import Push, Sender
from workers.stall_detector import StallDetector, since_boot

LOOPBACK = [ip_network("127.0.0.0/8")]
WORKER = "w1.test"


def states(record: Record) -> list[tuple[int, str]]:
    table = delivery.c
    with record.reading() as connection:
        rows = connection.execute(select(table.revision, table.state).order_by(table.revision))
        return [tuple(row) for row in rows]


def test_a_push_on_the_wire_when_the_worker_stood_still_is_dropped_and_not_sent_late() -> None:
    stalls = [0]
    server = Misbehaving(lambda *_: bool(server.over.wait(20)))
    sender = Sender(LOOPBACK, user_agent="test", stalls=lambda: stalls[0])
    try:
        sender.submit(Push("token", server.url, (), b"first"))
        until = time.monotonic() + 10
        while not server.requests and time.monotonic() < until:
            assert sender.poll(0.02) == []
        stalls[0] += 1
        sender.submit(Push("other", server.url, (), b"never sent"), stalls_seen=0)  # claimed before
        ended = sender.poll(5)
        assert sorted(push.token for push, _ in ended) == ["other", "token"]
        assert sorted((push.token, outcome.kind, outcome.reached) for push, outcome in ended) == [
            ("other", "lost", False),
            ("token", "lost", True),
        ]
        assert sender.in_flight == 0
        assert len(server.requests) == 1
    finally:
        server.stop()
        sender.close()


def test_push_that_was_claimed_after_a_pause_is_sent_at_once_and_the_one_on_the_wire_is_dropped() -> None:
    stalls = [0]
    server = Misbehaving(lambda *_: bool(server.over.wait(20)))
    sender = Sender(LOOPBACK, user_agent="test", stalls=lambda: stalls[0])
    try:
        sender.submit(Push("before", server.url, (), b"first"), stalls_seen=0)
        until = time.monotonic() + 10
        while not server.requests and time.monotonic() < until:
            assert sender.poll(0.02) == []
        stalls[0] += 1
        sender.submit(Push("after", server.url, (), b"second"), stalls_seen=1)
        [(push, outcome)] = sender.poll(5)
        assert (push.token, outcome.kind, outcome.reached) == ("before", "lost", True)
        while len(server.requests) < 2 and time.monotonic() < until:
            assert sender.poll(0.02) == []
        assert server.requests[1].endswith(b"second")
        assert sender.in_flight == 1
    finally:
        server.stop()
        sender.close()


def a_loop(record: Record, stalls: Callable[[], int]) -> DeliveryLoop:
    sender = Sender(LOOPBACK, user_agent="test", stalls=stalls)
    return DeliveryLoop(record, sender, WORKER, lambda: datetime.now(UTC), lambda: 0.5, stalls)


def test_push_of_a_worker_that_stood_still_for_hours_while_idle_is_sent_at_once(record: Record) -> None:
    """Its machine was suspended, or it was stopped: nothing was in its hands that could have been overtaken."""
    source = a_desk(record)
    slept = [0.0]
    detector = StallDetector(lambda: time.monotonic() + slept[0])
    with Receiver([SECRET]) as receiver:
        an_endpoint(record, url=receiver.url)
        loop = a_loop(record, detector.stalls)
        for revision, headline in enumerate(("First", "Second", "Third"), 1):
            slept[0] += 3 * 3600
            heartbeats.heartbeat(record, WORKER, broker="up", now=datetime.now(UTC))
            post(record, source, an_article(headline=headline), now=datetime.now(UTC))
            routing.route(record, datetime.now(UTC))
            began = time.monotonic()
            assert loop.drain() == 1
            assert time.monotonic() - began < 2
            assert [each.revision for each in receiver.pushes][-1] == revision
        loop.close()
    with record.reading() as connection:
        assert connection.execute(select(attempt.c.outcome)).scalars().all() == ["delivered"] * 3
    assert detector.stalls() == 3


def test_pause_while_sending_costs_the_partner_no_failure_and_the_push_goes_again_at_once(
    record: Record,
) -> None:
    source = a_desk(record)
    asleep = [0]
    slow = [True]

    def behave(connection: Any, _: bytes) -> bool:
        if slow[0]:
            slow[0] = False
            asleep[0] += 1  # it stands still while the partner has the push
            return bool(server.over.wait(20))
        connection.sendall(OK)
        return True

    with a_server(behave) as server:
        an_endpoint(record, url=server.url)
        heartbeats.heartbeat(record, WORKER, broker="up", now=datetime.now(UTC))
        post(record, source, an_article(), now=datetime.now(UTC))
        routing.route(record, datetime.now(UTC))
        loop = a_loop(record, lambda: asleep[0])
        began = time.monotonic()
        assert loop.drain() == 2
        assert time.monotonic() - began < 3
        loop.close()
    with record.reading() as connection:
        outcomes = connection.execute(select(attempt.c.outcome, attempt.c.words).order_by(attempt.c.id)).all()
        [health] = connection.execute(select(endpoint.c.failing_since, endpoint.c.failures)).all()
        [row] = connection.execute(select(delivery.c.state, delivery.c.forgiven)).all()
    assert outcomes[0] == ("lost", "the worker stood still while sending; it may have arrived")
    assert outcomes[1][0] == "delivered"
    assert tuple(health) == (None, 0)
    assert tuple(row) == ("delivered", 1)


def test_clock_that_watches_for_pauses_goes_on_while_the_machine_is_suspended() -> None:
    boot = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before, found, after = time.clock_gettime(boot), since_boot(), time.clock_gettime(boot)
    assert before <= found <= after


def test_a_delivery_claimed_before_the_worker_stood_still_goes_back_unsent(record: Record) -> None:
    """It stands still between its claim and its push; meanwhile the newer revision was sent by another."""
    source = a_desk(record)
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    asked: list[int] = []

    def stalls() -> int:
        if len(asked) == 1:  # after the claim, before the push
            post(record, source, an_article(headline="Second"), now=datetime.now(UTC))
            routing.route(record, datetime.now(UTC))
        asked.append(min(len(asked), 1))
        return asked[-1]

    with Receiver([SECRET]) as receiver:
        an_endpoint(record, url=receiver.url)
        post(record, source, an_article())
        routing.route(record, NOW)
        sender = Sender(LOOPBACK, user_agent="test")
        loop = DeliveryLoop(record, sender, WORKER, lambda: datetime.now(UTC), lambda: 0.5, stalls)
        loop.drain()
        loop.close()
        assert [each.revision for each in receiver.pushes] == [2]
    assert states(record) == [(1, "superseded"), (2, "delivered")]


@pytest.mark.parametrize("hours", [-1, 1])
def test_news_is_not_held_up_by_a_clock_that_jumps(record: Record, hours: int) -> None:
    source = a_desk(record)
    an_endpoint(record)
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    post(record, source, an_article(external_id="news"))
    post(record, source, an_article(external_id="secret", embargo_until=later(60)))
    routing.route(record, NOW)
    jumped = NOW + timedelta(hours=hours)
    moved = recovery.clock_put_back(record, NOW, jumped) if hours < 0 else 0
    assert moved == (1 if hours < 0 else 0)
    got = claims.claim(record, lease=WORKER, limit=10, cursor=Cursor(), now=jumped)[0]
    assert len(got) == (1 if hours < 0 else 2)
