"""Routing, claiming and settling on the record: the rules of order, supersession and the kill."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from service.store import operations
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, recovery, routing, settlements
from service.store.deliveries.claims import ClaimedDelivery, Cursor
from service.store.deliveries.settlements import Settlement
from service.store.deliveries.states import State
from service.store.schema.deliveries import delivery
from service.store.schema.partners import endpoint as endpoint_table
from service.store.views import history
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post
from workers.failure_detector import FailureDetector

ATTEMPT = {
    "started_at": NOW,
    "outcome": "delivered",
    "status": 200,
    "words": "took it",
    "lookup_ms": 0.1,
    "connect_ms": 0.2,
    "tls_ms": None,
    "first_byte_ms": 1.0,
    "total_ms": 1.5,
    "address": "203.0.113.7",
    "response_headers": None,
    "response_body": None,
}
WORKER = "w1.test"


@pytest.fixture(autouse=True)
def alive(record: Record) -> None:
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)


def deliveries(record: Record) -> list[tuple[int, int, str]]:
    """(endpoint, revision, state), in the order of endpoints and revisions."""
    columns = delivery.c
    query = select(columns.endpoint_id, columns.revision, columns.state)
    with record.reading() as connection:
        return [
            tuple(row)
            for row in connection.execute(
                query.order_by(columns.endpoint_id, columns.revision, columns.replay)
            )
        ]


def states(record: Record) -> list[str]:
    return [state for _, _, state in deliveries(record)]


def claim(
    record: Record, now: datetime = NOW, limit: int = 100, worker: str = WORKER
) -> list[ClaimedDelivery]:
    return claims.claim(record, lease=worker, limit=limit, cursor=Cursor(), now=now)[0]


def settle(
    record: Record,
    claimed: list[ClaimedDelivery],
    state: str = "delivered",
    *,
    reached: bool = True,
    now: datetime = NOW,
    due_at: datetime | None = None,
    worker: str = WORKER,
) -> set[int]:
    ends = [
        Settlement(
            each, State(state), due_at or now + timedelta(seconds=5), reached, 200, "took it", dict(ATTEMPT)
        )
        for each in claimed
    ]
    return settlements.settle(record, ends, lease=worker, now=now)


def test_each_event_is_routed_once_to_every_subscriber(record: Record) -> None:
    source = a_desk(record)
    everything, china = an_endpoint(record), an_endpoint(record, sections=["china"])
    post(record, source, an_article(sections=("world",)))
    post(record, source, an_article(external_id="43", sections=("world", "china")))
    assert routing.route(record, NOW).deliveries == 3
    assert routing.route(record, NOW).events == 0
    assert deliveries(record) == [
        (everything.id, 1, "pending"),
        (everything.id, 1, "pending"),
        (china.id, 1, "pending"),
    ]


def test_sequence_numbers_of_an_endpoint_have_no_gap(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    for number in range(5):
        post(record, source, an_article(external_id=str(number)))
        if number % 2:
            routing.route(record, NOW)
    routing.route(record, NOW)
    claimed = claim(record)
    with record.reading() as connection:
        given = connection.execute(select(delivery.c.sequence)).scalars().all()
    assert sorted(given) == [1, 2, 3, 4, 5]
    assert len(claimed) == 4, "its cap of four in flight"


def test_claimed_delivery_is_nobody_elses(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    assert len(claim(record)) == 1
    assert claim(record, worker="w2.test") == []


def test_settled_delivery_leaves_a_receipt_and_an_attempt(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, "herald")
    given = post(record, source, an_article())
    routing.route(record, NOW)
    settle(record, claim(record), now=later(1))
    held = history.article_trace(record, given.article).holdings
    assert [(each.partner, each.revision, each.channel, each.since) for each in held] == [
        ("herald", 1, "push", later(1))
    ]
    [trace] = history.event_trace(record, given.event).deliveries
    seen = trace.delivery
    assert (seen.state, seen.endpoint_id, [each.words for each in trace.attempts]) == (
        "delivered",
        endpoint.id,
        ["took it"],
    )


def test_worker_that_lost_its_lease_changes_nothing(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    claimed = claim(record)
    assert recovery.recover(record, recovery.in_flight(record), later(60)) == 1
    assert settle(record, claimed, now=later(61)) == set()
    assert states(record) == ["waiting"]


def test_a_dead_workers_delivery_is_due_within_seconds_under_the_same_id(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    first = claim(record)
    heartbeats.heartbeat(record, "w2.test", broker="up", now=later(4.5))
    detector = FailureDetector()
    assert [detector.lost(recovery.in_flight(record), at) for at in (0, 2, 4)] == [[], [], []]
    assert recovery.recover(record, detector.lost(recovery.in_flight(record), 4.5), later(4.5)) == 1
    again = claim(record, later(5), worker="w2.test")
    assert [each.public_id for each in again] == [each.public_id for each in first]
    assert again[0].attempts == 2


def test_newer_revision_supersedes_what_was_not_sent(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    post(record, source, an_article(headline="Second"))
    routing.route(record, NOW)
    assert deliveries(record) == [(endpoint.id, 1, "superseded"), (endpoint.id, 2, "pending")]
    assert [each.revision for each in claim(record)] == [2]


def test_events_routed_late_together_send_the_newest_only(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    for number in range(3):
        post(record, source, an_article(headline=f"Version {number}"))
    routing.route(record, NOW)
    assert deliveries(record) == [
        (endpoint.id, 1, "superseded"),
        (endpoint.id, 2, "superseded"),
        (endpoint.id, 3, "pending"),
    ]


def test_endpoint_that_wants_every_revision_gets_them_in_order(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, every_revision=True)
    for number in range(3):
        post(record, source, an_article(headline=f"Version {number}"))
    routing.route(record, NOW)
    got = []
    while claimed := claim(record):
        assert len(claimed) == 1
        got.append(claimed[0].revision)
        settle(record, claimed)
    assert got == [1, 2, 3]


def test_failed_older_revision_of_an_ordered_endpoint_holds_the_newer_back(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, every_revision=True)
    for number in range(2):
        post(record, source, an_article(headline=f"Version {number}"))
    routing.route(record, NOW)
    settle(record, claim(record), "waiting", due_at=later(30))
    assert claim(record, later(1)) == []
    assert [each.revision for each in claim(record, later(30))] == [1]


def test_newer_revision_waits_for_the_one_on_the_wire(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    on_the_wire = claim(record)
    post(record, source, an_article(headline="Second"))
    routing.route(record, NOW)
    assert claim(record) == []
    settle(record, on_the_wire)
    assert [each.revision for each in claim(record)] == [2]


def test_a_delivery_that_fails_after_a_newer_revision_was_routed_is_superseded_not_retried(
    record: Record,
) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    on_the_wire = claim(record)
    post(record, source, an_article(headline="Second"))
    routing.route(record, NOW)
    settle(record, on_the_wire, "waiting")
    assert deliveries(record) == [(endpoint.id, 1, "superseded"), (endpoint.id, 2, "pending")]


def test_old_revision_that_fails_at_the_very_moment_the_newer_is_routed_never_follows_it(
    record: Record,
) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    failed = Settlement(claim(record)[0], State.WAITING, NOW, True, 503, "answered 503", dict(ATTEMPT))
    post(record, source, an_article(headline="Second"))
    router = threading.Thread(target=routing.route, args=(record, NOW))
    with record.writing() as connection:
        settlements.settle_within(connection, [failed], lease=WORKER, now=NOW)
        router.start()
        router.join(0.5)
    router.join()
    assert states(record) == ["superseded", "pending"]
    settle(record, claim(record))
    assert claim(record, later(60)) == []


def test_a_dead_workers_delivery_never_follows_a_newer_revision(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    claim(record)
    post(record, source, an_article(headline="Second"))
    routing.route(record, NOW)
    assert recovery.recover(record, recovery.in_flight(record), later(60)) == 1
    assert states(record) == ["superseded", "pending"]


@pytest.mark.parametrize("status", ["killed", "withheld", "unpublished"])
def test_takedown_goes_only_to_who_may_hold_the_story(record: Record, status: str) -> None:
    source = a_desk(record)
    holder, never_reached, answered_503 = an_endpoint(record), an_endpoint(record), an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    claimed = {each.endpoint_id: each for each in claim(record)}
    settle(record, [claimed[holder.id]])
    settle(record, [claimed[never_reached.id]], "waiting", reached=False)
    settle(record, [claimed[answered_503.id]], "waiting", reached=True)
    post(record, source, a_takedown(status))
    routing.route(record, NOW)
    assert deliveries(record) == [
        (holder.id, 1, "delivered"),
        (holder.id, 2, "pending"),
        (never_reached.id, 1, "cancelled"),
        (answered_503.id, 1, "superseded"),
        (answered_503.id, 2, "pending"),
    ]


def test_kill_before_anything_was_sent_cancels_and_tells_nobody(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    post(record, source, a_takedown())
    routing.route(record, NOW)
    assert states(record) == ["cancelled"]


def test_kill_while_the_story_is_on_the_wire_is_sent_after_it(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    on_the_wire = claim(record)
    post(record, source, a_takedown())
    routing.route(record, NOW)
    assert claim(record) == []
    settle(record, on_the_wire, "waiting", reached=True)
    assert [(each.revision, each.priority) for each in claim(record)] == [(2, 0)]


def test_kill_of_an_old_story_reaches_a_paused_holder(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    settle(record, claim(record))
    long_after = NOW + timedelta(days=400)
    operations.pause_endpoint(record, endpoint.id, reason="asked to", actor="operator", now=long_after)
    post(record, source, a_takedown(), now=long_after)
    routing.route(record, long_after)
    assert [each.revision for each in claim(record, long_after)] == [2]


def test_paused_endpoint_gets_nothing_but_keeps_all_until_it_is_resumed(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    operations.pause_endpoint(record, endpoint.id, reason="asked to", actor="operator", now=NOW)
    post(record, source, an_article())
    routing.route(record, NOW)
    assert claim(record) == []
    operations.resume_endpoint(record, endpoint.id, actor="operator", now=later(1))
    assert len(claim(record, later(1))) == 1


def test_correction_reaches_a_holder_that_no_longer_subscribes(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, sections=["world"])
    post(record, source, an_article(sections=("world",)))
    routing.route(record, NOW)
    settle(record, claim(record))
    post(record, source, an_article(sections=("china",), correction_note="The date was wrong."))
    routing.route(record, NOW)
    assert deliveries(record)[-1] == (endpoint.id, 2, "pending")


def test_plain_update_does_not_reach_who_no_longer_subscribes_and_wants_none(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, sections=["world"], on_leave="nothing")
    post(record, source, an_article(sections=("world",)))
    routing.route(record, NOW)
    settle(record, claim(record))
    post(record, source, an_article(sections=("china",)))
    routing.route(record, NOW)
    assert states(record) == ["delivered"]


def test_correction_superseded_by_a_plain_update_is_owed_still(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, sections=["world"])
    post(record, source, an_article(sections=("world",)))
    routing.route(record, NOW)
    settle(record, claim(record))
    post(record, source, an_article(sections=("china",), correction_note="The date was wrong."))
    routing.route(record, NOW)
    post(record, source, an_article(sections=("china",), headline="Third"))
    post(record, source, an_article(sections=("china",), headline="Fourth"))
    routing.route(record, NOW)
    assert deliveries(record) == [
        (endpoint.id, 1, "delivered"),
        (endpoint.id, 2, "superseded"),
        (endpoint.id, 3, "superseded"),
        (endpoint.id, 4, "pending"),
    ]
    assert claim(record)[0].priority == 1


def test_embargoed_story_is_due_at_its_time_and_not_before(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article(embargo_until=later(60)))
    routing.route(record, NOW)
    assert claim(record, later(59.9)) == []
    assert len(claim(record, later(60))) == 1


def test_kill_goes_before_a_correction_and_that_before_the_rest(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=1)
    for name in ("killed", "corrected"):
        post(record, source, an_article(external_id=name))
    routing.route(record, NOW)
    while claimed := claim(record):
        settle(record, claimed)
    post(record, source, an_article(external_id="plain"))
    post(record, source, an_article(external_id="corrected", correction_note="The date was wrong."))
    post(record, source, a_takedown(external_id="killed"))
    routing.route(record, NOW)
    order = []
    while claimed := claim(record):
        order += [each.priority for each in claimed]
        settle(record, claimed)
    assert order == [0, 1, 2]


def test_cap_in_flight_holds_over_all_workers(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, max_in_flight=2)
    for number in range(5):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    first = claim(record, limit=1)
    assert len(first) == 1
    assert len(claim(record, worker="w2.test")) == 1
    assert claim(record, worker="w3.test") == []
    settle(record, first)
    assert len(claim(record, worker="w3.test")) == 1


def test_endpoint_that_asked_to_wait_or_whose_breaker_is_open_is_left_alone(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    for column in (
        {"not_before": later(60)},
        {"breaker": "open", "breaker_until": later(60), "not_before": None},
    ):
        with record.writing() as connection:
            connection.execute(
                update(endpoint_table).where(endpoint_table.c.id == endpoint.id).values(**column)
            )
        assert claim(record, later(59)) == []
    assert len(claim(record, later(60))) == 1


def test_breaker_lets_one_probe_through(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    for number in range(3):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    with record.writing() as connection:
        connection.execute(update(endpoint_table).values(breaker="open", breaker_until=NOW))
    assert len(claim(record)) == 1
    assert claim(record) == []


def test_rotation_lets_no_endpoint_be_first_twice_while_another_waits(record: Record) -> None:
    source = a_desk(record)
    ids = [an_endpoint(record).id for _ in range(4)]
    for number in range(3):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    cursor, order = Cursor(), []
    for _ in range(4):
        claimed, cursor = claims.claim(record, lease=WORKER, limit=1, cursor=cursor, now=NOW)
        order += [each.endpoint_id for each in claimed]
    assert sorted(order) == ids


def test_two_workers_claiming_at_once_never_share_a_delivery(record: Record) -> None:
    source = a_desk(record)
    for _ in range(5):
        an_endpoint(record, max_in_flight=100)
    for number in range(40):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    got: list[int] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        until = time.monotonic() + 20
        while len(got) < 200 and time.monotonic() < until:
            claimed = claim(record, limit=16, worker=name)
            with lock:
                got.extend(each.id for each in claimed)

    threads = [threading.Thread(target=work, args=(f"w{n}.test",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(set(got)) == 200


def test_posts_claims_and_settlements_of_the_same_articles_never_wait_in_a_circle(record: Record) -> None:
    source = a_desk(record)
    for _ in range(6):
        an_endpoint(record, max_in_flight=50)
    failed: list[BaseException] = []

    def guarded(work: Callable[[int], None]) -> threading.Thread:
        def run() -> None:
            try:
                for number in range(5):
                    work(number)
            except BaseException as error:
                failed.append(error)

        return threading.Thread(target=run)

    def newsroom(number: int) -> None:
        for article in range(8):
            post(record, source, an_article(external_id=str(article), headline=f"Take {number} of {article}"))
        routing.route(record, NOW)

    def worker(name: str) -> Callable[[int], None]:
        return lambda _: (
            settle(record, claim(record, worker=name)[::-1], "waiting", due_at=NOW, worker=name) and None
        )

    threads = [guarded(newsroom), guarded(newsroom), guarded(worker("w1.test")), guarded(worker("w2.test"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
