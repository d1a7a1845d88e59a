"""Claims under pressure: caps, slow start, the probe, takedowns beside hanging news, workers that claim at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select, update

from service.store import claims, leases, routing, schema, settlements
from service.store.claims import Claimed, Cursor
from service.store.record import Record
from service.store.sources import Source
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.seeded import a_settlement

WORKER = "w1.test"


@pytest.fixture(autouse=True)
def alive(record: Record) -> None:
    leases.beat(record, WORKER, broker="up", now=NOW)


def claim(record: Record, now: datetime = NOW, worker: str = WORKER) -> list[Claimed]:
    return claims.claim(record, lease=worker, limit=1000, cursor=Cursor(), now=now)[0]


def settle(record: Record, claimed: Sequence[Claimed], worker: str = WORKER) -> set[int]:
    ends = [a_settlement(each, "delivered", "took it", NOW) for each in claimed]
    return settlements.settle(record, ends, lease=worker, now=NOW)


def stories(record: Record, source: Source, count: int, prefix: str = "") -> None:
    for number in range(count):
        post(record, source, an_article(external_id=f"{prefix}{number}"))
    while routing.route(record, NOW).more:
        pass


def set_endpoint(record: Record, **columns: Any) -> None:
    with record.writing() as connection:
        connection.execute(update(schema.endpoint).values(**columns))


def flying(record: Record) -> int:
    query = select(func.count()).select_from(schema.delivery).where(schema.delivery.c.state == "sending")
    with record.reading() as connection:
        return int(connection.execute(query).scalar_one())


def test_endpoint_that_starts_slowly_gets_no_more_than_its_slow_start_allows(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=8)
    stories(record, source, 12)
    set_endpoint(record, slow_start=2)
    first = claim(record)
    assert len(first) == 2
    assert not first[0].healthy
    assert claim(record) == []
    set_endpoint(record, slow_start=64)
    assert len(claim(record)) == 6


def test_takedowns_go_beside_news_that_hangs_but_keep_to_the_cap_among_themselves(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=2)
    stories(record, source, 5)
    while held := claim(record):
        settle(record, held)
    stories(record, source, 4, "new")
    assert len(claim(record)) == 2
    for number in range(5):
        post(record, source, a_takedown(external_id=str(number)))
    routing.route(record, NOW)
    kills = claim(record)
    assert [each.priority for each in kills] == [0, 0]
    assert claim(record) == []
    settle(record, kills)
    assert [each.priority for each in claim(record)] == [0, 0]


def test_cap_holds_though_four_workers_claim_at_the_same_moment(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=3)
    stories(record, source, 120)
    names = [f"w{number}.test" for number in range(4)]
    barrier = threading.Barrier(len(names))
    seen: list[int] = []

    def work(name: str) -> None:
        for _ in range(10):
            barrier.wait(20)
            claimed = claim(record, worker=name)
            barrier.wait(20)
            seen.append(flying(record))
            barrier.wait(20)
            settle(record, claimed, name)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 40
    assert max(seen) == 3


@pytest.mark.parametrize(
    "columns", [{"not_before": later(26 * 3600)}, {"breaker": "open", "breaker_until": later(3600)}]
)
def test_wait_set_by_a_clock_that_was_put_back_since_holds_nobody(
    record: Record, columns: dict[str, Any]
) -> None:
    source = a_desk(record)
    an_endpoint(record)
    stories(record, source, 1)
    set_endpoint(record, **columns)
    assert len(claim(record)) == 1


def test_result_of_an_earlier_claim_does_not_settle_a_later_one_of_the_same_worker(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    stories(record, source, 1)
    first = claim(record)
    leases.leave(record, WORKER)
    assert leases.free(record, leases.flying(record), later(1)) == 1
    again = claim(record, later(1))
    assert [each.id for each in again] == [each.id for each in first]
    assert settle(record, first) == set()
    assert settle(record, again) == {again[0].id}
