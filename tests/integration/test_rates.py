"""Rate limits: what an endpoint asked for holds, over all workers, at any rate, whatever the clock does."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from service.store.articles.sources import Source
from service.store.coordination import due_work, heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, rates, routing, settlements
from service.store.deliveries.claims import ClaimedDelivery, Cursor
from service.store.deliveries.rates import Bucket
from service.store.partners import endpoints
from service.store.schema.base import to_micros
from service.store.schema.partners import endpoint as endpoint_table
from service.webhooks.receiver import Receiver
from tests.builders import NOW, SECRET, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.seeded import a_settlement
from workers.deliver.loop import DeliveryLoop
from workers.net.transport import Sender

WORKERS = ("w1.test", "w2.test")


def a_limited_endpoint(
    record: Record, rate: float, stories: int, source: Source | None = None, **options: object
) -> int:
    source = source or a_desk(record)
    for worker in WORKERS:
        heartbeats.heartbeat(record, worker, broker="up", now=NOW)
    endpoint = an_endpoint(record, rate=rate, max_in_flight=64, **options)
    for number in range(stories):
        post(record, source, an_article(external_id=str(number)))
    while routing.route(record, NOW).more:
        pass
    return endpoint.id


def claim(record: Record, now: datetime, worker: str = WORKERS[0]) -> list[ClaimedDelivery]:
    return claims.claim(record, lease=worker, limit=1000, cursor=Cursor(), now=now)[0]


def deliver(record: Record, now: datetime, worker: str) -> int:
    claimed = claim(record, now, worker)
    ends = [a_settlement(each, "delivered", "took it", now) for each in claimed]
    settlements.settle(record, ends, lease=worker, now=now)
    return len(claimed)


@pytest.mark.parametrize(
    ("rate", "seconds", "step"), [(0.2, 60.0, 0.5), (7.0, 5.0, 0.01), (500.0, 0.4, 0.004)]
)
def test_a_limit_holds_over_all_workers_and_is_used_up(
    record: Record, rate: float, seconds: float, step: float
) -> None:
    a_limited_endpoint(record, rate, stories=int(rate * (seconds + 0.2)) + 5)
    sent: list[tuple[float, int]] = []
    for turn in range(int(seconds / step) + 1):
        at = turn * step
        sent += [(at, deliver(record, later(at), worker)) for worker in WORKERS]
    for start in (0.0, seconds / 3, seconds / 2):
        within = sum(count for at, count in sent if at >= start)
        assert within <= rate * (seconds - start + rates.BURST) + 1
    assert sum(count for _, count in sent) >= 0.9 * rate * (seconds - step)


def test_the_moment_of_the_next_push_is_known_so_that_nobody_asks_in_vain(record: Record) -> None:
    a_limited_endpoint(record, 0.2, stories=2)
    assert due_work.due_now(record, NOW).deliveries
    assert deliver(record, NOW, WORKERS[0]) == 1
    assert not due_work.due_now(record, later(4.9)).deliveries
    moment = due_work.next_moment(record, later(1))
    assert moment is not None
    assert abs(moment - later(5)) < timedelta(milliseconds=1)
    assert due_work.due_now(record, moment).deliveries
    assert deliver(record, moment, WORKERS[1]) == 1
    assert due_work.next_moment(record, later(6)) is None


def test_takedowns_ignore_the_limit(record: Record) -> None:
    source = a_desk(record)
    endpoint_id = a_limited_endpoint(record, 0.2, stories=3, source=source)
    for number in range(3):
        assert deliver(record, later(10 * number), WORKERS[0]) == 1
    for number in range(3):
        post(record, source, a_takedown(external_id=str(number)), now=later(20))
    routing.route(record, later(20))
    assert [each.priority for each in claim(record, later(20))] == [0, 0, 0]
    assert endpoints.get_endpoint(record, endpoint_id).rate_per_second == 0.2


def test_a_push_that_was_superseded_meanwhile_costs_no_token(record: Record) -> None:
    endpoint_id = a_limited_endpoint(record, 0.2, stories=1)
    with record.reading() as connection:
        row = connection.execute(select(endpoint_table).where(endpoint_table.c.id == endpoint_id)).one()
    assert (row.tokens, row.refilled_at) == (None, None)
    assert claim(record, NOW)
    with record.reading() as connection:
        row = connection.execute(select(endpoint_table).where(endpoint_table.c.id == endpoint_id)).one()
    assert (row.tokens, row.refilled_at) == (0.0, NOW)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_an_hour_neither_stops_an_endpoint_nor_floods_it(
    record: Record, hours: int
) -> None:
    a_limited_endpoint(record, 1.0, stories=10)
    assert deliver(record, later(7200), WORKERS[0]) == 1
    jumped = later(7200 + 3600 * hours)
    assert due_work.due_now(record, jumped).deliveries
    assert deliver(record, jumped, WORKERS[0]) == 1
    assert deliver(record, jumped + timedelta(seconds=0.5), WORKERS[0]) == 0
    assert deliver(record, jumped + timedelta(seconds=1), WORKERS[0]) == 1


RATES = st.floats(rates.LOWEST, rates.HIGHEST)


@given(RATES, st.floats(0, 5), st.floats(0, 1e4))
def test_a_bucket_never_holds_more_than_its_burst_nor_less_than_it_did(
    rate: float, tokens: float, seconds: float
) -> None:
    start = to_micros(NOW)
    tokens = min(tokens, max(1.0, rate * rates.BURST))
    level = Bucket(rate, tokens, start).level(start + int(seconds * 1e6))
    assert tokens <= level <= max(1.0, rate * rates.BURST)
    assert level <= tokens + rate * seconds + 1e-9


def test_a_worker_comes_back_by_itself_when_the_next_push_may_go(record: Record) -> None:
    arrived: list[float] = []
    with Receiver([SECRET], on_push=lambda _: arrived.append(time.monotonic())) as receiver:
        a_limited_endpoint(record, 20.0, stories=12, url=receiver.url)
        sender = Sender([ip_network("127.0.0.0/8")], user_agent="test")
        loop = DeliveryLoop(record, sender, WORKERS[0], lambda: datetime.now(UTC), lambda: 0.5)
        try:
            assert loop.drain() == 12
        finally:
            loop.close()
    assert len(arrived) == 12
    assert 0.4 <= arrived[-1] - arrived[0] < 3  # 12 pushes at 20 a second, the first two at once
