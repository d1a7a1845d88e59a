"""An endpoint that refuses everything is left in peace; one that is back gets its takedowns first, and at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from service.store import operations
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import due_times, resumption, routing
from service.store.deliveries.replays import ReplayRequest
from service.store.deliveries.states import Priority
from service.store.errors import NotFound
from service.store.schema.deliveries import attempt, delivery
from service.store.schema.operations import audit, notice
from service.store.schema.partners import endpoint as endpoint_table
from tests.builders import NOW, a_takedown, an_article, an_endpoint, later, post
from tests.delivery_rows import add_attempt, deliveries, ids_of, one_delivery, set_delivery, set_endpoint
from tests.scripted_partner import ScriptedPartner, WorkerByHand, a_scripted_partner, a_worker

NEVER = "; it has never accepted a push"


@pytest.fixture
def partner() -> Iterator[ScriptedPartner]:
    with a_scripted_partner() as partner:
        yield partner


@pytest.fixture
def worker(record: Record) -> Iterator[WorkerByHand]:
    with a_worker(record) as worker:
        yield worker


def publish(record: Record, source: Source, count: int, seconds: float, prefix: str = "") -> None:
    for number in range(count):
        story = an_article(external_id=f"{prefix}{number}", headline=f"Story {prefix}{number}")
        post(record, source, story, now=later(seconds))


def health(record: Record, endpoint_id: int, *names: str) -> tuple[Any, ...]:
    columns = [endpoint_table.c[name] for name in names]
    with record.reading() as connection:
        return tuple(connection.execute(select(*columns).where(endpoint_table.c.id == endpoint_id)).one())


def opened_words(record: Record) -> list[str]:
    query = select(notice.c.words).where(notice.c.kind == "endpoint.breaker_opened")
    with record.reading() as connection:
        return list(connection.execute(query).scalars())


# An endpoint that refuses everything.


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, f"answered 400 Bad Request{NEVER}: the secret is probably not the one we sign with"),
        (401, f"answered 401 Unauthorized{NEVER}: the secret is probably not the one we sign with"),
        (403, f"answered 403 Forbidden{NEVER}: the secret is probably not the one we sign with"),
        (404, f"answered 404 Not Found{NEVER}: the address is probably not the right one"),
        (405, f"answered 405 Method Not Allowed{NEVER}: the address is probably not the right one"),
        (422, f"answered 422 Unprocessable Entity{NEVER}"),
    ],
)
def test_endpoint_that_refuses_everything_is_tried_a_few_times_in_ten_minutes_and_says_why(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand, status: int, words: str
) -> None:
    endpoint = an_endpoint(record, url=partner.url)
    partner.answer = status
    publish(record, source, 60, 0)
    for second in range(0, 600, 5):
        worker.work(second)
    assert 8 <= len(partner.pushes) <= 45  # five stories by their own schedule, and a trial now and then
    assert health(record, endpoint.id, "breaker", "last_failure") == ("open", words)
    assert words in opened_words(record)
    waiting = [state for (state,) in deliveries(record, "state")]
    assert waiting.count("pending") >= 45  # they used up no attempt
    assert "dead" not in waiting


def test_endpoint_that_took_pushes_before_is_not_said_to_have_the_wrong_secret(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand
) -> None:
    endpoint = an_endpoint(record, url=partner.url)
    publish(record, source, 1, 0)
    worker.work(0)
    partner.answer = 401
    publish(record, source, 9, 1, "b")
    worker.work(1)
    assert health(record, endpoint.id, "breaker", "last_failure") == ("open", "answered 401 Unauthorized")


def test_one_bad_story_leaves_the_circuit_of_a_healthy_endpoint_closed(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand
) -> None:
    endpoint = an_endpoint(record, url=partner.url)
    partner.answer = lambda push: 422 if push["data"]["headline"] == "Story bad0" else 200
    publish(record, source, 1, 0, "bad")
    for second in (0, 10, 60, 300, 1200, 4000, 20_000):  # until it is given up
        worker.work(second)
        assert health(record, endpoint.id, "breaker") == ("closed",)
    publish(record, source, 5, 20_001)
    worker.work(20_001)
    assert sorted(state for (state,) in deliveries(record, "state")) == ["dead"] + ["delivered"] * 5


def test_endpoint_whose_secret_was_mended_gets_all_that_it_had_refused_at_the_next_trial(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand
) -> None:
    endpoint = an_endpoint(record, url=partner.url)
    partner.answer = 401
    publish(record, source, 20, 0)
    for second in range(0, 3600, 60):
        worker.work(second)
    partner.answer = 200
    (until,) = health(record, endpoint.id, "breaker_until")
    for wait in range(20):  # the slow start needs some rounds
        worker.work((until - NOW).total_seconds() + wait)
    assert {state for (state,) in deliveries(record, "state")} == {"delivered"}
    assert health(record, endpoint.id, "breaker", "refused", "failing_since") == ("closed", None, None)


# Takedowns go first when a partner is back.


def held_and_killed(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand, count: int, status: int
) -> None:
    """The partner holds so many stories, then answers everything with this status; all are killed, and time goes by."""
    publish(record, source, count, 0, "held")
    worker.work(0)
    assert partner.kinds == ["published"] * count
    partner.answer = status
    for number in range(count):
        post(record, source, a_takedown(external_id=f"held{number}"), now=later(10))
    for second in range(10, 3600, 30):
        worker.work(second)


def priorities_sent(record: Record, since: datetime) -> list[int]:
    """The priorities of the pushes since then, in the order in which they were sent."""
    query = (
        select(delivery.c.priority)
        .join(attempt, attempt.c.delivery_id == delivery.c.id)
        .where(attempt.c.started_at >= since)
        .order_by(attempt.c.started_at)
    )
    with record.reading() as connection:
        return list(connection.execute(query).scalars())


@pytest.mark.parametrize("status", [401, 500])
def test_kills_go_before_the_backlog_that_is_replayed_when_a_partner_is_back(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand, status: int
) -> None:
    an_endpoint(record, url=partner.url)
    publish(record, source, 30, 0)
    routing.route(record, NOW)
    dead = ids_of(record)
    for each in dead:
        set_delivery(record, each, state="dead", settled_at=NOW)
    held_and_killed(record, source, partner, worker, 5, status)
    partner.answer = 200
    worker.seconds = 3601
    operations.replay(record, ReplayRequest(dead=True), actor="operator", now=worker.now)
    worker.work()
    sent = priorities_sent(record, since=worker.now)
    assert sent.count(Priority.TAKEDOWN) == 5
    assert sent == sorted(sent)
    waiting = select(delivery.c.id).where(delivery.c.priority == 0, delivery.c.state != "delivered")
    with record.reading() as connection:
        assert connection.execute(waiting).all() == []


def test_success_of_any_push_makes_waiting_kills_due_at_once(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand
) -> None:
    an_endpoint(record, url=partner.url)
    held_and_killed(record, source, partner, worker, 3, 404)
    waiting = [due for priority, due in deliveries(record, "priority", "due_at") if priority == 0]
    assert min(waiting) > later(3600)
    partner.answer = 200
    publish(record, source, 1, 3600, "new")
    worker.work(3600)
    assert sorted(partner.kinds[-4:]) == ["killed", "killed", "killed", "published"]


def test_kill_that_fails_alone_is_not_sent_again_with_each_success(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand
) -> None:
    an_endpoint(record, url=partner.url)
    publish(record, source, 1, 0, "held")
    worker.work(0)
    partner.answer = lambda push: 500 if push["type"] == "article.killed" else 200
    post(record, source, a_takedown(external_id="held0"), now=later(1))
    for second in range(1, 3600, 10):
        publish(record, source, 1, second, f"at{second}")
        worker.work(second)
    kills = partner.kinds.count("killed")
    assert 8 <= kills <= 16  # its own schedule has eleven in an hour


def test_kill_whose_partner_asked_it_to_wait_waits(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand
) -> None:
    an_endpoint(record, url=partner.url)
    partner.headers = "Retry-After: 7200\r\n"
    held_and_killed(record, source, partner, worker, 1, 403)
    came = partner.kinds.count("killed")
    partner.answer = 200
    publish(record, source, 1, 3600, "new")
    worker.work(3600)
    assert partner.kinds.count("killed") == came == 1


@pytest.fixture
def kill(record: Record, source: Source) -> int:
    """A kill that waits for its next try, and a story that does."""
    for _ in range(2):
        an_endpoint(record)
    publish(record, source, 2, 0)
    routing.route(record, NOW)
    for each in ids_of(record):
        set_delivery(record, each, state="waiting", due_at=later(900), attempts=2)
    set_delivery(record, ids_of(record)[0], priority=0)
    return ids_of(record)[0]


def hasten(record: Record, kill: int, failed_since: datetime | None = None) -> datetime:
    (endpoint_id,) = one_delivery(record, kill, "endpoint_id")
    with record.writing() as connection:
        due_times.hasten_takedowns(connection, endpoint_id, later(60), failed_since=failed_since)
    (due,) = one_delivery(record, kill, "due_at")
    assert isinstance(due, datetime)
    return due


def tried(record: Record, kill: int, number: int, at: datetime, headers: str | None = None) -> None:
    values = {"number": number, "started_at": at, "outcome": "timeout", "words": "was slow", "worker": "w1"}
    add_attempt(record, kill, response_headers=headers, **values)


def test_only_takedowns_of_this_endpoint_that_wait_are_hastened(record: Record, kill: int) -> None:
    other = ids_of(record)[1]
    set_delivery(record, other, priority=0)
    assert hasten(record, kill) == later(60)
    assert deliveries(record, "due_at") == [(later(60),), (later(900),), (later(900),), (later(900),)]
    set_delivery(record, kill, state="dead", due_at=later(900))
    assert hasten(record, kill) == later(900)
    set_delivery(record, kill, state="pending", due_at=later(59))
    assert hasten(record, kill) == later(59)


@pytest.mark.parametrize(
    ("first", "second", "hastened"),
    [(5, 6, True), (11, 12, True), (10, 12, True), (9, 10, False), (9, 9, True)],
)
def test_takedown_that_failed_before_and_after_a_success_keeps_its_time(
    record: Record, kill: int, first: int, second: int, hastened: bool
) -> None:
    tried(record, kill, 1, later(first))
    tried(record, kill, 2, later(second))
    assert hasten(record, kill, failed_since=later(10)) == (later(60) if hastened else later(900))


@pytest.mark.parametrize(("number", "hastened"), [(1, True), (2, False)])
def test_wish_to_wait_in_the_last_answer_alone_keeps_a_takedowns_time(
    record: Record, kill: int, number: int, hastened: bool
) -> None:
    tried(record, kill, number, later(1), headers='[["Retry-After", "3600"]]')
    assert hasten(record, kill) == (later(60) if hastened else later(900))


# An operator has it tried now.


def test_waiting_pushes_are_due_now_and_the_circuit_lets_one_through_at_once(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand
) -> None:
    endpoint = an_endpoint(record, url=partner.url)
    partner.answer = 503
    publish(record, source, 8, 0)
    for second in range(0, 7200, 60):
        worker.work(second)
    partner.answer = 200
    worker.seconds = 7201
    before = resumption.outlook(record, endpoint.id, worker.now)
    assert (before.waiting, before.trial) == (8, True)
    assert before.next_at is not None
    assert before.next_at > worker.now
    found = operations.try_endpoint_now(record, endpoint.id, actor="operator", now=worker.now)
    assert (found.waiting, found.next_at, found.trial, found.state) == (8, worker.now, True, "live")
    worker.work()
    assert {state for (state,) in deliveries(record, "state")} == {"delivered"}
    after = resumption.outlook(record, endpoint.id, worker.now)
    assert (after.waiting, after.next_at, after.trial) == (0, None, False)


def test_try_now_leaves_its_line_in_the_audit_and_obeys_no_retry_after(record: Record, kill: int) -> None:
    (number,) = one_delivery(record, kill, "endpoint_id")
    until = later(8000)
    set_endpoint(record, number, breaker="open", breaker_until=until, not_before=until)
    tried(record, kill, 2, later(1), headers='[["Retry-After", "3600"]]')
    operations.try_endpoint_now(record, number, actor="ann", now=later(60))
    assert health(record, number, "breaker", "breaker_until", "not_before") == ("open", later(60), None)
    moved = deliveries(record, "endpoint_id", "due_at")
    assert {due for each, due in moved if each == number} == {later(60)}
    assert {due for each, due in moved if each != number} == {later(900)}
    with record.reading() as connection:
        query = select(audit.c.actor, audit.c.target).where(audit.c.action == "endpoint.try_now")
        assert connection.execute(query).all() == [("ann", str(number))]


def test_story_under_embargo_is_not_tried_now(record: Record, source: Source) -> None:
    endpoint = an_endpoint(record)
    post(record, source, an_article(embargo_until=later(5000)))
    routing.route(record, NOW)
    found = operations.try_endpoint_now(record, endpoint.id, actor="operator", now=later(60))
    assert (found.waiting, found.next_at) == (1, later(5000))


@pytest.mark.parametrize("state", ["paused", "off"])
def test_paused_endpoint_gets_its_takedowns_alone_when_it_is_tried(
    record: Record, kill: int, state: str
) -> None:
    (number,) = one_delivery(record, kill, "endpoint_id")
    set_endpoint(record, number, state=state)
    found = operations.try_endpoint_now(record, number, actor="operator", now=later(60))
    assert (found.state, found.waiting, found.takedowns, found.trial) == (state, 2, 1, False)
    assert found.next_at == later(60)
    set_delivery(record, kill, state="delivered")
    assert resumption.outlook(record, number, later(61)).next_at is None


@pytest.mark.parametrize("number", [0, 99, 10**30])
def test_endpoint_that_does_not_exist_cannot_be_tried(record: Record, number: int) -> None:
    with pytest.raises(NotFound):
        operations.try_endpoint_now(record, number, actor="operator", now=NOW + timedelta(seconds=1))


def test_next_push_waits_for_whatever_holds_the_endpoint_longest(record: Record, kill: int) -> None:
    (number,) = one_delivery(record, kill, "endpoint_id")
    set_delivery(record, kill, state="delivered")
    assert resumption.outlook(record, number, NOW).next_at == later(900)
    set_endpoint(record, number, not_before=later(1000))
    assert resumption.outlook(record, number, NOW).next_at == later(1000)
    set_endpoint(record, number, breaker="open", breaker_until=later(1100))
    assert resumption.outlook(record, number, NOW).next_at == later(1100)
    assert resumption.outlook(record, number, later(1200)).next_at == later(1200)
