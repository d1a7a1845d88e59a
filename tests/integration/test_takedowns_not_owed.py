"""Takedowns go to outlets that hold the story, or may: one that refused all of it is neither sent nor owed any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.store import deadlines, ledger, operations
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import claims, recovery, routing, settlements, withdrawals
from service.store.deliveries.claims import ClaimedDelivery, Cursor
from service.store.deliveries.state_writes import NewRevision
from service.store.deliveries.states import State
from tests.builders import NOW, a_takedown, an_article, an_endpoint, later, post
from tests.delivery_rows import deliveries, ids_of, one_delivery, set_delivery
from tests.scripted_partner import Answer, ScriptedPartner, WorkerByHand, a_scripted_partner, a_worker
from tests.seeded import a_settlement

WORKER = "w1.test"


@pytest.fixture
def partner() -> Iterator[ScriptedPartner]:
    with a_scripted_partner() as partner:
        yield partner


@pytest.fixture
def worker(record: Record) -> Iterator[WorkerByHand]:
    with a_worker(record) as worker:
        yield worker


def states(record: Record) -> list[tuple[int, str]]:
    return [tuple(each) for each in deliveries(record, "revision", "state")]


def publish_correct_kill(
    record: Record, source: Source, worker: WorkerByHand, status: str = "killed"
) -> None:
    post(record, source, an_article())
    worker.work(0)
    post(record, source, an_article(headline="Harbour half open", correction_note="Half."), now=later(1))
    worker.work(1)
    post(record, source, a_takedown(status), now=later(2))
    worker.work(2)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 422, 429, 500, 503])
def test_kill_of_a_corrected_story_is_cancelled_where_the_outlet_refused_all_of_it(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand, status: int
) -> None:
    an_endpoint(record, url=partner.url)
    partner.answer = status
    publish_correct_kill(record, source, worker)
    assert "killed" not in partner.kinds
    assert states(record) == [(1, "superseded"), (2, "cancelled")]
    worker.work(20 * 60)
    deadlines.raise_late_takedowns(record, worker.now)
    assert "killed" not in partner.kinds
    with record.reading() as connection:
        assert (
            connection.exec_driver_sql("SELECT count(*) FROM notice WHERE kind = 'takedown.late'").scalar()
            == 0
        )


@pytest.mark.parametrize(
    "answer", [None, b"HTTP/1.1 401 No", b"nonsense\r\n\r\n", 502, 504, 520, 524], ids=repr
)
def test_kill_goes_on_where_nobody_knows_whether_the_story_arrived(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand, answer: Answer
) -> None:
    an_endpoint(record, url=partner.url)
    partner.answer = answer
    publish_correct_kill(record, source, worker)
    assert partner.kinds[-1] == "killed"
    assert states(record)[-1] == (3, "waiting")


def test_kill_goes_on_after_a_timeout_though_every_later_try_was_refused(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand
) -> None:
    an_endpoint(record, url=partner.url)
    partner.answer = None
    post(record, source, an_article())
    worker.work(0)
    partner.answer = 401
    worker.work(60)
    post(record, source, a_takedown(), now=later(61))
    worker.work(61)
    assert partner.kinds == ["published", "published", "killed"]


def test_outlet_that_was_never_reached_holds_nothing(
    record: Record, source: Source, worker: WorkerByHand
) -> None:
    an_endpoint(record, url="http://127.0.0.1:9/nobody-listens")
    publish_correct_kill(record, source, worker)
    assert states(record) == [(1, "superseded"), (2, "cancelled")]


def test_story_that_is_back_goes_to_the_outlet_that_had_refused_it_and_so_does_its_next_kill(
    record: Record, source: Source, partner: ScriptedPartner, worker: WorkerByHand
) -> None:
    an_endpoint(record, url=partner.url)
    partner.answer = 401
    publish_correct_kill(record, source, worker, "withheld")
    partner.answer = 200
    article = an_article(headline="Harbour open")
    post(record, source, article, now=later(3))
    worker.work(3)
    assert partner.kinds[-1] == "restored"
    post(record, source, a_takedown(), now=later(4))
    worker.work(4)
    assert partner.kinds[-1] == "killed"
    assert states(record)[-1][1] == "delivered"


# Events that are routed late, together.


def test_story_corrected_and_killed_before_it_was_routed_is_no_news_to_anybody(
    record: Record, source: Source
) -> None:
    an_endpoint(record)
    post(record, source, an_article())
    post(record, source, an_article(headline="Second", correction_note="Not first."), now=later(1))
    post(record, source, a_takedown(), now=later(2))
    routing.route(record, later(3))
    assert {state for _, state in states(record)} == {"cancelled"}


def test_correction_of_what_an_outlet_refused_is_not_owed_once_it_is_not_subscribed(
    record: Record, source: Source
) -> None:
    """The correction waits; then the story leaves the section that the outlet gets."""
    endpoint = an_endpoint(record, sections=["world"])
    post(record, source, an_article())
    post(record, source, an_article(headline="Second", correction_note="Not first."), now=later(1))
    routing.route(record, later(1))
    assert endpoint.sections == ("world",)
    post(record, source, an_article(headline="Third", sections=("china",)), now=later(2))
    routing.route(record, later(2))
    assert [state for _, state in states(record)] == ["superseded", "superseded"]


# The story is on the wire while it is taken down.


def claim(record: Record, seconds: float) -> list[ClaimedDelivery]:
    return claims.claim(record, lease=WORKER, limit=9, cursor=Cursor(), now=later(seconds))[0]


def end(record: Record, claimed: ClaimedDelivery, state: State, *, reached: bool) -> None:
    settled = a_settlement(claimed, state, "answered", later(5))._replace(reached=reached)
    settlements.settle(record, [settled], lease=WORKER, now=later(5))


def killed_while_on_the_wire(record: Record, source: Source, **options: bool) -> ClaimedDelivery:
    an_endpoint(record, **options)
    post(record, source, an_article())
    routing.route(record, NOW)
    [claimed] = claim(record, 1)
    post(record, source, a_takedown(), now=later(2))
    routing.route(record, later(2))
    assert states(record) == [(1, "sending"), (2, "pending")]
    return claimed


@pytest.mark.parametrize("every_revision", [False, True])
@pytest.mark.parametrize("state", [State.WAITING, State.DEAD])
def test_kill_is_cancelled_when_the_push_that_was_on_the_wire_comes_back_refused(
    record: Record, source: Source, state: State, every_revision: bool
) -> None:
    claimed = killed_while_on_the_wire(record, source, every_revision=every_revision)
    end(record, claimed, state, reached=False)
    left = "cancelled" if state is State.WAITING else "dead"
    assert states(record) == [(1, left), (2, "cancelled")]
    assert claim(record, 100) == []
    _, kill = ids_of(record)
    assert one_delivery(record, kill, "settled_at", "superseded_by") == (later(5), None)


@pytest.mark.parametrize("state", [State.WAITING, State.DEAD, State.DELIVERED])
def test_kill_goes_when_the_push_that_was_on_the_wire_may_have_arrived(
    record: Record, source: Source, state: State
) -> None:
    end(record, killed_while_on_the_wire(record, source), state, reached=True)
    assert [each.priority for each in claim(record, 6)] == [0]


def test_kill_goes_to_an_outlet_that_holds_an_older_revision_though_it_refuses_the_last(
    record: Record, source: Source
) -> None:
    an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    end(record, claim(record, 1)[0], State.DELIVERED, reached=True)
    post(record, source, an_article(headline="Second"), now=later(1))
    routing.route(record, later(1))
    [claimed] = claim(record, 1)
    post(record, source, a_takedown(), now=later(2))
    routing.route(record, later(2))
    end(record, claimed, State.WAITING, reached=False)
    assert [(each.revision, each.priority) for each in claim(record, 6)] == [(3, 0)]


def test_refusal_at_one_outlet_leaves_the_kill_of_another_alone(record: Record, source: Source) -> None:
    for _ in range(2):
        an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    first, second = claim(record, 1)
    post(record, source, a_takedown(), now=later(2))
    routing.route(record, later(2))
    end(record, first, State.WAITING, reached=False)
    assert states(record)[-2:] == [(2, "cancelled"), (2, "pending")]
    end(record, second, State.WAITING, reached=True)
    assert [each.endpoint_id for each in claim(record, 6)] == [second.endpoint_id]


def test_kill_is_cancelled_when_the_push_that_was_claimed_goes_back_unsent(
    record: Record, source: Source
) -> None:
    claimed = killed_while_on_the_wire(record, source)
    with record.writing() as connection:
        settlements.give_back(connection, [claimed], lease=WORKER, now=later(3))
    assert states(record) == [(1, "cancelled"), (2, "cancelled")]


def test_kill_goes_when_the_worker_that_had_the_push_is_lost(record: Record, source: Source) -> None:
    killed_while_on_the_wire(record, source)
    recovery.recover(record, recovery.in_flight(record), later(3))
    assert [each.priority for each in claim(record, 4)] == [0]


def test_routing_withdraws_the_kill_of_what_came_back_unsent_while_it_looked(
    record: Record, source: Source
) -> None:
    claimed = killed_while_on_the_wire(record, source)
    set_delivery(record, claimed.id, state="superseded", superseded_by=2)  # as seen once its lock is there
    with record.writing() as connection:
        withdrawals.withdraw(connection, [NewRevision(claimed.article_id, 2, takedown=True)], later(3))
    assert states(record) == [(1, "cancelled"), (2, "cancelled")]


@pytest.mark.parametrize("column", ["article_id", "endpoint_id"])
def test_withdrawal_leaves_other_articles_and_what_is_no_takedown(
    record: Record, source: Source, column: str
) -> None:
    for _ in range(2):
        an_endpoint(record)
    for number in range(2):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    ids = ids_of(record)
    ((place,)) = one_delivery(record, ids[0], column)
    for each in ids:
        set_delivery(record, each, priority=0)
    set_delivery(record, ids[0], state="dead")
    before = deliveries(record, "id", "state", column)
    with record.writing() as connection:
        withdrawals.withdraw_after(connection, [ids[0]], later(3))
    after = {number: state for number, state, _ in deliveries(record, "id", "state", column)}
    assert {n: s for n, s, where in before if where != place} == {
        n: after[n] for n, _, where in before if where != place
    }


def test_news_is_never_withdrawn(record: Record, source: Source) -> None:
    claimed = killed_while_on_the_wire(record, source)
    _, kill = ids_of(record)
    set_delivery(record, kill, priority=1)
    end(record, claimed, State.DEAD, reached=False)
    assert states(record) == [(1, "dead"), (2, "pending")]


# Takedowns that were given up.


def test_kill_that_was_given_up_goes_again_to_an_outlet_that_read_the_story_itself(
    record: Record, source: Source
) -> None:
    """It holds the story by its own stream: no push of it ever arrived."""
    claimed = killed_while_on_the_wire(record, source)
    end(record, claimed, State.WAITING, reached=True)
    first, kill = ids_of(record)
    set_delivery(record, first, reached=False)
    set_delivery(record, kill, state="dead", settled_at=later(10))
    with record.writing() as connection:
        told = ledger.Receipt(claimed.article_id, claimed.partner_id, claimed.endpoint_id, 1)
        ledger.write(connection, [told], ledger.Channel.PULL, later(4))
    operations.pause_endpoint(record, claimed.endpoint_id, reason="", actor="operator", now=later(5))
    operations.resume_endpoint(record, claimed.endpoint_id, actor="operator", now=later(20))
    assert [each.priority for each in claim(record, 20)] == [0]
