"""Ghost's own hooks, lost, late, repeated and out of order, bulk acts that fire none, and comparisons in between: the
record ends as the site is, by the real adapter."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.http import credentials
from service.intake.adapters.adapter import HookRequest
from service.intake.adapters.ghost import ADAPTER
from service.intake.hook_intake import HookIntake
from service.intake.story_intake import StoryIntake
from service.store import operations
from service.store.articles import source_sync, standings
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import NewSource
from service.store.database.record import Record
from service.store.feeds.sections import all_sections
from tests.builders import AUTHORITY, NOW
from tests.ghost_site import GHOST_URL, GhostSite
from tests.paper_newsroom import newest_contents
from workers.fetch.task import FetchTask

_sites = itertools.count(1)
POST_IDS = ("6b0b08d6496bfc20c5170037", "6b0b08ef496bfc20c517005b", "6b0b08f1496bfc20c5170062")
ACTS = st.tuples(
    st.sampled_from(("publish", "publish at once", "draft", "members", "public", "delete")),
    st.sampled_from(POST_IDS),
)
GHOST_STEPS = st.one_of(
    ACTS,
    ACTS,
    st.tuples(st.just("bulk"), st.sampled_from(("draft", "published"))),
    st.tuples(st.just("deliver"), st.integers(0, 9)),
    st.tuples(st.just("deliver"), st.integers(0, 9)),
    st.tuples(st.sampled_from(("lose", "api fails", "api works")), st.integers(0, 9)),
    st.tuples(st.just("work"), st.sampled_from((0, 1, 6, 61))),
)


class GhostEditors:
    """The editors of a Ghost at work, its hooks on their way, and a desk that takes them in, on one clock."""

    def __init__(self, record: Record) -> None:
        self.record, self.now, self.site = record, NOW, GhostSite()
        if "world" not in {each.slug for each in all_sections(record)}:
            operations.add_section(record, "world", "World", "en", actor="operator", now=NOW)
        key = credentials.new_api_key()
        slug = f"ghost{next(_sites)}"
        new = NewSource(slug, "Ghost", "ghost", key_id=key.key_id, key_hash=key.hash, secret="made-up-secret")
        options = SourceOptions(base_url=GHOST_URL, api_token="made-up-key")
        self.source = operations.add_source(record, new, options, actor="operator", now=NOW)
        stories = StoryIntake(record, authority=AUTHORITY, clock=self.clock)
        self.intake = HookIntake(stories)
        self.task = FetchTask(record, stories, self.clock, lambda: self.site)  # type: ignore[arg-type, return-value]
        self.hooks: list[dict[str, Any]] = []
        self.edits = itertools.count(1)
        self.task.drain()

    def clock(self) -> datetime:
        return self.now

    def take(self, step: tuple[str, Any]) -> None:
        kind, what = step
        match kind:
            case "publish" | "publish at once":
                self.now += timedelta(milliseconds=1500 if kind == "publish" else 1)
                self.hooks += self.site.publish(str(what), self.now, f"Words {next(self.edits)}")
            case "draft" | "members" | "public" if what in self.site.posts:
                self.now += timedelta(milliseconds=1500)
                change = {"status": "draft"} if kind == "draft" else {"visibility": kind}
                self.hooks += self.site.set(str(what), self.now, **change)
            case "delete" if what in self.site.posts:
                self.hooks += self.site.delete(str(what))
            case "bulk":
                self.hooks += self.site.set_in_bulk(str(what))
            case "deliver" if self.hooks:
                self._deliver(self.hooks[what % len(self.hooks)])
            case "lose" if self.hooks:
                self.hooks.pop(what % len(self.hooks))
            case "api fails" | "api works":
                self.site.reachable = kind == "api works"
            case "work":
                self.work(timedelta(seconds=what))

    def _deliver(self, hook: dict[str, Any]) -> None:
        """A hook that is late brings back nothing that the site does not show."""
        down = {each.external_id for each in self._standings() if each.status != "usable"}
        body = json.dumps(hook).encode()
        request = HookRequest("POST", "/v1/hooks/ghost", {}, body)
        self.intake.receive(self.source, ADAPTER, request, [])
        if self.site.reachable:
            self.task.drain()
        for each in down & set(self.public()):
            assert each in self.site.public(), "an older post has undone a takedown"

    def work(self, after: timedelta) -> None:
        self.now += after
        self.task.drain()

    def end(self) -> None:
        """Some quiet time passes, and the site answers."""
        self.site.reachable = True
        for _ in range(3):
            self.work(source_sync.SWEEPS_EVERY + timedelta(minutes=1))

    def _standings(self) -> list[standings.Standing]:
        return standings.standings(self.record, self.source.id, self.now)

    def public(self) -> list[str]:
        return sorted(each.external_id for each in self._standings() if each.status == "usable")

    def headlines(self) -> dict[str, str]:
        contents = newest_contents(self.record, self.source.id)
        return {each: str(json.loads(contents[each])["headline"]) for each in self.public()}


def ends_as_the_site_is(editors: GhostEditors) -> None:
    editors.end()
    assert editors.public() == editors.site.public()
    assert editors.headlines() == {
        each: str(editors.site.posts[each]["title"]) for each in editors.site.public()
    }


@given(steps=st.lists(GHOST_STEPS, min_size=6, max_size=25))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_order_of_ghosts_hooks_and_comparisons_ends_with_what_the_site_shows(
    sqlite_record: Record, steps: list[tuple[str, Any]]
) -> None:
    editors = GhostEditors(sqlite_record)
    for step in steps:
        editors.take(step)
    ends_as_the_site_is(editors)


def test_a_bulk_unpublish_takes_all_down_seconds_after_the_site_says_that_it_changed(record: Record) -> None:
    editors = GhostEditors(record)
    for each in POST_IDS:
        editors.take(("publish", each))
        editors.take(("deliver", len(editors.hooks) - 2))
    assert editors.public() == sorted(POST_IDS)
    editors.take(("bulk", "draft"))
    editors.take(("deliver", len(editors.hooks) - 1))
    editors.work(source_sync.SWEEP_AFTER + timedelta(seconds=1))
    assert editors.public() == []


@pytest.mark.parametrize("api", ["api works", "api fails"])
def test_a_day_without_hooks_is_made_good_by_the_comparison(sqlite_record: Record, api: str) -> None:
    editors = GhostEditors(sqlite_record)
    kept, changed, deleted = POST_IDS
    for each in POST_IDS:
        editors.take(("publish", each))
    editors.work(timedelta(minutes=2))
    editors.take((api, 0))
    editors.take(("publish", changed))
    editors.take(("delete", deleted))
    editors.work(timedelta(days=1))
    ends_as_the_site_is(editors)
    assert editors.public() == sorted((kept, changed))
