"""A worker that is asked to end while partners let it wait ends soon, and a push that it cuts off is no failure."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.schema.deliveries import attempt, delivery
from service.store.schema.partners import endpoint
from tests.builders import a_desk, an_article, an_endpoint, post
from tests.desk import eventually
from tests.integration.test_transport import OK, Misbehaving, a_push, a_sender, a_server
from tests.seeded import claim_all
from tests.worker import a_delivery_loop
from workers import route
from workers.deliver import loop
from workers.net import outcome
from workers.publish.builder import FeedBuilder

WORDS = "the worker was stopped before an answer came; it may have arrived"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def partner() -> Iterator[Misbehaving]:
    """Answers a request with the word "quick" at once, and the rest never."""

    def behave(connection: Any, request: bytes) -> bool:
        if b"quick" in request:
            connection.sendall(OK)
            return True
        return server.over.wait(20)

    with a_server(behave) as server:
        yield server


def stopped_while_sending(record: Record, partner: Misbehaving, headlines: list[str]) -> float:
    """Sends a story of each headline, stops when all are on the wire; returns how many seconds the end took."""
    source = a_desk(record)
    an_endpoint(record, url=partner.url)
    for number, headline in enumerate(headlines):
        post(record, source, an_article(external_id=str(number), headline=headline), now=now())
    routing.route(record, now())
    deliveries = a_delivery_loop(record, "w1.test", now)
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(deliveries.drain)
        eventually(lambda: len(partner.requests) == len(headlines), within=10, what="all on the wire")
        began = time.monotonic()
        deliveries.close()
        assert drained.result(timeout=10) == len(headlines)
        return time.monotonic() - began


def rows(record: Record, *columns: Any) -> list[tuple[Any, ...]]:
    with record.reading() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(columns[0]))]


def test_push_that_hangs_when_its_worker_is_stopped_is_due_at_once_and_costs_the_partner_nothing(
    record: Record, partner: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "HANG_UP_AFTER", 0.2)
    took = stopped_while_sending(record, partner, ["quick", "slow"])
    assert 0.2 <= took < 2
    table, tried, health = delivery.c, attempt.c, endpoint.c
    states = rows(
        record, table.id, table.state, table.reached, table.attempts, table.forgiven, table.last_words
    )
    assert [each[1:5] for each in states] == [("delivered", True, 1, 0), ("waiting", True, 1, 1)]
    assert states[1][5] == WORDS
    assert [each[1:] for each in rows(record, tried.delivery_id, tried.outcome, tried.words)][1] == (
        "lost",
        WORDS,
    )
    [(_, failing_since, last_failure, failures)] = rows(
        record, health.id, health.failing_since, health.last_failure, health.failures
    )
    assert (failing_since, last_failure, failures) == (None, None, 0)
    [again] = claim_all(record, now())
    assert again.attempts - again.forgiven == 1
    [slow] = [each for each in partner.requests if b"slow" in each]
    assert again.public_id.encode() in slow


def test_an_answer_that_comes_soon_after_the_stop_counts(record: Record) -> None:
    def behave(connection: Any, _: bytes) -> bool:
        server.over.wait(0.5)
        connection.sendall(OK)
        return True

    with a_server(behave) as server:
        assert stopped_while_sending(record, server, ["one", "two"]) < 2
    assert {each[1] for each in rows(record, delivery.c.id, delivery.c.state)} == {"delivered"}


def test_a_push_that_was_not_connected_yet_is_not_said_to_have_arrived() -> None:
    with a_sender() as sender, socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # they fill the listener's queue; further ones get no answer from the kernel
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        sender.submit(a_push(f"http://127.0.0.1:{full.getsockname()[1]}/"))
        assert sender.poll(0.1) == []
        sender.drop(outcome.lost("the worker was stopped before an answer came"))
        [(_, result)] = sender.poll(0)
        for each in waiting:
            each.close()
    assert (result.kind, result.reached) == ("lost", False)
    assert result.words == "the worker was stopped before an answer came"


def test_a_worker_that_is_stopped_leaves_unrouted_events_and_unbuilt_feeds_to_the_others(
    record: Record,
) -> None:
    source = a_desk(record)
    for number in range(3):
        post(record, source, an_article(external_id=str(number)), now=now())
    builder = FeedBuilder(record, "https://news.example.org", now)
    routing.route(record, now(), limit=1)
    builder.stop()
    assert builder.drain() == 0
    assert route.drain(record, now, stopping=lambda: True).events == 2  # the batch at hand, whole
    assert FeedBuilder(record, "https://news.example.org", now).drain() > 0
