"""Our clock was ahead, and is right again: nothing is hidden by it, nobody is switched off, kills go on."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta

import pytest

from service.store import operations
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.deliveries import attempts, recovery, routing, settlements
from service.store.deliveries.health import Health
from service.store.deliveries.states import State
from service.store.feeds import archives, documents
from service.store.feeds.contents import NEWEST
from service.store.feeds.feeds import ARCHIVE_PAGE
from tests.builders import NOW, a_desk, an_article, an_endpoint, later, post
from tests.feed_desk import FeedDesk
from tests.sending import WORKER, claim, deliver, settlement, work
from workers.deliver import retry
from workers.deliver.settle import SWITCH_OFF_AFTER, Attempt, health_after, verdict_on
from workers.net import outcome

AHEAD = [timedelta(seconds=8), timedelta(hours=2), timedelta(days=400)]
HEALTHY = Health(**{each.name: None for each in fields(Health)} | {"state": "live", "breaker": "closed",
    "breaker_opened": 0, "failures": 0})  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize("ahead", AHEAD)
def test_story_posted_while_the_clock_was_ahead_and_its_revisions_are_in_the_feeds_at_once(
    record: Record, ahead: timedelta
) -> None:
    source = a_desk(record)
    desk = FeedDesk(record)
    post(record, source, an_article(external_id="early", headline="Before"), now=NOW)
    post(record, source, an_article(external_id="ahead", headline="Meanwhile"), now=NOW + ahead)
    desk.work(later(1))  # the clock is right again before anything was built
    assert sorted(desk.headlines("world")) == ["Before", "Meanwhile"]
    post(record, source, an_article(external_id="ahead", headline="Meanwhile, revised"), now=later(2))
    desk.work(later(2))
    assert sorted(desk.headlines("world")) == ["Before", "Meanwhile, revised"]
    answer = post(record, source, an_article(external_id="late", headline="After"), now=later(3))
    desk.work(later(3))
    assert desk.headlines("world")[0] == "After"
    operations.kill(record, answer.article, reason="r", actor="operator", now=later(4))
    desk.work(later(4))
    assert desk.headlines("world")[0] == "Story withdrawn"


def test_stories_of_a_clock_that_was_ahead_do_not_push_out_those_that_came_after_them(record: Record) -> None:
    source = a_desk(record)
    desk = FeedDesk(record)
    for number in range(NEWEST + 50):
        post(record, source, an_article(external_id=f"ahead {number}"), now=NOW + AHEAD[2])
    desk.work(NOW + AHEAD[2])
    post(record, source, an_article(external_id="after", headline="After"), now=later(1))
    desk.work(later(1))
    for slug in ("world", "all", "source/wire"):
        assert desk.headlines(slug)[0] == "After"


@pytest.mark.parametrize("ahead", AHEAD[1:])
def test_last_modified_of_a_feed_is_not_in_the_future_once_the_clock_is_right(
    record: Record, ahead: timedelta
) -> None:
    source = a_desk(record)
    desk = FeedDesk(record)
    post(record, source, an_article(), now=NOW + ahead)
    desk.work(NOW + ahead)
    post(record, source, an_article(external_id="after", headline="After"), now=later(1))
    desk.work(later(1))
    for fmt in ("rss", "atom", "json", "html"):
        found = documents.get_document(record, "world", fmt)
        assert found is not None
        assert found.modified_at <= later(1)


def test_kill_by_a_clock_that_was_ahead_is_in_a_partners_own_feed_at_once(record: Record) -> None:
    source = a_desk(record)
    answer = post(record, source, an_article())
    desk = FeedDesk(record)
    desk.work()
    operations.kill(record, answer.article, reason="r", actor="operator", now=NOW + AHEAD[2])
    desk.work(later(1))
    assert desk.headlines("world") == ["Story withdrawn"]


@pytest.mark.parametrize("ahead", AHEAD)
def test_pushes_of_a_clock_that_was_ahead_go_when_a_worker_starts_though_nobody_saw_it_go_back(
    record: Record, ahead: timedelta
) -> None:
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article(), now=NOW + ahead)
    routing.route(record, NOW + ahead)
    assert claim(record, later(1)) == []
    assert recovery.clock_was_ahead(record, later(1)) == 1
    assert len(claim(record, later(1))) == 1


def failing(health: Health, now: datetime) -> Health:
    return health_after(
        health, outcome.unsent("timed out")._replace(kind="timeout"), retry.RetryAt(now), now, 0.5
    )


def test_endpoint_is_not_switched_off_because_the_clock_jumped_by_400_days() -> None:
    health = failing(HEALTHY, NOW)
    health = failing(health, NOW + AHEAD[2])
    health = failing(health, NOW + AHEAD[2] + timedelta(minutes=1))
    health = failing(health, later(120))
    health = failing(health, later(180))
    assert health.state == "live"


def test_endpoint_that_fails_for_five_days_by_its_attempts_is_switched_off() -> None:
    health, now = HEALTHY, NOW
    while health.state == "live":
        health = failing(health, now)
        now += timedelta(hours=12)
    assert SWITCH_OFF_AFTER <= now - NOW <= SWITCH_OFF_AFTER + timedelta(days=1)
    assert health.state_reason == "failing for five days; last: timed out"


def test_endpoint_that_has_failed_since_the_version_before_is_not_switched_off_by_one_failure() -> None:
    known = failing(HEALTHY, NOW)
    before = Health(**{**vars(known), "failing_seconds": None, "last_failure_at": NOW + AHEAD[2]})
    assert failing(before, NOW + AHEAD[2] + timedelta(minutes=1)).state == "live"


def test_kill_goes_to_a_holder_that_is_switched_off(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record)
    answer = post(record, source, an_article())
    work(record, NOW)
    deliver(record, NOW)
    with record.writing() as connection:
        Statement("UPDATE endpoint SET state = 'off' WHERE id = :id").run(connection, {"id": endpoint.id})
    post(record, source, an_article(external_id="news"), now=later(1))
    operations.kill(record, answer.article, reason="r", actor="operator", now=later(2))
    work(record, later(2))
    assert [each.priority for each in claim(record, later(2))] == [0]


def test_kill_that_is_answered_410_is_tried_again_later_and_not_at_once() -> None:
    policy = retry.RetryPolicy(None, NOW, takedown=True)
    gone = outcome.unsent("answered 410")._replace(kind="gone", status=410)
    decision = retry.decide(1, gone, NOW, policy, 0.5)
    assert decision == retry.SwitchOff("the partner answered 410", later(5))
    assert isinstance(retry.decide(99, gone, NOW + timedelta(days=8), policy, 0.5), retry.Dead)


@pytest.mark.parametrize("ahead", AHEAD)
def test_kill_that_fails_while_the_clock_is_ahead_is_tried_on_for_its_seven_days(
    record: Record, ahead: timedelta
) -> None:
    """The attempts say for how long it was tried; by the time of day alone it would be given up at once."""
    source = a_desk(record)
    an_endpoint(record)
    answer = post(record, source, an_article())
    work(record, NOW)
    deliver(record, NOW)
    operations.kill(record, answer.article, reason="r", actor="operator", now=later(1))
    work(record, later(1))
    timed_out = outcome.unsent("timed out")._replace(kind="timeout")
    moments = [later(1), *[NOW + ahead + timedelta(seconds=each) for each in range(2, 40)]]
    for number, moment in enumerate(moments, 1):
        [sent] = claim(record, moment)
        with record.reading() as connection:
            tried_for = attempts.tried_for(connection, sent.id, moment)
        assert tried_for <= timedelta(days=1, hours=2)
        decision = verdict_on(Attempt(sent, moment, timed_out), moment, 0.5, tried_for)
        assert isinstance(decision, retry.RetryAt), number
        failed = settlement(sent, State.WAITING, moment)._replace(due_at=moment + timedelta(milliseconds=1))
        failed.attempt["started_at"] = moment
        settlements.settle(record, [failed], lease=WORKER, now=moment)


def test_kill_that_was_tried_for_seven_days_is_given_up() -> None:
    policy = retry.RetryPolicy(None, NOW, takedown=True, tried_for=timedelta(days=7))
    timed_out = outcome.unsent("timed out")._replace(kind="timeout")
    assert isinstance(retry.decide(700, timed_out, NOW + timedelta(days=8), policy, 0.5), retry.Dead)
    assert isinstance(retry.decide(700, timed_out, NOW + timedelta(days=6), policy, 0.5), retry.RetryAt)


@pytest.mark.parametrize("ahead", AHEAD)
def test_correction_by_a_clock_that_was_ahead_is_on_the_page_of_its_story_at_once(
    record: Record, ahead: timedelta
) -> None:
    source = a_desk(record)
    desk = FeedDesk(record)
    for number in range(ARCHIVE_PAGE):
        post(record, source, an_article(external_id=f"{number}", headline=f"Story {number}"), now=NOW)
    desk.work(later(1))
    post(record, source, an_article(external_id="0", headline="Corrected"), now=NOW + ahead)
    routing.route(record, NOW + ahead)
    desk.work(later(2))
    page = archives.get_page(record, "world", 1, "atom")
    assert page is not None
    assert b"Corrected" in page.body
    assert b">Story 0<" not in page.body
