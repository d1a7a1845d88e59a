"""A worker that stood still while others took over changes nothing when it is back, and sends nothing stale."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from sqlalchemy import select

from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, recovery, routing
from service.store.deliveries.claims import Cursor
from service.store.schema.deliveries import delivery
from service.webhooks.receiver import Receiver
from tests.builders import NOW, SECRET, a_desk, an_article, an_endpoint, later, post
from tests.integration.test_transport import Misbehaving
from workers.deliver.loop import DeliveryLoop
from workers.net.transport import Push, Sender

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
        sender.submit(Push("other", server.url, (), b"never sent"))
        ended = sender.poll(5)
        assert sorted(push.token for push, _ in ended) == ["other", "token"]
        assert sorted((push.token, outcome.kind, outcome.reached) for push, outcome in ended) == [
            ("other", "unsent", False),
            ("token", "unsent", True),
        ]
        assert sender.in_flight == 0
        assert len(server.requests) == 1
    finally:
        server.stop()
        sender.close()


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
