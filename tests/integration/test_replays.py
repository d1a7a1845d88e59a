"""Replay: what an operator sends again, what is never sent again, and why."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from sqlalchemy import select

from service.store import operations
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, replays, requeue, routing, settlements
from service.store.deliveries.claims import ClaimedDelivery
from service.store.deliveries.replays import ReplayRequest, ReplayResult
from service.store.errors import NotFound, NotPossible
from service.store.schema.deliveries import delivery
from service.store.schema.operations import audit
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.seeded import a_settlement

WORKER = "w1.test"


def claim(record: Record, seconds: float = 0) -> list[ClaimedDelivery]:
    heartbeats.heartbeat(record, WORKER, broker="up", now=later(seconds))
    return claims.claim(record, lease=WORKER, limit=500, cursor=claims.Cursor(), now=later(seconds))[0]


def sent(
    record: Record, state: str = "delivered", seconds: float = 0, **changes: Any
) -> list[ClaimedDelivery]:
    """Routes, sends, and settles everything as `state`."""
    routing.route(record, later(seconds))
    claimed = claim(record, seconds)
    ends = [a_settlement(each, state, "so it went", later(seconds), **changes) for each in claimed]
    settlements.settle(record, ends, lease=WORKER, now=later(seconds))
    return claimed


def rows(record: Record) -> list[tuple[int, int, str]]:
    """(revision, replay, state) of every delivery."""
    columns = delivery.c
    with record.reading() as connection:
        query = select(columns.revision, columns.replay, columns.state).order_by(columns.id)
        return [tuple(row) for row in connection.execute(query)]


def replay(
    record: Record, *, dry_run: bool = False, batch: int = replays.DELIVERIES_PER_TRANSACTION, **wanted: Any
) -> ReplayResult:
    return operations.replay(
        record, ReplayRequest(**wanted), dry_run=dry_run, batch=batch, actor="operator", now=later(60)
    )


@pytest.mark.parametrize("dry_run", [True, False])
def test_dead_delivery_is_replayed_as_itself(record: Record, dry_run: bool) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    post(record, source, an_article())
    [first] = sent(record, "dead")
    told = replay(record, endpoint=endpoint.id, since=NOW, dry_run=dry_run)
    assert told == ReplayResult((first.public_id,), {}, {endpoint.partner: 1})
    assert rows(record) == [(1, 0, "dead" if dry_run else "pending")]


def test_delivered_one_is_replayed_under_an_id_of_its_own(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    given = post(record, source, an_article())
    [first] = sent(record)
    told = replay(record, article=given.article)
    [again] = claim(record, 60)
    assert told.deliveries == (again.public_id,) == (f"{first.public_id}_1",)
    assert again.sequence == 2


@pytest.mark.parametrize("dry_run", [True, False])
def test_replay_of_what_a_partner_was_not_given_leaves_the_delivered_and_the_others_alone(
    record: Record, dry_run: bool
) -> None:
    source = a_desk(record)
    for name in ("herald", "courier"):
        an_endpoint(record, name)
    post(record, source, an_article())
    sent(record, "dead")
    post(record, source, an_article(external_id="2"))
    sent(record, "delivered", 1)
    everything = replay(record, dead=True, dry_run=True)
    assert everything.partners == {"herald": 1, "courier": 1}
    told = replay(record, partner="herald", dead=True, dry_run=dry_run)
    assert (told.count, told.partners, told.skipped) == (1, {"herald": 1}, {})
    assert sorted(state for *_, state in rows(record)) == sorted(
        ["dead", "dead" if dry_run else "pending", "delivered", "delivered"]
    )
    with pytest.raises(NotFound, match="harald"):
        replay(record, partner="harald", dead=True)


@pytest.mark.parametrize("dry_run", [True, False])
def test_replay_of_a_cause_sends_what_its_last_attempt_ended_with_and_counts_it_by_partner(
    record: Record, dry_run: bool
) -> None:
    source = a_desk(record)
    herald, _ = (an_endpoint(record, name) for name in ("herald", "courier"))
    post(record, source, an_article())
    sent(record, "waiting", outcome="refused", due_at=later(1))
    tried_again = claim(record, 2)
    slow = [a_settlement(each, "dead", "too slow", later(2), outcome="timeout") for each in tried_again]
    settlements.settle(record, slow, lease=WORKER, now=later(2))
    post(record, source, an_article(external_id="2"))
    [first, *_] = sent(record, "dead", 3, outcome="server_error")
    post(record, source, an_article(external_id="3"))
    sent(record, "delivered", 4)
    assert replay(record, cause="refused", dry_run=True) == ReplayResult((), {}, {})
    late = replay(record, cause="timeout", dry_run=True)
    assert late.deliveries == tuple(each.public_id for each in tried_again)
    assert late.partners == {"herald": 1, "courier": 1}
    one = replay(record, cause="server_error", endpoint=herald.id, dry_run=dry_run)
    assert one == ReplayResult((first.public_id,), {}, {"herald": 1})
    assert [state for *_, state in rows(record)].count("pending") == (0 if dry_run else 1)
    assert replay(record, cause="timeout", partner="courier", since=later(9), dry_run=True).count == 0
    with pytest.raises(NotPossible, match="'tiredness' is no cause: name one of refused, gone,"):
        replay(record, cause="tiredness")


def test_replay_asked_for_twice_sends_once(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    post(record, source, an_article())
    sent(record)
    assert replay(record, endpoint=endpoint.id, since=NOW).count == 1
    assert replay(record, endpoint=endpoint.id, since=NOW) == ReplayResult(
        (), {"repeated": 1, "on_its_way": 1}
    )


def test_revision_older_than_the_one_held_is_never_replayed(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    [first] = sent(record, "dead")
    post(record, source, an_article(headline="Second"))
    sent(record)
    with pytest.raises(NotPossible, match="newer revision"):
        replay(record, delivery=first.public_id)


def test_revision_that_was_updated_elsewhere_since_is_not_replayed_to_who_no_longer_subscribes(
    record: Record,
) -> None:
    source = a_desk(record)
    an_endpoint(record, sections=["world"])
    post(record, source, an_article(sections=("world",)))
    sent(record, "dead")
    post(record, source, an_article(sections=("china",), headline="Second"))
    sent(record)
    assert replay(record, dead=True) == ReplayResult((), {"newer": 1})


def test_story_that_was_killed_since_is_not_replayed_to_an_outlet_it_never_reached(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    given = post(record, source, an_article())
    routing.route(record, NOW)
    [first] = claim(record)
    end = a_settlement(first, "dead", "no server", NOW)._replace(reached=False)
    settlements.settle(record, [end], lease=WORKER, now=NOW)
    post(record, source, a_takedown())
    routing.route(record, later(1))
    assert rows(record) == [(1, 0, "dead")], "it holds nothing, so it is not told of the kill"
    for wanted in ({"dead": True}, {"article": given.article}, {"endpoint": first.endpoint_id, "since": NOW}):
        assert replay(record, **wanted) == ReplayResult((), {"taken_down": 1})
    with pytest.raises(NotPossible, match="taken down since"):
        replay(record, delivery=first.public_id)
    assert claim(record, 60) == []


def test_kill_that_was_given_up_is_replayed_ahead_of_everything(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    sent(record)
    post(record, source, a_takedown())
    sent(record, "dead", 5)
    assert replay(record, dead=True).count == 1
    assert [(each.revision, each.priority) for each in claim(record, 60)] == [(2, 0)]


def test_all_dead_ones_go_again_and_only_those_of_an_endpoint_if_named(record: Record) -> None:
    source = a_desk(record)
    one, other = an_endpoint(record), an_endpoint(record)
    post(record, source, an_article())
    sent(record, "dead")
    post(record, source, an_article(external_id="43"))
    sent(record)
    assert replay(record, dead=True, dry_run=True).count == 2
    assert replay(record, dead=True, endpoint=one.id).count == 1
    assert replay(record, dead=True).count == 1
    assert {each.endpoint_id for each in claim(record, 60)} == {one.id, other.id}


def test_dry_run_counts_by_reason_what_the_run_then_does(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, max_in_flight=60)
    for number in range(7):
        post(record, source, an_article(external_id=str(number)))
    sent(record)
    post(record, source, an_article(external_id="0", headline="Second"))
    post(record, source, a_takedown(external_id="1"))
    sent(record, seconds=5)
    post(record, source, an_article(external_id="waits"))
    routing.route(record, later(6))
    expected = {"newer": 1, "taken_down": 1, "on_its_way": 1}
    plan = replay(record, endpoint=endpoint.id, since=NOW, dry_run=True, batch=2)
    done = replay(record, endpoint=endpoint.id, since=NOW, batch=2)
    assert plan == done
    assert (done.count, done.skipped) == (7, expected)
    assert len(claim(record, 60)) == 8


def test_sequence_numbers_of_what_is_replayed_in_batches_have_no_gap(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, max_in_flight=60)
    for number in range(5):
        post(record, source, an_article(external_id=str(number)))
    sent(record)
    replay(record, endpoint=endpoint.id, since=NOW, batch=2)
    with record.reading() as connection:
        given = connection.execute(select(delivery.c.sequence)).scalars().all()
    assert sorted(given) == list(range(1, 11))


def test_each_batch_is_audited_with_what_was_left_out(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, max_in_flight=60)
    for number in range(3):
        post(record, source, an_article(external_id=str(number)))
    sent(record)
    post(record, source, an_article(external_id="0", headline="Second"))
    replay(record, endpoint=endpoint.id, since=NOW, batch=2)
    replay(record, endpoint=endpoint.id, since=NOW, batch=2, dry_run=True)
    with record.reading() as connection:
        query = select(audit.c.detail).where(audit.c.action == "delivery.replayed")
        details = [json.loads(each) for each in connection.execute(query).scalars()]
    assert [(each["count"], each["skipped"]) for each in details] == [(1, {"newer": 1}), (1, {})]


@pytest.mark.parametrize("name", ["%", "_" * 26, "%:item/%", "tag:%", ""])
def test_a_pattern_names_no_article_so_that_nothing_is_sent_again(record: Record, name: str) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    sent(record, "delivered")
    with pytest.raises(NotFound):
        replay(record, article=name)
    assert rows(record) == [(1, 0, "delivered")]


def test_an_article_is_replayed_by_its_whole_id_and_by_its_last_part(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article(external_id="another"))
    given = post(record, source, an_article())
    deliveries = {each.event_id: each.public_id for each in sent(record, "dead")}
    last = given.article.rpartition("/")[2]
    found = [replay(record, article=name, dry_run=True) for name in (given.article, last, last.lower())]
    assert [each.deliveries for each in found] == [(deliveries[2],)] * 3


def test_unknown_ones_are_told_as_such(record: Record) -> None:
    a_desk(record)
    for wanted in ({"delivery": "dlv_none_1"}, {"delivery": "nonsense"}, {"article": "tag:x:1"}):
        with pytest.raises(NotFound):
            replay(record, **wanted)
    with pytest.raises(NotPossible, match="say what to replay"):
        replay(record)
    assert replay(record, dead=True) == ReplayResult((), {})


@pytest.mark.parametrize(
    "record", ["postgresql"], indirect=True
)  # on SQLite one writer waits for the other anyway
def test_revision_accepted_while_a_replay_commits_goes_instead(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    [first] = sent(record, "dead")
    posting = threading.Thread(target=post, args=(record, source, an_article(headline="Second")))
    with record.writing() as connection:
        replays._lock_articles(connection, [first.id])
        allowed, _ = replays._sorted_out(connection, [first.id], later(60))
        posting.start()
        posting.join(0.3)
        assert posting.is_alive(), "it waits for the replay to commit"
        requeue.revive(connection, [each.id for each in allowed], later(60))
    posting.join(10)
    assert rows(record) == [(1, 0, "superseded")]
    routing.route(record, later(61))
    assert [each.revision for each in claim(record, 61)] == [2]
