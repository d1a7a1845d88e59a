"""A takedown's notice stands in its feeds for its whole time, however much is published meanwhile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

import feeds
from service.store import operations
from service.store.articles import accept
from service.store.articles.sources import Source
from service.store.database.record import Record, open_record
from service.store.feeds.contents import MOST_NOTICES, NEWEST
from service.store.feeds.feeds import ARCHIVE_PAGE
from tests.builders import a_desk, a_takedown, an_article, later, post
from tests.conftest import KEY
from tests.feed_desk import FeedDesk, publish

STAYS = timedelta(days=14)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def desk(record: Record) -> FeedDesk:
    return FeedDesk(record)


def flood(desk: FeedDesk, source: Source, name: str, seconds: float, count: int = NEWEST + 1) -> None:
    """More newer stories than the feed shows."""
    for n in range(count):
        story = an_article(external_id=f"{name}-{n}", headline=f"{name} {n}")
        post(desk.record, source, story, now=later(seconds + n / 1000))
    desk.work(later(seconds + 1))


def notices(desk: FeedDesk, slug: str = "world") -> list[str]:
    return [item["id"] for item in desk.items(slug) if item["_dateline"]["status"] != "usable"]


@pytest.mark.parametrize("status", ["withheld", "killed", "unpublished"])
def test_a_notice_stays_for_its_time_and_goes_at_its_moment_however_much_comes(
    desk: FeedDesk, status: str
) -> None:
    source = a_desk(desk.record)
    given = publish(desk, source, "bad", headline="Secret")
    flood(desk, source, "before", 1)
    assert given not in {item["id"] for item in desk.items("world")}, "it is not among the newest any more"
    post(desk.record, source, a_takedown(status, external_id="bad"), now=later(10))
    desk.work(later(10))
    for n in range(2):
        flood(desk, source, f"after{n}", 20 + n * 86_400)
        assert notices(desk) == notices(desk, "all") == [given]
        assert len(desk.items("world")) == NEWEST + 1
    gone = [] if status == "withheld" else [given]  # a held story may come back, and a tombstone is for good
    assert [each.get("ref") for each in desk.atom("world").findall("{*}deleted-entry")] == gone
    facts = json.loads(desk.body("world", "json"))["_dateline"]
    assert [each["id"] for each in facts.get("deleted", [])] == gone
    for fmt in feeds.RENDITIONS:
        assert b"Secret" not in desk.body("world", fmt)
    end = later(10) + STAYS
    assert desk.work(end - MICROSECOND) == 0
    assert desk.work(end) > 0, "the end asks for the build"
    assert notices(desk) == notices(desk, "all") == []


def test_a_story_killed_restored_and_killed_again_has_its_last_notice_for_the_whole_time(
    desk: FeedDesk,
) -> None:
    source = a_desk(desk.record)
    given = publish(desk, source, "bad")
    operations.kill(desk.record, given, reason="r", actor="operator", now=later(10))
    flood(desk, source, "a", 20)
    assert notices(desk) == [given]
    operations.restore(desk.record, given, reason=None, actor="operator", now=later(100))
    desk.work(later(100))
    assert (notices(desk), desk.items("world")[0]["id"]) == ([], given)
    flood(desk, source, "b", 200)
    day = 86_400
    operations.kill(desk.record, given, reason="r", actor="operator", now=later(5 * day))
    flood(desk, source, "c", 5 * day + 10)
    assert desk.work(later(10) + STAYS) == 0, "the first notice has no end of its own any more"
    assert notices(desk) == [given]
    desk.work(later(5 * day) + STAYS)
    assert notices(desk) == []


def test_a_story_taken_down_twice_stays_from_the_last_time_on(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    given = publish(desk, source, "bad")
    post(desk.record, source, a_takedown("withheld", external_id="bad"), now=later(10))
    flood(desk, source, "a", 20)
    post(desk.record, source, a_takedown("killed", external_id="bad"), now=later(1000))
    flood(desk, source, "b", 2000)
    desk.work(later(10) + STAYS)
    assert notices(desk) == [given]
    desk.work(later(1000) + STAYS)
    assert notices(desk) == []


def test_takedown_by_a_clock_that_is_ahead_shows_at_once_and_not_later(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    given = publish(desk, source, "bad")
    post(desk.record, source, a_takedown("killed", external_id="bad"), now=later(90))
    desk.work(later(2))
    assert notices(desk) == [given]


def test_kill_that_is_not_routed_yet_shows_as_a_notice_in_every_build_meanwhile(
    desk: FeedDesk,
) -> None:
    source = a_desk(desk.record)
    given = publish(desk, source, "bad", headline="Secret")
    post(desk.record, source, a_takedown("killed", external_id="bad"), now=later(1))
    with desk.record.writing() as connection:
        connection.execute(text("UPDATE feed SET wanted = wanted + 1"))
    desk.now = later(2)
    desk.builder.drain()
    assert notices(desk) == [given]
    assert b"Secret" not in desk.body("world", "rss")


def test_of_more_notices_than_there_is_room_for_kills_stay_and_then_the_newest(sqlite_record: Record) -> None:
    """A section whose stories all expire: hundreds of notices that matter little must not push out a kill."""
    desk = FeedDesk(sqlite_record)
    source = a_desk(sqlite_record)
    killed = [publish(desk, source, f"bad{n}", sections=("world",)) for n in range(3)]
    for each in killed:
        operations.kill(sqlite_record, each, reason="r", actor="operator", now=later(1))
    many = MOST_NOTICES + 2 * ARCHIVE_PAGE
    for n in range(many):
        story = an_article(external_id=str(n), expires_at=later(100 + n), headline=f"Story {n}")
        post(sqlite_record, source, story, now=later(2))
    flood(desk, source, "new", 50)
    for _ in range(many // 100 + 1):
        accept.expire_due(sqlite_record, later(10_000))
    desk.work(later(10_000))
    flood(desk, source, "newer", 20_000)
    told = notices(desk)
    assert len(told) == MOST_NOTICES
    assert told[-3:] == sorted(killed)
    assert len(desk.items("world")) <= MOST_NOTICES + NEWEST + ARCHIVE_PAGE
    bodies = {fmt: desk.body("world", fmt) for fmt in feeds.RENDITIONS}
    desk.work(later(1) + STAYS)
    again = notices(desk)
    assert len(again) == MOST_NOTICES, "there is room for others now"
    assert not set(killed) & set(again)
    assert all(desk.body("world", fmt) != body for fmt, body in bodies.items())


def test_a_takedown_that_names_another_section_leaves_no_notice_there(desk: FeedDesk) -> None:
    source = a_desk(desk.record)
    given = publish(desk, source, "bad")
    post(
        desk.record, source, an_article(external_id="bad", status="killed", sections=("china",)), now=later(1)
    )
    desk.work(later(1))
    assert (notices(desk), notices(desk, "all"), desk.items("china")) == ([given], [given], [])


# --- whatever happens

STORIES = ("a", "b", "c")
_steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["usable", "withheld", "killed", "unpublished"]), st.sampled_from(STORIES)),
        st.tuples(st.sampled_from(["desk kills", "desk restores", "moves"]), st.sampled_from(STORIES)),
        st.tuples(st.just("flood"), st.just(NEWEST + 1)),
        st.tuples(st.just("hours"), st.integers(1, 400)),
    ),
    max_size=12,
)


@contextmanager
def blank(template: Path) -> Iterator[Record]:
    with TemporaryDirectory() as folder:
        shutil.copy(template, Path(folder) / "one.db")
        record = open_record(f"sqlite:///{Path(folder) / 'one.db'}", KEY)
        try:
            yield record
        finally:
            record.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_steps)
def test_a_notice_in_its_time_is_always_in_the_document(
    sqlite_template: Path, steps: list[tuple[str, str | int]]
) -> None:
    with blank(sqlite_template) as record:
        NoticesModel(record).does(steps)


class NoticesModel:
    """Acts on a desk, an hour apart, and predicts by itself the notices in each feed."""

    def __init__(self, record: Record) -> None:
        self.desk = FeedDesk(record)
        self.source = a_desk(record)
        self.seconds = 0.0
        self.ids = {name: publish(self.desk, self.source, name) for name in STORIES}
        self.sections = dict.fromkeys(STORIES, "world")
        self.stood = {name: {"world", "all"} for name in STORIES}
        self.status = dict.fromkeys(STORIES, "usable")
        self.down_at: dict[str, float] = {}

    def does(self, steps: list[tuple[str, str | int]]) -> None:
        for number, (what, which) in enumerate(steps):
            self.seconds += 3600
            if what == "flood":
                flood(self.desk, self.source, str(number), self.seconds, int(which))
            elif what == "hours":
                self.seconds += 3600 * int(which)
            else:
                self._change(what, str(which))
            self.desk.work(later(self.seconds + 10))
            self._check()

    def _change(self, what: str, name: str) -> None:
        record, at, before = self.desk.record, later(self.seconds), self.status[name]
        if what == "desk restores":
            if before != "usable":
                operations.restore(record, self.ids[name], reason=None, actor="operator", now=at)
                self._is(name, "usable", changed=True)
            return
        if what == "desk kills":
            given = operations.kill(record, self.ids[name], reason="r", actor="operator", now=at)
        else:
            if what == "moves":
                self.sections[name] = "china" if self.sections[name] == "world" else "world"
                what = "usable"
            story = an_article(external_id=name, status=what, sections=(self.sections[name],))
            given = post(record, self.source, story, now=at)
        self._is(name, given.type.removeprefix("article."), changed=given.outcome == "accepted")

    def _is(self, name: str, status: str, *, changed: bool) -> None:
        if not changed:
            return
        self.status[name] = status if status in {"withheld", "killed", "unpublished"} else "usable"
        if self.status[name] == "usable":
            self.stood[name].add(self.sections[name])
        else:
            self.down_at[name] = self.seconds

    def _check(self) -> None:
        now = self.desk.now
        for slug in ("world", "china", "all"):
            shown = {item["id"]: item["_dateline"]["status"] for item in self.desk.items(slug)}
            for name, status in self.status.items():
                if status == "usable":
                    continue
                in_time = later(self.down_at[name]) + STAYS > now
                expected = status if in_time and slug in self.stood[name] else None
                assert shown.get(self.ids[name]) == expected, (name, slug)
            bodies = [self.desk.body(slug, fmt) for fmt in feeds.RENDITIONS]
            self._ask_again(slug)
            assert [self.desk.body(slug, fmt) for fmt in feeds.RENDITIONS] == bodies

    def _ask_again(self, slug: str) -> None:
        with self.desk.record.writing() as connection:
            connection.execute(text("UPDATE feed SET wanted = wanted + 1 WHERE slug = :slug"), {"slug": slug})
        FeedDesk(self.desk.record).work(self.desk.now)
