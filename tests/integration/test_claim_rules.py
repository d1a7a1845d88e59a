"""The rules of claims, one by one: which delivery may go, in which order, how many, and what its worker is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update

from service.store import operations
from service.store.articles.sources import Source
from service.store.coordination import heartbeats
from service.store.database import locks
from service.store.database.record import Record
from service.store.deliveries import claims, routing, settlements
from service.store.deliveries.claims import Claimed, Cursor
from service.store.deliveries.replays import ReplayRequest
from service.store.partners import signing_keys
from service.store.schema.articles import event as event_table
from service.store.schema.deliveries import delivery
from service.store.schema.partners import endpoint as endpoint_table
from tests.builders import NOW, SECRET, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.seeded import a_settlement

WORKER, OTHER = "w1.test", "w2.test"
TICK = timedelta(microseconds=1)
POSTGRESQL = pytest.mark.parametrize("record", ["postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def alive(record: Record) -> None:
    for worker in (WORKER, OTHER):
        heartbeats.heartbeat(record, worker, broker="up", now=NOW)


@pytest.fixture
def source(record: Record) -> Source:
    return a_desk(record)


def claim(record: Record, now: datetime = NOW, limit: int = 100, worker: str = WORKER) -> list[Claimed]:
    return claim_from(record, Cursor(), now=now, limit=limit, worker=worker)[0]


def claim_from(
    record: Record, cursor: Cursor, now: datetime = NOW, limit: int = 100, worker: str = WORKER
) -> tuple[list[Claimed], Cursor]:
    return claims.claim(record, lease=worker, limit=limit, cursor=cursor, now=now)


def settle(record: Record, claimed: list[Claimed], state: str = "delivered", **changes: Any) -> None:
    ends = [a_settlement(each, state, "took it", NOW, **changes) for each in claimed]
    settlements.settle(record, ends, lease=WORKER, now=NOW)


def stories(record: Record, source: Source, count: int, prefix: str = "") -> None:
    for number in range(count):
        post(record, source, an_article(external_id=f"{prefix}{number}"))
    route(record)


def route(record: Record) -> None:
    while routing.route(record, NOW).more:
        pass


def replay(record: Record, claimed: Claimed, now: datetime) -> None:
    operations.replay(record, ReplayRequest(delivery=claimed.public_id), actor="operator", now=now)


def set_delivery(record: Record, number: int, **columns: Any) -> None:
    with record.writing() as connection:
        connection.execute(update(delivery).where(delivery.c.id == number).values(**columns))


def set_endpoint(record: Record, number: int, **columns: Any) -> None:
    with record.writing() as connection:
        connection.execute(update(endpoint_table).where(endpoint_table.c.id == number).values(**columns))


def deliveries(record: Record, *columns: str) -> list[tuple[Any, ...]]:
    query = select(*[delivery.c[name] for name in columns]).order_by(delivery.c.id)
    with record.reading() as connection:
        return [tuple(row) for row in connection.execute(query)]


def ids_of(record: Record) -> list[int]:
    return [number for (number,) in deliveries(record, "id")]


def counts(claimed: list[Claimed]) -> dict[int, int]:
    """How many of each endpoint."""
    found: dict[int, int] = {}
    for each in claimed:
        found[each.endpoint_id] = found.get(each.endpoint_id, 0) + 1
    return found


# Which delivery may go.


def test_delivery_is_due_at_its_moment_and_not_a_microsecond_before(record: Record, source: Source) -> None:
    an_endpoint(record)
    stories(record, source, 1)
    set_delivery(record, ids_of(record)[0], due_at=later(5))
    assert claim(record, later(5) - TICK) == []
    assert len(claim(record, later(5))) == 1


@pytest.mark.parametrize("state", ["pending", "waiting"])
def test_delivery_that_waits_for_its_first_or_a_further_attempt_goes(
    record: Record, source: Source, state: str
) -> None:
    an_endpoint(record)
    stories(record, source, 1)
    set_delivery(record, ids_of(record)[0], state=state)
    assert len(claim(record)) == 1


@pytest.mark.parametrize("state", ["sending", "delivered", "dead", "superseded", "cancelled"])
def test_delivery_that_is_on_its_way_or_done_does_not_go(record: Record, source: Source, state: str) -> None:
    an_endpoint(record)
    stories(record, source, 1)
    set_delivery(record, ids_of(record)[0], state=state)
    assert claim(record) == []


@pytest.mark.parametrize(
    "newer", ["pending", "waiting", "sending", "delivered", "dead", "superseded", "cancelled"]
)
def test_older_revision_never_goes_once_a_newer_one_was_routed_whatever_became_of_that(
    record: Record, source: Source, newer: str
) -> None:
    """The newer one may have arrived even if it was given up or superseded."""
    an_endpoint(record)
    post(record, source, an_article())
    route(record)
    post(record, source, an_article(headline="Second"))
    route(record)
    first, second = ids_of(record)
    set_delivery(record, first, state="waiting", superseded_by=None)
    set_delivery(record, second, state=newer, due_at=later(3600))
    assert claim(record) == []


@pytest.mark.parametrize("older", ["delivered", "dead", "superseded", "cancelled"])
def test_newest_revision_goes_whatever_became_of_the_older_ones(
    record: Record, source: Source, older: str
) -> None:
    an_endpoint(record)
    post(record, source, an_article())
    route(record)
    post(record, source, an_article(headline="Second"))
    route(record)
    set_delivery(record, ids_of(record)[0], state=older)
    assert [each.revision for each in claim(record)] == [2]


@pytest.mark.parametrize(
    ("older", "goes"), [("pending", False), ("waiting", False), ("delivered", True), ("dead", True)]
)
def test_endpoint_that_wants_every_revision_gets_the_next_once_the_one_before_is_settled(
    record: Record, source: Source, older: str, goes: bool
) -> None:
    an_endpoint(record, every_revision=True)
    for number in range(2):
        post(record, source, an_article(headline=f"Version {number}"))
    route(record)
    set_delivery(record, ids_of(record)[0], state=older, due_at=later(60))
    assert [each.revision for each in claim(record)] == ([2] if goes else [])


def test_endpoint_that_wants_every_revision_gets_an_older_one_after_a_newer(
    record: Record, source: Source
) -> None:
    an_endpoint(record, every_revision=True)
    for number in range(2):
        post(record, source, an_article(headline=f"Version {number}"))
    route(record)
    set_delivery(record, ids_of(record)[1], state="delivered")
    assert [each.revision for each in claim(record)] == [1]


def test_story_on_the_wire_holds_back_its_own_newer_revision_and_nothing_else(
    record: Record, source: Source
) -> None:
    one, other = an_endpoint(record).id, an_endpoint(record).id
    stories(record, source, 2)
    first = claim(record, limit=1)
    post(record, source, an_article(external_id="0", headline="Second"))
    route(record)
    assert (first[0].endpoint_id, first[0].revision) == (one, 1)
    found = sorted(
        (each.endpoint_id, each.article_id - first[0].article_id, each.revision) for each in claim(record)
    )
    assert found == [(one, 1, 1), (other, 0, 2), (other, 1, 1)]


def test_two_replays_of_one_story_are_not_on_the_wire_together(record: Record, source: Source) -> None:
    an_endpoint(record, max_in_flight=8)
    stories(record, source, 1)
    for number in range(2):
        claimed = claim(record, later(number))
        settle(record, claimed)
        replay(record, claimed[0], later(number))
    first, second, third = deliveries(record, "id", "state")
    assert (first[1], second[1], third[1]) == ("delivered", "delivered", "pending")
    set_delivery(record, second[0], state="pending")
    claimed = claim(record, later(9))
    assert [each.id for each in claimed] == [second[0]]
    assert claim(record, later(9)) == []
    settle(record, claimed)
    assert [each.id for each in claim(record, later(9))] == [third[0]]


# In which order.


def test_earlier_due_goes_first_and_at_the_same_moment_the_one_routed_first(
    record: Record, source: Source
) -> None:
    an_endpoint(record, max_in_flight=2)
    stories(record, source, 6)
    ids = ids_of(record)
    for number, seconds in zip(ids, (50, 40, 30, 30, 10, 20), strict=True):
        set_delivery(record, number, due_at=later(seconds))
    order = []
    while claimed := claim(record, later(60)):
        order.append([each.id for each in claimed])
        settle(record, claimed)
    assert order == [[ids[4], ids[5]], [ids[2], ids[3]], [ids[1], ids[0]]]


def test_same_moment_goes_in_the_order_of_routing(record: Record, source: Source) -> None:
    an_endpoint(record, max_in_flight=1)
    stories(record, source, 4)
    ids = ids_of(record)
    for number in reversed(ids):
        set_delivery(record, number, due_at=NOW)
    order = []
    while claimed := claim(record):
        order += [each.id for each in claimed]
        settle(record, claimed)
    assert order == ids


def test_more_urgent_goes_first_though_it_was_due_last(record: Record, source: Source) -> None:
    an_endpoint(record, max_in_flight=2)
    stories(record, source, 3)
    for number, (priority, seconds) in zip(ids_of(record), ((3, 0), (2, 1), (1, 2)), strict=True):
        set_delivery(record, number, priority=priority, due_at=later(seconds))
    first = claim(record, later(9))
    assert [each.priority for each in first] == [1, 2]
    settle(record, first)
    assert [each.priority for each in claim(record, later(9))] == [3]


def test_limit_is_filled_with_the_most_urgent_of_all_endpoints(record: Record, source: Source) -> None:
    for _ in range(3):
        an_endpoint(record, max_in_flight=4)
    stories(record, source, 2)
    ids = ids_of(record)
    for number in ids:
        set_delivery(record, number, priority=3)
    for number in (ids[-1], ids[-3]):
        set_delivery(record, number, priority=1)
    claimed = claim(record, limit=3)
    assert [each.priority for each in claimed] == [1, 1, 3]
    assert {each.id for each in claimed} > {ids[-1], ids[-3]}


# How many.


def both_lanes(record: Record, source: Source, takedowns: int, news: int) -> None:
    """One endpoint that has as many takedowns and news due."""
    an_endpoint(record, max_in_flight=20)
    stories(record, source, takedowns)
    settle(record, claim(record))
    for number in range(takedowns):
        post(record, source, a_takedown(external_id=str(number)))
    stories(record, source, news, "new")


@pytest.mark.parametrize(
    ("limit", "takedowns", "news"),
    [(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 3, 1), (5, 3, 2), (7, 3, 4), (8, 3, 5), (9, 3, 5)],
)
def test_claim_takes_no_more_than_its_limit_of_takedowns_and_news_together(
    record: Record, source: Source, limit: int, takedowns: int, news: int
) -> None:
    both_lanes(record, source, 3, 5)
    claimed = claim(record, limit=limit)
    assert [each.priority == 0 for each in claimed] == [True] * takedowns + [False] * news


def test_takedowns_that_are_claimed_leave_news_only_the_rest_of_the_room(
    record: Record, source: Source
) -> None:
    endpoint = an_endpoint(record, max_in_flight=4)
    stories(record, source, 3)
    settle(record, claim(record))
    for number in range(3):
        post(record, source, a_takedown(external_id=str(number)))
    stories(record, source, 5, "new")
    claimed = claim(record)
    assert [each.priority == 0 for each in claimed] == [True, True, True, False]
    assert counts(claimed) == {endpoint.id: 4}


@pytest.mark.parametrize("limit", [0, -1])
def test_worker_without_room_claims_nothing_and_keeps_its_turn(
    record: Record, source: Source, limit: int
) -> None:
    an_endpoint(record)
    stories(record, source, 1)
    cursor = Cursor(endpoint_id=7, more=True, limited=True)
    assert claim_from(record, cursor, limit=limit) == ([], cursor)
    assert len(claim(record)) == 1


def test_each_endpoint_gets_as_many_as_it_has_room_for_however_different_their_rooms(
    record: Record, source: Source
) -> None:
    rooms = {an_endpoint(record, max_in_flight=cap).id: cap for cap in (1, 20, 3, 8, 9, 2)}
    stories(record, source, 25)
    assert counts(claim(record, limit=1000)) == rooms


@pytest.mark.parametrize("caps", [(1, 5), (5, 1), (1, 1, 8), (12, 1), (1, 12), (9, 20)])
def test_limit_is_used_up_though_some_endpoint_has_little_room_and_much_due(
    record: Record, source: Source, caps: tuple[int, ...]
) -> None:
    rooms = {an_endpoint(record, max_in_flight=cap).id: cap for cap in caps}
    stories(record, source, 30)
    assert counts(claim(record, limit=sum(caps))) == rooms
    assert claim(record, limit=5) == []


def test_what_an_endpoint_with_room_has_goes_though_others_are_full(record: Record, source: Source) -> None:
    full, roomy = an_endpoint(record, max_in_flight=1).id, an_endpoint(record, max_in_flight=4).id
    stories(record, source, 6)
    assert counts(claim(record, limit=2)) == {full: 1, roomy: 1}
    assert counts(claim(record)) == {roomy: 3}


# Whose turn it is, and whether there is more.


def test_turn_ends_with_the_last_endpoint_that_got_something_when_the_limit_is_reached(
    record: Record, source: Source
) -> None:
    ids = [an_endpoint(record, max_in_flight=1).id for _ in range(4)]
    stories(record, source, 1)
    claimed, cursor = claim_from(record, Cursor(), limit=2)
    assert ([each.endpoint_id for each in claimed], cursor) == (ids[:2], Cursor(ids[1], True, False))
    claimed, cursor = claim_from(record, cursor, limit=2)
    assert ([each.endpoint_id for each in claimed], cursor) == (ids[2:], Cursor(ids[3], True, False))


def test_turn_goes_round_to_the_first_endpoint_after_the_last(record: Record, source: Source) -> None:
    ids = [an_endpoint(record, max_in_flight=1).id for _ in range(3)]
    stories(record, source, 1)
    claimed, cursor = claim_from(record, Cursor(ids[1]), limit=2)
    assert sorted(each.endpoint_id for each in claimed) == [ids[0], ids[2]]
    assert cursor.endpoint_id == ids[0]


def test_all_that_was_due_was_claimed_so_there_is_no_more(record: Record, source: Source) -> None:
    ids = [an_endpoint(record).id for _ in range(2)]
    stories(record, source, 1)
    claimed, cursor = claim_from(record, Cursor(), limit=3)
    assert len(claimed) == 2
    assert cursor == Cursor(ids[1], more=False, limited=False)


def test_limit_exactly_reached_means_that_there_may_be_more(record: Record, source: Source) -> None:
    an_endpoint(record)
    stories(record, source, 2)
    assert claim_from(record, Cursor(), limit=2)[1].more


def test_nothing_due_leaves_the_turn_where_it_was(record: Record, source: Source) -> None:
    an_endpoint(record)
    assert claim_from(record, Cursor(endpoint_id=7, more=True)) == ([], Cursor(7, more=False, limited=False))


def test_takedowns_that_fill_the_limit_leave_the_turn_of_the_news_where_it_was(
    record: Record, source: Source
) -> None:
    both_lanes(record, source, 2, 2)
    claimed, cursor = claim_from(record, Cursor(endpoint_id=7), limit=2)
    assert [each.priority for each in claimed] == [0, 0]
    assert cursor == Cursor(7, more=True, limited=False)


def test_takedowns_alone_move_no_turn_and_say_whether_there_is_more(record: Record, source: Source) -> None:
    both_lanes(record, source, 2, 0)
    claimed, cursor = claim_from(record, Cursor(endpoint_id=7), limit=3)
    assert len(claimed) == 2
    assert cursor == Cursor(7, more=False, limited=False)


@pytest.mark.parametrize("limit", [2, 3, 100])
def test_endpoint_with_a_rate_is_told_of(record: Record, source: Source, limit: int) -> None:
    both_lanes(record, source, 2, 2)
    assert not claim_from(record, Cursor(), limit=1)[1].limited
    an_endpoint(record, rate=5.0)
    settle(record, claim(record, limit=1))
    both = claim_from(record, Cursor(), limit=limit)[1]
    assert both.limited


def test_takedowns_cost_no_tokens_and_news_one_each(record: Record, source: Source) -> None:
    both_lanes(record, source, 2, 3)
    (endpoint_id,) = {number for (number,) in deliveries(record, "endpoint_id")}
    set_endpoint(record, endpoint_id, rate_per_second=20.0)
    first = claim(record)
    assert [each.priority == 0 for each in first] == [True, True, False, False]
    with record.reading() as connection:
        assert connection.execute(select(endpoint_table.c.tokens)).scalar_one() == pytest.approx(0.0)


# What the worker is told, and what the record says.


def test_claim_gives_the_worker_a_lease_of_40_seconds_and_counts_the_attempt(
    record: Record, source: Source
) -> None:
    an_endpoint(record)
    stories(record, source, 2)
    set_delivery(record, ids_of(record)[0], attempts=6)
    claimed = claim(record, later(1), limit=1)
    columns = ("state", "lease", "lease_until", "attempts")
    assert deliveries(record, *columns) == [("sending", WORKER, later(41), 7), ("pending", None, None, 0)]
    assert [each.attempts for each in claimed] == [7]


def test_claim_tells_what_is_sent_and_to_whom(record: Record, source: Source) -> None:
    first = an_endpoint(record, max_in_flight=3, schedule=[0, 1.5, 60]).id
    second = an_endpoint(record, max_in_flight=5).id
    stories(record, source, 2)
    names = ("id", "endpoint_id", "event_id", "article_id", "revision", "sequence", "priority", "created_at")
    claimed = sorted(claim(record), key=lambda each: each.id)
    assert [tuple(getattr(each, name) for name in names) for each in claimed] == deliveries(record, *names)
    assert {each.endpoint_id: (each.cap, each.schedule) for each in claimed} == {
        first: (3, (0, 1.5, 60)),
        second: (5, None),
    }
    assert {(each.partner_id, each.endpoint_id, each.url) for each in claimed} == addresses(record)
    assert all(each.healthy for each in claimed)


def test_claim_brings_the_secret_that_signs_and_the_event_that_names_the_push(
    record: Record, source: Source
) -> None:
    endpoint = an_endpoint(record)
    stories(record, source, 2)
    claimed = claim(record)
    assert {each.public_id for each in claimed} == {
        f"dlv_{name.removeprefix('evt_')}_{endpoint.id}" for name in event_names(record)
    }
    secrets = {signing_keys.signing_secrets(record, each.sealed, NOW) for each in claimed}
    assert secrets == {(SECRET,)}


def test_claim_tells_how_many_attempts_an_operator_has_forgiven(record: Record, source: Source) -> None:
    an_endpoint(record)
    stories(record, source, 2)
    set_delivery(record, ids_of(record)[0], attempts=5, forgiven=4)
    assert [(each.attempts, each.forgiven) for each in claim(record)] == [(6, 4), (1, 0)]


def event_names(record: Record) -> list[str]:
    with record.reading() as connection:
        return list(connection.execute(select(event_table.c.public_id)).scalars())


def addresses(record: Record) -> set[tuple[int, int, str]]:
    """(partner, endpoint, URL) of every endpoint."""
    table = endpoint_table.c
    with record.reading() as connection:
        return {tuple(row) for row in connection.execute(select(table.partner_id, table.id, table.url))}


@pytest.mark.parametrize(
    "trouble",
    [{"breaker": "half_open"}, {"failures": 1}, {"failing_since": NOW}, {"slow_start": 64}],
    ids=lambda trouble: next(iter(trouble)),
)
def test_endpoint_is_healthy_unless_something_of_it_is_in_trouble(
    record: Record, source: Source, trouble: dict[str, Any]
) -> None:
    endpoint = an_endpoint(record)
    stories(record, source, 2)
    assert [each.healthy for each in claim(record, limit=1)] == [True]
    set_endpoint(record, endpoint.id, **trouble)
    again = claim(record, limit=1) or settled_and_claimed(record)
    assert [each.healthy for each in again] == [False]


def settled_and_claimed(record: Record) -> list[Claimed]:
    """A half open breaker lets one push through at a time."""
    for number, state in deliveries(record, "id", "state"):
        if state == "sending":
            set_delivery(record, number, state="delivered", lease=None)
    return claim(record, limit=1)


def test_replay_has_a_name_of_its_own_and_a_retry_has_not(record: Record, source: Source) -> None:
    endpoint = an_endpoint(record)
    stories(record, source, 1)
    (first,) = claim(record)
    settle(record, [first], "waiting", due_at=NOW)
    (retried,) = claim(record)
    assert retried.public_id == first.public_id
    settle(record, [retried])
    replay(record, first, NOW)
    (replayed,) = claim(record)
    assert replayed.public_id == f"{first.public_id}_1"
    assert first.public_id.startswith("dlv_")
    assert first.public_id.endswith(f"_{endpoint.id}")


# Between the look and the claim others may be quicker.


@contextmanager
def before_statement(record: Record, beginning: str, act: Callable[[], None]) -> Iterator[list[str]]:
    """Does `act` once, just before the first statement that begins so; yields such statements."""
    done: list[str] = []

    def listen(_: Any, __: Any, statement: str, *___: Any) -> None:
        if " ".join(statement.split()).startswith(beginning):
            done.append(statement)
            if len(done) == 1:
                act()

    event.listen(record.engine, "before_cursor_execute", listen)
    try:
        yield done
    finally:
        event.remove(record.engine, "before_cursor_execute", listen)


LOCKS_ENDPOINTS, LOCKS_DELIVERIES = "SELECT 'rest'", "SELECT id FROM delivery WHERE id"


@POSTGRESQL
def test_delivery_that_another_worker_claims_after_the_look_is_not_claimed_twice(
    record: Record, source: Source
) -> None:
    an_endpoint(record, max_in_flight=4)
    stories(record, source, 2)
    first = ids_of(record)[0]
    quicker = lambda: set_delivery(record, first, state="sending", lease=OTHER)  # noqa: E731
    with before_statement(record, LOCKS_DELIVERIES, quicker) as seen:
        claimed = claim(record)
    assert seen
    assert [each.id for each in claimed] == ids_of(record)[1:]


@POSTGRESQL
def test_delivery_whose_article_another_worker_sends_since_the_look_is_not_claimed(
    record: Record, source: Source
) -> None:
    an_endpoint(record, max_in_flight=4)
    stories(record, source, 2)
    claimed = claim(record, limit=1)
    settle(record, claimed)
    replay(record, claimed[0], NOW)
    original, other, again = ids_of(record)
    quicker = lambda: set_delivery(record, original, state="sending", lease=OTHER)  # noqa: E731
    with before_statement(record, LOCKS_DELIVERIES, quicker) as seen:
        found = claim(record)
    assert seen
    assert again != other
    assert [each.id for each in found] == [other]


@POSTGRESQL
def test_revision_that_is_overtaken_after_the_look_is_not_claimed(record: Record, source: Source) -> None:
    an_endpoint(record, max_in_flight=4)
    stories(record, source, 2)
    post(record, source, an_article(external_id="0", headline="Second"))
    with before_statement(record, LOCKS_DELIVERIES, lambda: None) as seen:
        found = claim(record)
    assert seen
    assert [each.revision for each in found] == [1]
    route(record)
    assert [each.revision for each in claim(record)] == [2]


@POSTGRESQL
def test_room_that_another_worker_takes_after_the_look_is_not_used_twice(
    record: Record, source: Source
) -> None:
    an_endpoint(record, max_in_flight=2)
    stories(record, source, 5)
    last = ids_of(record)[-1]
    quicker = lambda: set_delivery(record, last, state="sending", lease=OTHER)  # noqa: E731
    with before_statement(record, LOCKS_ENDPOINTS, quicker) as seen:
        claimed, cursor = claim_from(record, Cursor())
    assert seen
    assert len(claimed) == 1
    assert cursor.more


@POSTGRESQL
def test_endpoint_that_another_worker_claims_of_at_this_moment_is_left_to_it(
    record: Record, source: Source
) -> None:
    one, other = an_endpoint(record).id, an_endpoint(record).id
    stories(record, source, 2)
    with record.writing() as connection:
        locks.lock_endpoints(connection, [one])
        claimed, cursor = claim_from(record, Cursor())
        assert counts(claimed) == {other: 2}
        assert cursor == Cursor(other, more=True)
    assert counts(claim(record)) == {one: 2}
