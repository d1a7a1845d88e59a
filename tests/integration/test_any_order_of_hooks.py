"""Hooks that are lost, late, repeated and out of order, and comparisons in between: the record ends as the system is.

The system answers in this process instead of over a connection: thousands of orders are tried.
"""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import times
from service.intake.adapters.adapter import ApiAnswer, ApiRequest
from service.store.articles import source_sync
from service.store.database.record import Record
from tests import paper_system
from tests.paper_newsroom import PaperNewsroom
from tests.paper_server import Paper
from workers.net.api_client import ApiUnreachable

_numbers = itertools.count(1)
IDS = ("a", "b")
EDITS = st.tuples(
    st.sampled_from(("publish", "edit", "edit in the same second", "unpublish", "unpublish")),
    st.sampled_from(IDS),
)
DELIVERY = st.tuples(st.just("deliver"), st.integers(0, 5))
STEPS = st.one_of(
    EDITS,
    EDITS,
    DELIVERY,
    DELIVERY,
    DELIVERY,
    st.tuples(st.sampled_from(("lose", "api fails", "api works", "api works")), st.integers(0, 5)),
    st.tuples(st.just("work"), st.sampled_from((0, 1, 61))),
)


class OwnProcessClient:
    """Asks the system in this process."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def ask(self, request: ApiRequest, base_url: str, token: str) -> ApiAnswer:
        if self._paper.fails == 1:
            raise ApiUnreachable("did not answer: nobody is there")
        parts = urlsplit(request.url)
        status, body = self._paper.answer(f"{parts.path}?{parts.query}")
        return ApiAnswer(status, {}, json.dumps(body).encode())

    def close(self) -> None:
        """There is no connection."""


class PaperEditors:
    """The editors of Paper at work, and its hooks on their way."""

    def __init__(self, record: Record) -> None:
        self.paper = Paper(url="https://paper.example")
        slug = f"paper{next(_numbers)}"
        self.newsroom = PaperNewsroom(record, self.paper, slug, lambda: OwnProcessClient(self.paper))
        self.newsroom.work()
        self.hooks: list[dict[str, Any]] = []
        self.edits = itertools.count(1)
        self.ended: set[str] = set()  # stories that are not public, as the desk was told

    def take(self, step: tuple[str, Any]) -> None:
        kind, what = step
        match kind:
            case "publish" | "edit" | "edit in the same second":
                self._edit(str(what), same_second=kind.endswith("second"), only_public=kind != "publish")
            case "unpublish" if what in self.paper.public():
                self.paper.hidden.add(str(what))
                self.hooks.append({"gone": [what]})
            case "deliver" if self.hooks:
                self._deliver(self.hooks[what % len(self.hooks)])
            case "lose" if self.hooks:
                self.hooks.pop(what % len(self.hooks))
            case "work":
                self.newsroom.work(timedelta(seconds=what))
            case "api fails" | "api works":
                self.paper.fails = 1 if kind == "api fails" else 0

    def _edit(self, story_id: str, *, same_second: bool, only_public: bool) -> None:
        if only_public and story_id not in self.paper.public():
            return
        self.newsroom.now += timedelta(milliseconds=1 if same_second else 1500)
        at = times.to_iso(self.newsroom.now.replace(microsecond=0))
        self.ended.discard(story_id)
        story = self.paper.publish(story_id, at=at, headline=f"Words {next(self.edits)}")
        self.hooks.append({"stories": [story]})

    def _deliver(self, hook: dict[str, Any]) -> None:
        """A hook that is late brings back nothing that the system does not show."""
        down = self.down
        self.newsroom.send(hook)
        self.ended |= set(hook.get("gone", ())) - set(self.paper.public())
        if self.paper.fails == 0:
            self.newsroom.work()
        for each in down & set(self.newsroom.public()):
            assert each in self.paper.public(), "an older post has undone a takedown"
        assert not self.ended & set(self.newsroom.public()), (
            "an older post came after the takedown and stands"
        )

    @property
    def down(self) -> set[str]:
        """The stories that are here and are taken down."""
        return {each for each in IDS if self.newsroom.status(each) not in ("none", "usable")}

    def end(self) -> None:
        """Some quiet time passes."""
        self.paper.fails = 0
        for _ in range(3):
            self.newsroom.work(source_sync.SWEEPS_EVERY + timedelta(minutes=1))


@given(steps=st.lists(STEPS, min_size=8, max_size=40))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_order_of_hooks_and_comparisons_ends_with_what_the_system_shows(
    sqlite_record: Record, steps: list[tuple[str, Any]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        paper_system.install(patch)
        story = PaperEditors(sqlite_record)
        for step in steps:
            story.take(step)
        story.end()
        assert story.newsroom.public() == story.paper.public()
        words = {each: str(story.paper.stories[each]["headline"]) for each in story.paper.public()}
        assert story.newsroom.headlines() == words


def test_an_edit_that_comes_after_the_word_of_a_later_takedown_brings_nothing_back(
    sqlite_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper_system.install(monkeypatch)
    story = PaperEditors(sqlite_record)
    edits = [("publish", "b"), ("deliver", 0), ("publish", "b"), ("publish", "b"), ("deliver", 1)]
    for step in (*edits, ("unpublish", "b"), ("deliver", 0), ("deliver", 2)):
        story.take(step)
    assert story.down == {"b"}


def test_a_takedown_that_overtakes_the_first_post_of_its_story_is_not_lost(
    sqlite_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper_system.install(monkeypatch)
    story = PaperEditors(sqlite_record)
    for step in (("publish", "a"), ("unpublish", "a"), ("deliver", 1), ("deliver", 0)):
        story.take(step)
    assert story.newsroom.status("a") == "none"
    for step in (("publish", "a"), ("deliver", 2)):
        story.take(step)
    assert story.newsroom.status("a") == "usable"


def test_a_post_that_is_late_brings_back_nothing(
    sqlite_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper_system.install(monkeypatch)
    story = PaperEditors(sqlite_record)
    for step in (("publish", "a"), ("deliver", 0), ("unpublish", "a"), ("deliver", 1), ("deliver", 0)):
        story.take(step)
    assert story.newsroom.status("a") == "unpublished"


def test_the_older_of_two_posts_of_one_second_does_not_win_by_coming_last(
    sqlite_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper_system.install(monkeypatch)
    story = PaperEditors(sqlite_record)
    for step in (("publish", "a"), ("edit in the same second", "a"), ("deliver", 1), ("deliver", 0)):
        story.take(step)
    assert story.newsroom.headlines() == {"a": "Words 2"}
