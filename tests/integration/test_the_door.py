"""Posts at the door of the record: no takedown is lost, none is undone by an older post, and ids are used again."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from service.store import operations
from service.store.articles import early_takedowns, judgement, sources
from service.store.articles.idempotency import NOTHING_TO_DO, Answer
from service.store.articles.lifecycle import BELIEVED_AHEAD, essence, fingerprints
from service.store.content import canonical
from service.store.database.record import Record
from service.store.database.sql import Statement
from tests.builders import NOW, a_desk, a_takedown, an_article, later, post

TAKEDOWNS = ("killed", "withheld", "unpublished")


def status_of(record: Record, external_id: str = "42") -> str:
    with record.reading() as connection:
        return str(
            Statement("SELECT status FROM article WHERE external_id = :id").value(connection, id=external_id)
        )


@pytest.mark.parametrize("status", TAKEDOWNS)
def test_no_clock_makes_a_takedown_stale(record: Record, status: str) -> None:
    source = a_desk(record)
    post(record, source, an_article(updated_at=later(60)))
    answer = post(record, source, a_takedown(status, updated_at=later(-600)))
    assert (answer.outcome, answer.type) == ("accepted", f"article.{status}")


def test_a_takedown_is_stale_by_its_version_only(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(version=5, updated_at=NOW))
    assert post(record, source, a_takedown(version=4, updated_at=later(60))).outcome == "stale"
    assert post(record, source, a_takedown(version=6, updated_at=later(-60))).outcome == "accepted"


def test_a_time_ahead_that_is_stored_from_before_makes_nothing_stale(record: Record) -> None:
    source = a_desk(record)
    ahead = NOW + BELIEVED_AHEAD + timedelta(hours=2)
    post(record, source, an_article(updated_at=ahead))
    assert post(record, source, an_article(headline="Newer", updated_at=NOW)).outcome == "accepted"


@pytest.mark.parametrize("status", ["withheld", "unpublished"])
def test_a_takedown_without_an_order_is_not_undone_by_an_older_post(record: Record, status: str) -> None:
    source = a_desk(record)
    post(record, source, an_article(version=3, updated_at=NOW, headline="Third"))
    post(record, source, a_takedown(status))
    assert post(record, source, an_article(version=2, headline="Second")).outcome == "stale"
    assert post(record, source, an_article(updated_at=later(-1), headline="Second")).outcome == "stale"
    assert (
        post(record, source, an_article(version=3, updated_at=NOW, headline="Third")).type
        == "article.restored"
    )


def test_a_takedown_of_an_earlier_clock_lets_no_older_post_through(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(updated_at=later(60), headline="Newest"))
    post(record, source, a_takedown("unpublished", updated_at=later(0)))
    assert post(record, source, an_article(updated_at=later(30), headline="Between")).outcome == "stale"


@pytest.mark.parametrize("order", [{"version": 2}, {"updated_at": NOW}])
def test_a_takedown_that_overtakes_its_story_takes_it_down(record: Record, order: dict[str, Any]) -> None:
    source = a_desk(record)
    older = {
        name: value - (1 if name == "version" else timedelta(seconds=1)) for name, value in order.items()
    }
    newer = {
        name: value + (1 if name == "version" else timedelta(seconds=1)) for name, value in order.items()
    }
    assert post(record, source, a_takedown("unpublished", **order)) == NOTHING_TO_DO
    assert post(record, source, an_article(**older)).type == "article.unpublished"
    assert status_of(record) == "unpublished"
    assert post(record, source, an_article(**newer)).type == "article.restored"


def test_a_story_that_is_newer_than_its_early_takedown_is_published(record: Record) -> None:
    source = a_desk(record)
    post(record, source, a_takedown(version=2))
    assert post(record, source, an_article(version=3)).type == "article.published"


@pytest.mark.parametrize(
    "story", [{}, {"updated_at": later(-100)}, {"updated_at": later(30)}, {"version": 3}]
)
def test_a_story_that_waited_is_not_published_if_its_takedown_came_meanwhile(
    record: Record, story: dict[str, Any]
) -> None:
    source = a_desk(record)
    post(record, source, a_takedown("unpublished"))
    answer = post(record, source, an_article(**story), received_at=later(-1))
    assert (answer.outcome, answer.article) == ("stale", "")
    assert post(record, source, an_article(**story), received_at=later(1)).type == "article.published"


def test_a_story_that_says_that_it_is_newer_than_its_early_takedown_is_published_though_it_waited(
    record: Record,
) -> None:
    source = a_desk(record)
    post(record, source, a_takedown("unpublished"))
    moment = later(judgement.SURELY_LATER.total_seconds() + 1)
    story = an_article(updated_at=moment)
    assert post(record, source, story, now=moment, received_at=later(-1)).type == "article.published"


def test_a_takedown_without_an_order_that_was_never_here_keeps_no_native_post_back(record: Record) -> None:
    source = a_desk(record)
    post(record, source, a_takedown("unpublished"))
    assert post(record, source, an_article()).type == "article.published"


def test_a_takedown_without_an_order_leaves_the_order_of_the_one_before(record: Record) -> None:
    source = a_desk(record)
    post(record, source, a_takedown("killed", version=5))
    post(record, source, a_takedown("unpublished"))
    assert post(record, source, an_article(version=4)).type == "article.killed"


def test_an_early_takedown_concerns_its_own_source_and_story_alone(record: Record) -> None:
    source = a_desk(record)
    post(record, source, a_takedown(version=9))
    assert post(record, source, an_article(external_id="43", version=1)).type == "article.published"


def test_the_newest_of_several_early_takedowns_stays_and_old_ones_go(record: Record) -> None:
    source = a_desk(record)
    for version in (5, 3):
        post(record, source, a_takedown(version=version))
    assert post(record, source, an_article(version=4)).type == "article.killed"
    late = NOW + early_takedowns.AWAITED_FOR + timedelta(seconds=1)
    post(record, source, a_takedown(external_id="x", version=1), now=late)
    assert early_takedowns.prune(record, late) == 1
    assert early_takedowns.prune(record, late) == 0
    assert post(record, source, an_article(external_id="x", version=0), now=late).type == "article.killed"
    with record.reading() as connection:
        assert Statement("SELECT count(*) FROM early_takedown").value(connection) == 1


def test_a_takedown_by_a_clock_that_is_ahead_forgets_no_other_that_came_early(record: Record) -> None:
    source = a_desk(record)
    post(record, source, a_takedown(external_id="a", version=2))
    post(record, source, a_takedown(external_id="b", version=2), now=NOW + timedelta(days=400))
    assert post(record, source, an_article(external_id="a", version=1)).type == "article.killed"


def test_any_order_of_arrival_ends_in_the_same_status(sqlite_record: Record) -> None:
    """Four changes of a story with versions, in every order: what the last one says is what stays."""
    source = a_desk(sqlite_record)
    for number, order in enumerate(permutations(range(1, 5))):
        for last in ("usable", "unpublished", "withheld"):
            name = f"{number}-{last}"
            states = ["usable", "unpublished", "usable", last]
            for version in order:
                state = states[version - 1]
                new = (
                    an_article(external_id=name, version=version, headline=f"Version {version}")
                    if state == "usable"
                    else a_takedown(state, external_id=name, version=version)
                )
                post(sqlite_record, source, new)
            assert status_of(sqlite_record, name) == last, (order, last)


def reused(record: Record, **changes: Any) -> Answer:
    source = a_desk(record)
    first = post(record, source, an_article(published_at="2026-11-01T08:00:00Z", created_at=later(-9)))
    post(record, source, a_takedown("unpublished"))
    second = post(record, source, an_article(**changes))
    assert (second.article == first.article) == (second.revision > 1)
    return second


def test_an_id_used_again_after_a_delete_is_a_new_article(record: Record) -> None:
    second = reused(record, headline="Another story", published_at="2026-11-20T08:00:00Z")
    assert (second.type, second.revision) == ("article.published", 1)
    with record.reading() as connection:
        ids = Statement("SELECT external_id FROM article ORDER BY id").rows(connection)
    assert ids[1][0] == "42"
    assert ids[0][0].startswith("42#")


def test_another_time_of_creation_says_that_an_id_is_used_again(record: Record) -> None:
    assert reused(record, created_at=later(-3)).type == "article.published"


@pytest.mark.parametrize(
    "changes",
    [
        {"headline": "Other words"},
        {"published_at": "2026-11-20T08:00:00Z"},  # some systems give it a new time each time
        {"headline": "Other words", "published_at": "2026-11-01T08:00:00.250Z"},
        {"headline": "Other words", "published_at": "2026-11-20T08:00:00Z", "created_at": later(-9)},
    ],
)
def test_the_same_story_that_comes_back_is_no_new_article(record: Record, changes: dict[str, Any]) -> None:
    assert reused(record, **changes).type == "article.restored"


def test_a_story_that_the_desk_killed_does_not_come_back_as_another(record: Record) -> None:
    source = a_desk(record)
    first = post(record, source, an_article(published_at="2026-11-01T08:00:00Z"))
    operations.kill(record, first.article, reason="r", actor="operator", now=NOW)
    again = post(record, source, an_article(headline="Another", published_at="2026-11-20T08:00:00Z"))
    assert again.outcome == "stale"


def test_a_takedown_after_an_id_is_used_again_meets_the_new_story(record: Record) -> None:
    second = reused(record, headline="Another story", published_at="2026-11-20T08:00:00Z")
    with record.reading() as connection:
        assert Statement("SELECT count(*) FROM article WHERE status = 'usable'").value(connection) == 1
    source = sources.by_slug(record, "wire")
    assert post(record, source, a_takedown("killed")).article == second.article


SAME = [
    ({"keywords": ["a", "b", "c"]}, {"keywords": ["c", "a", "b"]}),
    ({"published_at": "2026-11-01T08:00:00Z"}, {"published_at": "2026-11-01T08:00:00.123Z"}),
    ({"published_at": "2026-11-01T08:00:00.9Z"}, {"published_at": "2026-11-01T08:00:00.1Z"}),
    ({"expires_at": later(60)}, {"expires_at": later(60.5)}),
    ({"embargo_until": later(60)}, {"embargo_until": later(60.5)}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_nothing_is_sent_for_a_change_that_nobody_sees(
    record: Record, one: dict[str, Any], other: dict[str, Any]
) -> None:
    source = a_desk(record)
    post(record, source, an_article(**one))
    assert post(record, source, an_article(**other)).outcome == "repeat"
    assert post(record, source, an_article(**one)).outcome == "repeat"


def test_other_keywords_and_another_second_are_changes(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(keywords=["a", "b"], published_at="2026-11-01T08:00:00Z"))
    assert post(record, source, an_article(keywords=["b", "c"])).outcome == "accepted"
    assert post(
        record, source, an_article(keywords=["b", "c"], published_at="2026-11-01T08:00:01Z")
    ).type == ("article.updated")


def test_a_content_that_a_version_before_stored_to_the_letter_is_a_repeat(record: Record) -> None:
    source = a_desk(record)
    post(record, source, an_article(keywords=["b", "a"]))
    with record.writing() as connection:
        content = Statement("SELECT content FROM revision").value(connection)
        old = {"old": fingerprints("usable", content).to_the_letter}
        assert Statement("UPDATE article SET content_hash = :old WHERE content_hash <> :old").run(
            connection, old
        )
    assert post(record, source, an_article(keywords=["b", "a"])).outcome == "repeat"


def test_the_essence_of_a_content_is_that_of_its_fields_and_not_of_its_words() -> None:
    tricky = {"body_text": '"keywords":["b","a"] "published_at":"2026-01-02T08:00:00.5Z"', "headline": "h"}
    assert essence(canonical(tricky)) == canonical(tricky)
    words = ['"', "]", "\\", "ü", "b", "a"]
    for seed in range(20):
        shuffled = words.copy()
        random.Random(seed).shuffle(shuffled)
        assert essence(canonical({**tricky, "keywords": shuffled})) == canonical(
            {**tricky, "keywords": sorted(words)}
        )
