"""Comparisons with systems that fail at one story, are slow, ask to wait, or change while their lists are read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service import times
from service.intake.adapters.adapter import (
    ApiAnswer,
    ApiRequest,
    ChangedPage,
    Hint,
    SourceSettings,
    StoryRead,
)
from service.store.articles import hooks, source_sync
from tests import paper_system
from tests.paper_newsroom import PaperNewsroom
from tests.paper_system import PAPER
from workers.fetch import backoff, comparison

A_MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def publish(newsroom: PaperNewsroom, *ids: str, headline: str = "Harbour reopens") -> None:
    for each in ids:
        newsroom.paper.publish(each, at=times.to_iso(newsroom.now), headline=headline)


def with_a_list_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paper's list of changes names stories only, as those of Ghost and WordPress do."""
    reconciliation = PAPER.reconciliation
    assert reconciliation is not None

    def names(answer: ApiAnswer, request: ApiRequest, of: SourceSettings) -> ChangedPage:
        page = reconciliation.changed_page(answer, request, of)
        ids = [str(each.fields["id"]) for each in page.events if isinstance(each, StoryRead)]
        return ChangedPage([Hint(ids)], page.next)

    changed = replace(PAPER, reconciliation=replace(reconciliation, changed_page=names))
    paper_system.install(monkeypatch, changed)


