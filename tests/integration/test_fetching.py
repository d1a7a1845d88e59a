"""The fetch worker against a content system's own API: hints, failures, changes, sweeps, and the operator's limit."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from service import times
from service.intake.adapters.adapter import ApiAnswer, ApiRequest, Gone, SourceSettings, StoryRead
from service.store import notices, operations
from service.store.articles import hooks, source_sync
from service.store.coordination import due_work
from service.store.database.record import Record
from service.store.feeds.sections import all_sections
from tests import paper_system
from tests.paper_newsroom import PaperNewsroom
from tests.paper_server import Paper
from tests.paper_system import PAPER, PAPER_TOKEN, a_story
from tests.worker import LOOPBACK
from workers.fetch import __main__ as command
from workers.fetch.task import FetchTask
from workers.net.api_client import ApiClient

A_MINUTE = timedelta(minutes=1)


def later(newsroom: PaperNewsroom, seconds: float = 0) -> str:
    return times.to_iso(newsroom.now + timedelta(seconds=seconds))


def test_a_story_that_was_hinted_at_is_fetched(newsroom: PaperNewsroom) -> None:
    newsroom.paper.publish("7")
    assert newsroom.send({"changed": ["7", "8"]}).outcome == "queued"
    assert due_work.due_now(newsroom.record, newsroom.now).fetches
    newsroom.work()
    assert newsroom.status("7") == "usable"
    assert newsroom.status("8") == "none"
    assert not due_work.due_now(newsroom.record, newsroom.now).fetches


def test_a_hint_of_a_story_that_is_gone_takes_it_down(newsroom: PaperNewsroom) -> None:
    newsroom.paper.publish("7")
    newsroom.send({"changed": ["7"]})
    newsroom.work()
    newsroom.paper.hidden.add("7")
    newsroom.send({"changed": ["7"]})
    newsroom.work(A_MINUTE)
    assert newsroom.status("7") == "unpublished"


def test_a_system_that_fails_is_left_alone_and_tried_again_and_nothing_is_lost(
    newsroom: PaperNewsroom,
) -> None:
    newsroom.paper.publish("7")
    newsroom.paper.fails = 503
    newsroom.send({"changed": ["7"]})
    newsroom.work()
    asked = len(newsroom.paper.seen)
    newsroom.work(timedelta(seconds=1))
    assert len(newsroom.paper.seen) == asked, "it is left alone"
    state = newsroom.state()
    assert state.failures == 1
    assert "503" in str(state.failure)
    newsroom.paper.fails = 0
    newsroom.work(timedelta(hours=1))
    assert newsroom.status("7") == "usable"
    assert newsroom.state().failure is None


def test_a_token_in_an_address_is_filled_in(newsroom: PaperNewsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PAPER.fetch is not None

    def with_key(story_id: str, of: SourceSettings) -> ApiRequest:
        assert PAPER.fetch is not None
        asked = PAPER.fetch(story_id, of)
        return replace(asked, url=f"{asked.url}?key={{token}}")

    paper_system.install(monkeypatch, replace(PAPER, fetch=with_key))
    newsroom.paper.publish("7")
    newsroom.send({"changed": ["7"]})
    newsroom.work()
    assert newsroom.paper.seen[-1] == f"/stories/7?key={PAPER_TOKEN}"
    assert newsroom.status("7") == "usable"


def test_a_refusal_that_concerns_one_story_alone_takes_it_down(
    newsroom: PaperNewsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    newsroom.paper.publish("7")
    newsroom.send({"changed": ["7"]})
    newsroom.work()

    def gone_if_refused(answer: ApiAnswer, story_id: str, of: SourceSettings) -> StoryRead | Gone:
        assert PAPER.fetched is not None
        return Gone(story_id) if answer.status == 401 else PAPER.fetched(answer, story_id, of)

    def expecting(story_id: str, of: SourceSettings) -> ApiRequest:
        assert PAPER.fetch is not None
        return replace(PAPER.fetch(story_id, of), expected=(401,))

    paper_system.install(monkeypatch, replace(PAPER, fetch=expecting, fetched=gone_if_refused))
    newsroom.paper.fails = 401
    newsroom.send({"changed": ["7"]})
    newsroom.work()
    assert newsroom.status("7") == "unpublished"


def test_a_wrong_token_is_said_and_is_in_no_log(
    record: Record, paper: Paper, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    newsroom = PaperNewsroom(record, paper, api_token="wrong-token-of-the-test")
    newsroom.send({"changed": ["7"]})
    newsroom.work()
    assert "--api-token" in str(newsroom.state().failure)
    assert "wrong-token" not in caplog.text


def test_an_address_that_may_not_be_called_is_said(record: Record, paper: Paper) -> None:
    newsroom = PaperNewsroom(record, paper)
    newsroom.task = FetchTask(
        record, newsroom.stories, newsroom.clock, lambda: ApiClient((), user_agent="test", seconds=5)
    )
    newsroom.work()
    assert "DATELINE_ALLOW_NETWORKS" in str(newsroom.state().failure)
    assert paper.seen == []


def test_a_story_that_changes_here_while_it_is_fetched_is_fetched_again(newsroom: PaperNewsroom) -> None:
    newsroom.paper.publish("7")
    newsroom.send({"changed": ["7"]})
    newsroom.work()

    def delete(_story: str) -> None:
        """The answer is on its way, and the story is deleted before it comes."""
        if newsroom.status("7") == "usable":
            newsroom.send({"gone": ["7"]})
            body = dict(newsroom.paper.stories["7"], headline="Read before the end")
            newsroom.paper.stories["7"] = body
        else:
            newsroom.paper.hidden.add("7")

    newsroom.paper.before_answer = delete
    newsroom.send({"changed": ["7"]})
    newsroom.work(A_MINUTE)
    assert newsroom.status("7") == "unpublished"


def test_a_lost_hook_is_healed_within_a_minute(newsroom: PaperNewsroom) -> None:
    newsroom.paper.publish("7", at=later(newsroom))
    newsroom.work(A_MINUTE)
    assert newsroom.public() == ["7"]
    newsroom.paper.publish("7", at=later(newsroom), headline="Corrected")
    newsroom.work(A_MINUTE)
    assert newsroom.public() == ["7"]


def test_a_bulk_unpublish_that_only_rings_is_healed_some_seconds_later(newsroom: PaperNewsroom) -> None:
    for number in range(5):
        newsroom.paper.publish(str(number), at=later(newsroom))
    newsroom.work(A_MINUTE)
    newsroom.paper.hidden |= {"1", "3"}
    newsroom.send({"bell": True})
    newsroom.work()
    newsroom.work(source_sync.SWEEP_AFTER)
    assert newsroom.public() == ["0", "2", "4"]


def test_a_sweep_that_ran_too_soon_after_the_word_of_a_change_runs_again(newsroom: PaperNewsroom) -> None:
    newsroom.paper.publish("7", at=later(newsroom))
    newsroom.work(source_sync.SWEEPS_EVERY - timedelta(seconds=1))
    newsroom.send({"bell": True})
    newsroom.work(timedelta(seconds=1))
    assert newsroom.public() == ["7"], "the system does not show it yet"
    newsroom.paper.hidden.add("7")
    newsroom.work(2 * source_sync.SWEEP_AFTER)
    assert newsroom.status("7") == "unpublished"


def test_a_bulk_publish_that_leaves_no_trace_in_the_changes_is_found_by_the_sweep(
    newsroom: PaperNewsroom,
) -> None:
    newsroom.paper.publish("old", at="2020-01-01T00:00:00Z")
    newsroom.work(A_MINUTE)
    assert newsroom.public() == []
    newsroom.work(source_sync.SWEEPS_EVERY)
    assert newsroom.public() == ["old"]


def test_the_archive_of_a_system_that_is_newly_connected_stays_where_it_is(
    record: Record, paper: Paper
) -> None:
    paper.publish("archive", at="2020-01-01T00:00:00Z")
    newsroom = PaperNewsroom(record, paper)
    newsroom.work()
    newsroom.work(source_sync.SWEEPS_EVERY)
    assert newsroom.public() == []
    paper.hidden.add("archive")
    newsroom.work(source_sync.SWEEPS_EVERY)
    paper.publish("archive", at="2020-01-01T00:00:00Z")
    newsroom.work(source_sync.SWEEPS_EVERY)
    assert newsroom.public() == ["archive"], "published anew, it is news"


def test_a_list_that_leaves_stories_out_takes_none_down(newsroom: PaperNewsroom) -> None:
    for number in range(5):
        newsroom.paper.publish(str(number), at=later(newsroom))
    newsroom.work(A_MINUTE)
    newsroom.paper.lists = ["0"]
    newsroom.work(source_sync.SWEEPS_EVERY)
    assert newsroom.public() == ["0", "1", "2", "3", "4"]


def test_a_list_that_shows_a_story_that_is_gone_brings_none_back(newsroom: PaperNewsroom) -> None:
    newsroom.paper.publish("7", at=later(newsroom))
    newsroom.work(A_MINUTE)
    newsroom.paper.hidden.add("7")
    newsroom.send({"gone": ["7"]})
    newsroom.paper.lists = ["7"]
    newsroom.work(source_sync.SWEEPS_EVERY)
    assert newsroom.status("7") == "unpublished"


def test_a_sweep_that_would_take_down_too_many_waits_for_the_operator(record: Record, paper: Paper) -> None:
    newsroom = PaperNewsroom(record, paper, takedown_limit=2)
    newsroom.work()
    for number in range(6):
        paper.publish(str(number), at=later(newsroom))
    newsroom.work(A_MINUTE)
    assert len(newsroom.public()) == 6
    paper.hidden |= {"0", "1", "2", "3"}
    newsroom.work(source_sync.SWEEPS_EVERY)
    assert len(newsroom.public()) == 6, "none is taken down"
    assert set(newsroom.state().missing) == {"0", "1", "2", "3"}
    newsroom.work(source_sync.SWEEPS_EVERY)
    waiting = [each for each in notices.latest(record) if each.kind == "source.takedowns_wait"]
    assert len(waiting) == 1
    assert waiting[0].count == 4
    assert operations.release_takedowns(record, "paper", actor="operator", now=newsroom.now) == 4
    newsroom.work()
    assert newsroom.public() == ["4", "5"]
    assert newsroom.state().missing == ()


def test_a_day_of_outage_on_either_side_is_healed(newsroom: PaperNewsroom) -> None:
    for number in range(4):
        newsroom.paper.publish(str(number), at=later(newsroom))
    newsroom.work(A_MINUTE)
    newsroom.paper.fails = 500
    newsroom.work(A_MINUTE)
    newsroom.now += timedelta(days=1)
    newsroom.paper.hidden.add("0")
    newsroom.paper.publish("1", at=later(newsroom), headline="Changed while nobody looked")
    newsroom.paper.publish("9", at=later(newsroom))
    newsroom.paper.fails = 0
    newsroom.work()
    newsroom.work(A_MINUTE)
    assert newsroom.public() == ["1", "2", "3", "9"]


def test_story_taken_down_while_dateline_was_away_is_gone_at_once_when_it_is_back(
    newsroom: PaperNewsroom,
) -> None:
    newsroom.paper.publish("7", at=later(newsroom))
    for _ in range(7):
        newsroom.work(A_MINUTE)
    newsroom.now += source_sync.AWAY_AFTER  # of the hooks that were sent now, none comes again
    newsroom.paper.hidden.add("7")
    newsroom.work(timedelta(seconds=1))
    assert newsroom.status("7") == "unpublished"


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=400)])
def test_a_clock_that_was_ahead_puts_no_comparison_and_no_fetch_off(
    newsroom: PaperNewsroom, ahead: timedelta
) -> None:
    for story in ("7", "8", "9"):
        newsroom.paper.publish(story, at=later(newsroom))
    newsroom.work(A_MINUTE)
    newsroom.now += ahead
    newsroom.work()  # whatever is due next is so by this clock
    newsroom.send({"changed": ["9"]})
    newsroom.now -= ahead  # the clock is right again
    newsroom.paper.hidden |= {"7", "9"}
    newsroom.paper.publish("8", at=later(newsroom), headline="Corrected")
    assert due_work.due_now(newsroom.record, newsroom.now).fetches
    newsroom.work(timedelta(seconds=1))
    assert newsroom.public() == ["8"]
    assert newsroom.headlines() == {"8": "Corrected"}
    assert not due_work.due_now(newsroom.record, newsroom.now).fetches


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=400)])
def test_a_system_that_failed_while_the_clock_was_ahead_is_asked_again_at_once(
    newsroom: PaperNewsroom, ahead: timedelta
) -> None:
    newsroom.paper.publish("7")
    newsroom.now += ahead
    newsroom.paper.fails = 503
    newsroom.send({"changed": ["7"]})
    newsroom.work()
    newsroom.paper.fails = 0
    newsroom.now -= ahead
    newsroom.work(timedelta(seconds=1))
    assert newsroom.status("7") == "usable"


def test_a_desk_whose_comparisons_are_late_sweeps_no_more_often(newsroom: PaperNewsroom) -> None:
    newsroom.work(A_MINUTE)
    swept = set()
    for _ in range(12):
        newsroom.work(source_sync.AWAY_AFTER + timedelta(seconds=1))
        swept.add(newsroom.state().swept_at)
    assert len(swept) <= 1 + 24 * A_MINUTE // source_sync.SWEPT_LATELY


def test_a_story_that_a_comparison_cannot_map_is_held_once_and_goes_through_when_it_is_mended(
    newsroom: PaperNewsroom,
) -> None:
    newsroom.paper.publish("7", at=later(newsroom), sections=["sport"])
    newsroom.work(A_MINUTE)
    newsroom.work(A_MINUTE)
    [held] = hooks.held(newsroom.record, "paper")
    assert "sport" in str(held.result.why)
    operations.add_section(newsroom.record, "sport", "Sport", None, actor="operator", now=newsroom.now)
    [claimed] = operations.retry_hooks(newsroom.record, "paper", None, actor="operator", now=newsroom.now)
    result = newsroom.hooks.resume(newsroom.source, claimed)
    hooks.settle(newsroom.record, claimed.claim, result, next_try_at=newsroom.now)
    newsroom.work()
    assert newsroom.public() == ["7"]
    assert hooks.held(newsroom.record, "paper") == []


def test_a_hook_that_was_held_does_not_change_a_story_back(newsroom: PaperNewsroom) -> None:
    old = a_story(sections=["sport"], headline="The old words", updated_at=None)
    assert newsroom.send({"stories": [old]}).outcome == "held"
    newsroom.now += A_MINUTE
    newsroom.paper.publish("7", headline="The new words")
    newsroom.send({"stories": [a_story(headline="The new words", updated_at=None)]})
    operations.add_section(newsroom.record, "sport", "Sport", None, actor="operator", now=newsroom.now)
    newsroom.now += A_MINUTE
    [claimed] = operations.retry_hooks(newsroom.record, "paper", None, actor="operator", now=newsroom.now)
    result = newsroom.hooks.resume(newsroom.source, claimed)
    assert result.ids == ["7"], "it is looked up instead"
    assert result.articles[0]["outcome"] == "stale"
    assert len(all_sections(newsroom.record)) == 3


def test_a_story_that_was_held_is_not_published_if_it_was_taken_down_meanwhile(
    newsroom: PaperNewsroom,
) -> None:
    assert newsroom.send({"stories": [a_story(sections=["sport"])]}).outcome == "held"
    newsroom.now += A_MINUTE
    assert newsroom.send({"gone": ["7"]}).outcome == "ignored"
    operations.add_section(newsroom.record, "sport", "Sport", None, actor="operator", now=newsroom.now)
    newsroom.now += A_MINUTE
    [claimed] = operations.retry_hooks(newsroom.record, "paper", None, actor="operator", now=newsroom.now)
    result = newsroom.hooks.resume(newsroom.source, claimed)
    hooks.settle(newsroom.record, claimed.claim, result, next_try_at=newsroom.now)
    newsroom.work()
    assert newsroom.status("7") == "none"


def test_nothing_changed_costs_two_lists(newsroom: PaperNewsroom) -> None:
    newsroom.paper.page = 1000
    for number in range(200):
        newsroom.paper.publish(f"{number:04}", at=later(newsroom))
    newsroom.work(A_MINUTE)
    newsroom.work(timedelta(hours=1))
    before = len(newsroom.paper.seen)
    newsroom.work(timedelta(hours=1))
    assert len(newsroom.paper.seen) - before == 2


def test_a_dry_run_says_what_a_comparison_would_do_and_does_nothing(
    newsroom: PaperNewsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    newsroom.paper.publish("7", at=later(newsroom))
    newsroom.work(A_MINUTE)
    newsroom.paper.hidden.add("7")
    newsroom.paper.publish("8", at=later(newsroom))
    from service.settings import Settings  # noqa: PLC0415

    config = Settings(allow_networks=LOOPBACK, public_url="http://news.example.org")
    since = newsroom.now - timedelta(hours=1)
    told = command.compare(newsroom.record, config, "paper", since=since, dry_run=True)
    assert {(each["id"], each["does"]) for each in told["stories"]} == {("7", "take down"), ("8", "publish")}
    assert newsroom.public() == ["7"]
    told = command.compare(newsroom.record, config, "paper", since=since, dry_run=False)
    assert {each["id"] for each in told["stories"]} == {"7", "8"}
    assert newsroom.public() == ["8"]
