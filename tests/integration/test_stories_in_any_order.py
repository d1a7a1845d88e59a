"""Stories in any order of posts, embargoes, expiries, kills and clocks: invariants 3, 4 and 6 hold at each endpoint."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from service.store import operations
from service.store.articles import accept
from service.store.database.record import open_record
from service.store.database.sql import Statement
from service.store.deliveries import numbering, recovery, routing, settlements
from service.store.deliveries.states import State
from service.store.errors import NotFound, NotPossible
from service.store.feeds import documents
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, post, pushes_for
from tests.conftest import KEY
from tests.feed_desk import FeedDesk
from tests.sending import WORKER, claim, settlement

STORIES = ("a", "a", "b")
_ARTICLES = Statement(
    "SELECT id, external_id, public_id, revision, status, coalesce(embargo_until, 0) > :now FROM article"
)
_NUMBERS = Statement(
    "SELECT endpoint_id, sequence FROM delivery WHERE sequence > 0 ORDER BY endpoint_id, sequence"
)


class StoriesModel(RuleBasedStateMachine):
    """Two stories, an endpoint that wants the newest revision, one that wants every one, and the feeds."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "dateline.db")
        self.record = open_record(f"sqlite:///{self.folder / 'dateline.db'}", KEY)
        self.source = a_desk(self.record)
        self.endpoints = [an_endpoint(self.record).id, an_endpoint(self.record, every_revision=True).id]
        self.desk = FeedDesk(self.record)
        self.now = NOW
        self.put_back = False
        self.texts = 0
        self.sent: dict[tuple[int, int], int] = {}  # (endpoint, article) → the last revision
        self.killed: set[str] = set()  # by the desk

    def teardown(self) -> None:
        try:
            self._bring_to_an_end()
        finally:
            self.record.close()
            shutil.rmtree(self.folder)

    # --- acts

    @rule(
        story=st.sampled_from(STORIES),
        embargo=st.sampled_from([60, 600, None, 60, 600, None, -60]),
        expires=st.sampled_from([None, None, None, None, None, 300, -60]),
        routed=st.booleans(),
    )
    def publish(self, story: str, embargo: int | None, expires: int | None, routed: bool) -> None:
        self.texts += 1
        self._post(
            an_article(
                external_id=story,
                headline=f"Text-{self.texts}-of-{story}.",
                embargo_until=self._at(embargo),
                expires_at=self._at(expires),
            )
        )
        if routed:
            self._route()

    @rule(story=st.sampled_from(STORIES), status=st.sampled_from(["killed", "withheld", "unpublished"]))
    def take_down(self, story: str, status: str) -> None:
        if story in self._articles():
            self._post(a_takedown(status, external_id=story))

    @rule(story=st.sampled_from(STORIES))
    def kill(self, story: str) -> None:
        if found := self._articles().get(story):
            operations.kill(self.record, found[2], reason="r", actor="operator", now=self.now)
            self.killed.add(story)

    @rule(story=st.sampled_from(STORIES))
    def restore(self, story: str) -> None:
        if found := self._articles().get(story):
            try:
                operations.restore(self.record, found[2], reason=None, actor="operator", now=self.now)
                self.killed.discard(story)
            except (NotPossible, NotFound):
                pass

    @rule(seconds=st.sampled_from([1, 30, 61, 400]))
    def go_on(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self._deliver(State.DELIVERED)

    @rule(seconds=st.sampled_from([8, 500]))
    def put_the_clock_back(self, seconds: int) -> None:
        was, self.now = self.now, self.now - timedelta(seconds=seconds)
        self.put_back = True
        recovery.clock_put_back(self.record, was, self.now)

    @rule()
    def route(self) -> None:
        self._route()

    @rule()
    def sweep(self) -> None:
        self._sweep()

    @rule(state=st.sampled_from([State.DELIVERED, State.DELIVERED, State.WAITING]))
    def deliver(self, state: State) -> None:
        self._deliver(state)

    def _route(self) -> None:
        routing.route(self.record, self.now)

    def _sweep(self) -> None:
        accept.expire_due(self.record, self.now)
        accept.return_due(self.record, self.now)
        numbering.number_due(self.record, self.now)

    def _deliver(self, state: State) -> None:
        articles = {each[0]: each for each in self._articles().values()}
        claimed = claim(self.record, self.now)
        for each, push in zip(claimed, pushes_for(self.record, claimed, self.now), strict=True):
            _, _, _, _, status, embargoed = articles[each.article_id]
            key = each.endpoint_id, each.article_id
            assert each.sequence > 0
            assert each.revision >= self.sent.get(key, 0)
            if each.priority:
                assert (status, bool(embargoed)) == ("usable", False)
            else:
                assert b"Text-" not in push.body
            self.sent[key] = each.revision
        rows = [settlement(each, state, self.now + timedelta(seconds=5)) for each in claimed]
        settlements.settle(self.record, rows, lease=WORKER, now=self.now)

    @rule()
    def build(self) -> None:
        """Nothing that is under embargo, taken down or expired is in any document that was just built."""
        self.desk.work(self.now)
        if self.put_back:
            return  # what a clock that was ahead has shown stays until the feed is asked for again
        secret = [f"-of-{each[1]}." for each in self._articles().values() if each[4] != "usable" or each[5]]
        for slug, fmt in documents.listing(self.record):
            body = self.desk.body(slug, fmt).decode()
            assert not [each for each in secret if each in body]

    # --- always

    @invariant()
    def numbers_have_no_gaps(self) -> None:
        with self.record.reading() as connection:
            rows = _NUMBERS.rows(connection)
        for endpoint in self.endpoints:
            numbers = [number for of, number in rows if of == endpoint]
            assert numbers == list(range(1, len(numbers) + 1))

    @invariant()
    def what_the_desk_killed_stays_killed(self) -> None:
        articles = self._articles()
        assert all(articles[story][4] == "killed" for story in self.killed)

    # --- the end

    def _bring_to_an_end(self) -> None:
        """Each endpoint that got anything of a story ends with its newest revision, or its takedown."""
        for _ in range(4):
            self.now += timedelta(seconds=700)
            self._sweep()
            while routing.route(self.record, self.now).more:
                pass
            for _ in range(6):
                self._deliver(State.DELIVERED)
        for article_id, _, _, revision, _, _ in self._articles().values():
            for endpoint in self.endpoints:
                assert self.sent.get((endpoint, article_id), revision) == revision

    def _post(self, posted: Any) -> None:
        post(self.record, self.source, posted, now=self.now)

    def _at(self, seconds: int | None) -> datetime | None:
        return None if seconds is None else self.now + timedelta(seconds=seconds)

    def _articles(self) -> dict[str, tuple[Any, ...]]:
        with self.record.reading() as connection:
            return {row[1]: row for row in _ARTICLES.rows(connection, now=self.now)}


def test_no_order_of_acts_leaks_an_embargo_sends_an_older_revision_or_spares_a_holder(
    sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoriesModel, "template", sqlite_template, raising=False)
    run_state_machine_as_test(
        StoriesModel,
        settings=settings(
            max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
