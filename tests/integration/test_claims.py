"""Claims under pressure: caps, slow start, the probe, takedowns beside hanging news, workers that claim at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from service.store import operations
from service.store.articles.sources import Source
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, recovery, routing, settlements, state_writes
from service.store.deliveries.capacity import Allowance
from service.store.deliveries.claims import ClaimedDelivery, Cursor
from service.store.deliveries.states import State
from service.store.partners.endpoints import Changes
from service.store.schema.deliveries import delivery
from service.store.schema.partners import endpoint as endpoint_table
from service.store.views import trouble
from service.store.views.deliveries import delivery_page
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.desk import eventually
from tests.seeded import a_settlement

WORKER = "w1.test"


@pytest.fixture(autouse=True)
def alive(record: Record) -> None:
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)


def claim(record: Record, now: datetime = NOW, worker: str = WORKER) -> list[ClaimedDelivery]:
    return claims.claim(record, lease=worker, limit=1000, cursor=Cursor(), now=now)[0]


def settle(record: Record, claimed: Sequence[ClaimedDelivery], worker: str = WORKER) -> set[int]:
    ends = [a_settlement(each, "delivered", "took it", NOW) for each in claimed]
    return settlements.settle(record, ends, lease=worker, now=NOW)


def stories(record: Record, source: Source, count: int, prefix: str = "") -> None:
    for number in range(count):
        post(record, source, an_article(external_id=f"{prefix}{number}"))
    while routing.route(record, NOW).more:
        pass


def set_endpoint(record: Record, **columns: Any) -> None:
    with record.writing() as connection:
        connection.execute(update(endpoint_table).values(**columns))


def flying(record: Record) -> int:
    query = select(func.count()).select_from(delivery).where(delivery.c.state == "sending")
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
    heartbeats.leave(record, WORKER)
    assert recovery.recover(record, recovery.in_flight(record), later(1)) == 1
    again = claim(record, later(1))
    assert [each.id for each in again] == [each.id for each in first]
    assert settle(record, first) == set()
    assert settle(record, again) == {again[0].id}


def claim_ahead(
    record: Record, ahead: dict[int, int], worker: str = WORKER, limit: int = 1000
) -> list[ClaimedDelivery]:
    with record.writing() as connection:
        return claims.claim_within(
            connection, lease=worker, limit=limit, cursor=Cursor(), now=NOW, allowance=Allowance(ahead)
        )[0]


def test_more_than_the_cap_is_claimed_of_an_endpoint_that_answers_fast_but_by_one_worker_alone(
    record: Record,
) -> None:
    source = a_desk(record)
    fast, other = an_endpoint(record, max_in_flight=2).id, an_endpoint(record, max_in_flight=2).id
    stories(record, source, 20)
    mine = claim_ahead(record, {fast: 10})
    assert [each.endpoint_id for each in mine].count(fast) == 10
    assert [each.endpoint_id for each in mine].count(other) == 2
    assert claim_ahead(record, {fast: 10, other: 10}, worker="w2.test") == []
    assert len(claim_ahead(record, {fast: 12})) == 2


def test_worker_claims_nothing_ahead_where_another_has_something_in_flight(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, max_in_flight=4).id
    stories(record, source, 20)
    assert len(claim_ahead(record, {}, worker="w2.test", limit=1)) == 1
    assert len(claim_ahead(record, {endpoint: 10})) == 3


@pytest.mark.parametrize("trouble", [{"breaker": "half_open"}, {"slow_start": 1}, {"rate_per_second": 5.0}])
def test_nothing_is_claimed_ahead_of_an_endpoint_in_trouble_or_with_a_rate(
    record: Record, trouble: dict[str, Any]
) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, max_in_flight=4).id
    stories(record, source, 20)
    set_endpoint(record, **trouble)
    assert len(claim_ahead(record, {endpoint: 20})) <= 4


def claim_with(
    record: Record, allowance: Allowance, limit: int = 1000, worker: str = WORKER
) -> list[ClaimedDelivery]:
    with record.writing() as connection:
        return claims.claim_within(
            connection, lease=worker, limit=limit, cursor=Cursor(), now=NOW, allowance=allowance
        )[0]


def test_an_endpoint_that_is_not_known_to_answer_soon_gets_one_push_at_a_time_and_one_takedown(
    record: Record,
) -> None:
    source = a_desk(record)
    known, unknown = an_endpoint(record, max_in_flight=4).id, an_endpoint(record, max_in_flight=4).id
    stories(record, source, 3)
    settle(record, claim(record))
    for number in range(2):
        post(record, source, a_takedown(external_id=str(number)))
    stories(record, source, 20, "more")
    lanes = [(each.endpoint_id, each.priority) for each in claim_with(record, Allowance(proven={known}))]
    assert lanes.count((known, 0)) == 2
    assert lanes.count((known, 2)) == 2  # the takedowns are on the wire, too
    assert lanes.count((unknown, 0)) == 1
    assert lanes.count((unknown, 2)) == 0


def test_a_worker_that_stands_still_keeps_no_other_from_an_endpoint_that_the_other_does_not_know(
    record: Record,
) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, max_in_flight=4).id
    stories(record, source, 3)
    news = claim_with(record, Allowance(proven={endpoint}), limit=2)
    other = claim_with(record, Allowance(proven=()), worker="w2.test")
    assert [each.priority for each in (*news, *other)] == [2, 2, 2]
    settle(record, news)
    settle(record, other, worker="w2.test")
    for number in range(3):
        post(record, source, a_takedown(external_id=str(number)))
    routing.route(record, NOW)
    takedown = claim_with(record, Allowance(proven=()))
    others = claim_with(record, Allowance(proven=()), worker="w2.test")
    assert [each.priority for each in (*takedown, *others)] == [0, 0]
    assert claim_with(record, Allowance(proven=()), worker="w2.test") == []


def test_closed_endpoints_keep_no_other_from_its_turn_however_many_they_are(record: Record) -> None:
    source = a_desk(record)
    hanging = [an_endpoint(record).id for _ in range(5)]
    healthy = an_endpoint(record).id
    stories(record, source, 3)
    settle(record, claim(record))
    for number in range(2):
        post(record, source, a_takedown(external_id=str(number)))
    stories(record, source, 2, "more")
    closed = Allowance(closed_to_takedowns=hanging, closed_to_news=hanging)
    found = claim_with(record, closed, limit=3)
    assert [(each.endpoint_id, each.priority) for each in found] == [(healthy, 0), (healthy, 0), (healthy, 2)]


def test_a_delivery_that_is_given_back_is_as_before_and_another_worker_may_claim_it(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=4)
    stories(record, source, 2)
    claimed = claim(record)
    with record.writing() as connection:
        settlements.give_back(connection, claimed, lease="w2.test", now=NOW)  # not its own: nothing happens
    assert flying(record) == 2
    with record.writing() as connection:
        settlements.give_back(connection, claimed, lease=WORKER, now=NOW)
    assert flying(record) == 0
    again = claim(record, worker="w2.test")
    assert sorted(each.id for each in again) == sorted(each.id for each in claimed)
    assert {each.attempts for each in again} == {1}
    assert settle(record, claimed) == set()


def test_a_delivery_that_is_given_back_after_a_newer_revision_is_superseded(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=4)
    stories(record, source, 1)
    claimed = claim(record)
    post(record, source, an_article(external_id="0", headline="Second"))
    routing.route(record, NOW)
    with record.writing() as connection:
        settlements.give_back(connection, claimed, lease=WORKER, now=NOW)
    table = delivery.c
    with record.reading() as connection:
        rows = connection.execute(
            select(table.revision, table.state, table.superseded_by).order_by(table.revision)
        ).all()
    assert [tuple(row) for row in rows] == [(1, "superseded", 2), (2, "pending", None)]
    assert [each.revision for each in claim(record)] == [2]


@pytest.mark.parametrize("record", ["postgresql"], indirect=True)  # SQLite lets one writer in at a time
def test_a_story_that_was_being_claimed_when_its_kill_was_routed_is_killed_where_it_was_sent(
    record: Record,
) -> None:
    """It was delivered, and the kill was not."""
    source = a_desk(record)
    an_endpoint(record)
    stories(record, source, 1)
    [claimed] = claim(record)
    post(record, source, a_takedown(external_id="0"))
    with record.writing() as connection:  # given back unsent: it waits again, and the kill is not routed yet
        settlements.give_back(connection, [claimed], lease=WORKER, now=NOW)
    router = threading.Thread(target=routing.route, args=(record, NOW))
    with record.writing() as connection:
        [again], _ = claims.claim_within(connection, lease=WORKER, limit=9, cursor=Cursor(), now=NOW)
        router.start()
        eventually(lambda: waits_for_a_lock(record), within=10, what="a router that waits")
    router.join()
    settle(record, [again])
    [kill] = claim(record)
    assert (kill.revision, kill.priority) == (2, 0)


def waits_for_a_lock(record: Record) -> bool:
    query = text(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with record.reading() as connection:
        return connection.execute(query).first() is not None


def set_delivery(record: Record, number: int, **columns: Any) -> None:
    with record.writing() as connection:
        connection.execute(update(delivery).where(delivery.c.id == number).values(**columns))


def test_of_the_same_priority_the_one_that_is_due_longest_goes_first(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=1)
    stories(record, source, 1)
    [failed] = claim(record)
    retry = a_settlement(failed, "waiting", "answered 503", NOW, due_at=later(10))
    settlements.settle(record, [retry], lease=WORKER, now=NOW)
    stories(record, source, 1, "later")
    [first] = claim(record, later(20))
    assert first.id != failed.id, "it was due ten seconds later, though its row is older"
    settle(record, [first])
    assert [each.id for each in claim(record, later(20))] == [failed.id]


def test_takedowns_and_news_together_are_no_more_than_the_limit(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=8)
    stories(record, source, 3)
    settle(record, claim(record))
    for number in range(3):
        post(record, source, a_takedown(external_id=str(number)))
    stories(record, source, 5, "news")
    assert [each.priority for each in claim_ahead(record, {}, limit=5)] == [0, 0, 0, 2, 2]


@pytest.mark.parametrize("state", ["delivered", "dead", "superseded", "cancelled"])
def test_revision_that_waits_by_a_fault_is_never_sent_after_a_newer_one_that_has_ended(
    record: Record, state: str
) -> None:
    source = a_desk(record)
    an_endpoint(record)
    stories(record, source, 1)
    [older] = claim(record)
    settle(record, [older])
    post(record, source, an_article(external_id="0", headline="Second"))
    routing.route(record, NOW)
    [newer] = claim(record)
    set_delivery(record, newer.id, state=state, lease=None, lease_until=None)
    set_delivery(record, older.id, state="waiting", due_at=NOW)
    assert claim(record) == []
    assert trouble.stalled(record, later(3600)) == [], "nobody could send it"
    page = delivery_page(record, older.public_id)
    assert page is not None
    assert [(each.revision, each.state) for each in page.before] == [(2, state)]


@pytest.mark.parametrize(
    "record", ["postgresql"], indirect=True
)  # SQLite's claim has the file's lock from its pick on
def test_a_delivery_overtaken_between_the_pick_and_the_claim_is_not_claimed(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    stories(record, source, 1)
    [older] = claim(record)
    settle(record, [older])
    post(record, source, an_article(external_id="0", headline="Second"))
    routing.route(record, NOW)
    set_delivery(record, older.id, state="waiting")
    with record.writing() as connection:
        assert state_writes.claim(connection, [older.id], WORKER, later(40), NOW) == []


def an_ordered_endpoint_with_a_push_on_the_wire(record: Record) -> tuple[Source, int, ClaimedDelivery]:
    source = a_desk(record)
    endpoint = an_endpoint(record, every_revision=True)
    stories(record, source, 1)
    [claimed] = claim(record)
    return source, endpoint.id, claimed


def test_kill_at_an_endpoint_that_wants_every_revision_does_not_wait_for_retries_of_the_story(
    record: Record,
) -> None:
    """The story failed while it was killed: it was tried again for three days, and the kill waited behind it."""
    source, _, claimed = an_ordered_endpoint_with_a_push_on_the_wire(record)
    post(record, source, a_takedown(external_id="0"))
    routing.route(record, NOW)
    retry = a_settlement(claimed, "waiting", "answered 503", NOW, due_at=later(3600))
    settlements.settle(record, [retry], lease=WORKER, now=NOW)
    assert [(each.revision, each.priority) for each in claim(record)] == [(2, 0)]
    assert claim(record, later(3600)) == []


@pytest.mark.parametrize("on_the_wire", [True, False])
def test_endpoint_that_ceased_to_want_every_revision_gets_no_older_one_after_the_newest(
    record: Record, on_the_wire: bool
) -> None:
    """It got the second revision, and an hour later, when the retry was due, the first."""
    source, endpoint_id, claimed = an_ordered_endpoint_with_a_push_on_the_wire(record)
    retry = a_settlement(claimed, "waiting", "answered 503", NOW, due_at=later(3600))
    if not on_the_wire:
        settlements.settle(record, [retry], lease=WORKER, now=NOW)
    operations.change_endpoint(record, endpoint_id, Changes(every_revision=False), actor="operator", now=NOW)
    post(record, source, an_article(external_id="0", headline="Second"))
    routing.route(record, NOW)
    if on_the_wire:
        settlements.settle(record, [retry], lease=WORKER, now=NOW)
    assert [each.revision for each in claim(record)] == [2]
    assert claim(record, later(3600)) == []
    with record.reading() as connection:
        first = connection.execute(select(delivery.c.state).where(delivery.c.id == claimed.id)).scalar_one()
    assert first == State.SUPERSEDED