@pytest.mark.parametrize("status", [500, 502, 403])
def test_a_post_that_breaks_its_page_keeps_no_other_from_being_compared(
    newsroom: PaperNewsroom, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with_a_list_of_names(monkeypatch)
    publish(newsroom, "1", "2", "3")
    newsroom.paper.broken["1"] = status
    newsroom.work(A_MINUTE)
    assert newsroom.public() == ["2", "3"]
    newsroom.paper.hidden.add("2")
    for _ in range(16):
        newsroom.work(A_MINUTE)
    assert newsroom.public() == ["3"], "the ids are swept all the same"
    newsroom.paper.broken.clear()
    newsroom.work(timedelta(hours=1))
    assert newsroom.public() == ["1", "3"], "it is looked up for days, though its change is long past"


def test_a_bulk_action_with_a_post_that_breaks_its_page_brings_the_others(newsroom: PaperNewsroom) -> None:
    for each in ("1", "2", "3"):
        newsroom.paper.publish(each, at="2020-01-01T00:00:00Z")
    newsroom.paper.broken["1"] = 500
    newsroom.send({"changed": ["1", "2", "3"]})
    for _ in range(3):
        newsroom.work(timedelta(seconds=10))
    assert newsroom.public() == ["2", "3"]


def test_a_system_that_fails_at_every_post_is_left_alone(
    newsroom: PaperNewsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_list_of_names(monkeypatch)
    publish(newsroom, "1", "2", "3", "4", "5")
    newsroom.paper.broken = dict.fromkeys(("1", "2", "3", "4", "5"), 500)
    newsroom.work(A_MINUTE)
    asked = [each for each in newsroom.paper.seen if each in {f"/stories/{n}" for n in range(1, 6)}]
    assert len(asked) == comparison.BROKEN_IN_A_ROW
    assert "500" in str(newsroom.state().failure)
    newsroom.paper.broken.clear()
    newsroom.work(A_MINUTE)
    assert newsroom.public() == ["1", "2", "3", "4", "5"]


def test_a_change_whose_answer_proves_nothing_is_looked_up_again_though_its_time_is_long_past(
    newsroom: PaperNewsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_list_of_names(monkeypatch)
    publish(newsroom, "1")
    newsroom.work(A_MINUTE)
    publish(newsroom, "1", headline="Corrected")
    newsroom.paper.broken["1"] = 418
    for _ in range(13):
        newsroom.work(A_MINUTE)
    newsroom.paper.broken.clear()
    newsroom.work(timedelta(minutes=10))
    assert newsroom.headlines() == {"1": "Corrected"}


def test_more_changes_than_a_comparison_can_look_up_are_all_here_in_the_end(
    newsroom: PaperNewsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_list_of_names(monkeypatch)
    monkeypatch.setattr(comparison, "LOOKING_UP_SECONDS", 0.0)
    ids = [str(number) for number in range(12)]
    publish(newsroom, *ids)
    newsroom.work(A_MINUTE)
    newsroom.work()
    assert newsroom.public() == sorted(ids)
    assert newsroom.state().failure is None
    newsroom.work(timedelta(hours=1))
    asked = len(newsroom.paper.seen)
    newsroom.work(A_MINUTE)
    assert len(newsroom.paper.seen) - asked <= 2, "what was looked up is not looked up again"


def test_stories_of_a_list_that_moves_while_it_is_read_are_not_passed_over(newsroom: PaperNewsroom) -> None:
    publish(newsroom, *"123456")
    newsroom.work(A_MINUTE)
    newsroom.now += timedelta(days=1)
    publish(newsroom, *"123456", headline="Changed while Dateline was away")
    newsroom.now += timedelta(hours=1)
    answer = newsroom.paper.answer

    def one_goes_after_the_first_page(path: str) -> tuple[int, object]:
        found = answer(path)
        if path.startswith("/stories?") and "start" not in path:
            newsroom.paper.hidden.add("1")
        return found

    newsroom.paper.answer = one_goes_after_the_first_page  # type: ignore[method-assign]
    newsroom.work()
    newsroom.work(A_MINUTE)
    assert newsroom.headlines() == dict.fromkeys("23456", "Changed while Dateline was away")


def test_a_system_that_asks_to_wait_a_moment_is_asked_again_and_not_from_the_beginning(
    newsroom: PaperNewsroom,
) -> None:
    publish(newsroom, *"1234567")
    newsroom.paper.asks_to_wait = ["", "1"]
    newsroom.paper.seen.clear()
    newsroom.work(A_MINUTE)
    assert newsroom.public() == list("1234567")
    assert newsroom.state().failures == 0
    first = [each for each in newsroom.paper.seen if each.startswith("/stories?") and "start" not in each]
    assert len(first) == 2, "once, and once more because several pages may have moved"


def test_a_system_that_asks_to_wait_for_long_is_left_alone_so_long(newsroom: PaperNewsroom) -> None:
    publish(newsroom, "1")
    newsroom.paper.asks_to_wait = ["600"]
    newsroom.work(A_MINUTE)
    asked = len(newsroom.paper.seen)
    newsroom.work(timedelta(minutes=9))
    assert len(newsroom.paper.seen) == asked
    newsroom.work(timedelta(minutes=2))
    assert newsroom.public() == ["1"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "90"}, 90),
        ({"retry-after": "Fri, 02 Jan 2026 12:05:00 GMT"}, 300),
        (  # its clock is an hour ahead of ours
            {"retry-after": "Fri, 02 Jan 2026 13:05:00 GMT", "date": "Fri, 02 Jan 2026 13:00:00 GMT"},
            300,
        ),
        ({"retry-after": "Fri, 02 Jan 2026 11:00:00 GMT"}, 5),
        ({"retry-after": "Sat, 02 Jan 2027 12:00:00 GMT"}, backoff.LONGEST_ASKED),
        ({"retry-after": "soon"}, 5),
        ({"retry-after": "²"}, 5),
        ({}, 5),
    ],
)
def test_a_retry_after_is_heeded_as_seconds_and_as_a_date(headers: dict[str, str], seconds: float) -> None:
    until = backoff.not_before(0, ApiAnswer(429, headers, b""), NOON)
    assert until - NOON == timedelta(seconds=seconds)


def test_a_site_that_has_moved_says_where_it_is_and_gets_no_token_there(
    newsroom: PaperNewsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.net.api_client import ApiClient  # noqa: PLC0415

    ask = ApiClient.ask

    def moved(self: ApiClient, request: ApiRequest, base_url: str, token: str) -> ApiAnswer:
        answer = ask(self, request, base_url, token)
        return replace(answer, status=301, headers={"location": "https://www.example.org/x?key=secret"})

    monkeypatch.setattr(ApiClient, "ask", moved)
    newsroom.work(A_MINUTE)
    failure = str(newsroom.state().failure)
    assert "--base-url https://www.example.org" in failure
    assert "secret" not in failure


def test_two_hundred_stories_that_are_held_keep_no_other_out(
    newsroom: PaperNewsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "LOOKS_MOST", 2)
    for each in ("a", "b", "c"):
        newsroom.paper.publish(each, at="2020-01-01T00:00:00Z", sections=["nobody knows it"])
    for _ in range(3):
        newsroom.work(source_sync.SWEEPS_EVERY)
    newsroom.paper.publish("d", at="2020-01-01T00:00:00Z")
    newsroom.work(source_sync.SWEEPS_EVERY)
    assert newsroom.public() == ["d"]
    assert len(hooks.held(newsroom.record, "paper")) == 3
    asked = len(newsroom.paper.seen)
    newsroom.work(A_MINUTE)
    assert len(newsroom.paper.seen) - asked <= 2, "and the sweeps are every quarter of an hour"
