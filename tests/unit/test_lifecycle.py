"""The event that a post makes: published, updated, taken down, restored, repeated or too old."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta

import pytest

from service.store.articles.lifecycle import (
    ArticleState,
    Change,
    Repeat,
    Stale,
    Terms,
    Verdict,
    as_of,
    fingerprints,
    judge,
)

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
HELD = ArticleState("usable", "first text", None, None)
TAKEDOWNS = ["withheld", "killed", "unpublished"]


def a_post(status: str = "usable", text: str = "second text", **changes: object) -> ArticleState:
    return replace(ArticleState(status, text, None, None), **changes)  # type: ignore[arg-type]


def held(status: str = "usable", **changes: object) -> ArticleState:
    return replace(HELD, status=status, **changes)  # type: ignore[arg-type]


def test_first_post_is_published() -> None:
    assert judge(None, a_post()) == Change("article.published")


@pytest.mark.parametrize("status", TAKEDOWNS)
def test_first_post_that_is_a_takedown_already_makes_a_takedown(status: str) -> None:
    assert judge(None, a_post(status)) == Change(f"article.{status}")


def test_same_text_again_is_a_repeat() -> None:
    assert judge(HELD, a_post(text="first text")) == Repeat()


def test_other_text_is_an_update_and_with_a_correction_note_a_correction() -> None:
    for text in ("second text", "another text"):
        assert judge(HELD, a_post(text=text)) == Change("article.updated")
    assert judge(HELD, a_post(corrected=True)) == Change("article.corrected")


@pytest.mark.parametrize("status", TAKEDOWNS)
@pytest.mark.parametrize("before", ["usable", "withheld", "unpublished"])
def test_takedown_is_told_as_a_takedown_of_its_kind(before: str, status: str) -> None:
    assert judge(held(before), a_post(status)) == Change(f"article.{status}")


def test_kill_with_another_reason_is_told_as_a_kill_again() -> None:
    assert judge(held("killed"), a_post("killed")) == Change("article.killed")


@pytest.mark.parametrize("status", ["withheld", "unpublished"])
def test_story_that_was_taken_down_comes_back_as_restored_even_with_a_correction_note(status: str) -> None:
    assert judge(held(status), a_post()) == Change("article.restored")
    assert judge(held(status), a_post(corrected=True)) == Change("article.restored")


# An older post changes nothing.


def test_lower_version_is_stale_and_a_higher_one_is_an_update() -> None:
    assert judge(held(version=5), a_post(version=4)) == Stale("version 4 is older than 5")
    assert judge(held(version=5), a_post(version=6)) == Change("article.updated")


def test_same_version_with_another_text_is_an_update() -> None:
    """A content system that does not count its versions sends the same one every time."""
    assert judge(held(version=5), a_post(version=5)) == Change("article.updated")
    assert judge(held(version=9000), a_post(version=int("9000"))) == Change("article.updated")


def test_higher_version_counts_though_its_clock_is_behind() -> None:
    found = judge(held(version=5, updated_at=NOW), a_post(version=6, updated_at=EARLIER))
    assert found == Change("article.updated")


def test_lower_version_is_stale_though_its_clock_is_ahead() -> None:
    found = judge(held(version=5, updated_at=NOW), a_post(version=4, updated_at=LATER))
    assert found == Stale("version 4 is older than 5")


@pytest.mark.parametrize("versions", [(None, None), (None, 3), (3, None), (3, 3)])
def test_earlier_time_is_stale_where_versions_decide_nothing(versions: tuple[int | None, int | None]) -> None:
    before = held(version=versions[0], updated_at=NOW)
    found = judge(before, a_post(version=versions[1], updated_at=EARLIER))
    assert found == Stale(f"updated_at {EARLIER.isoformat()} is older than {NOW.isoformat()}")
    assert judge(before, a_post(version=versions[1], updated_at=LATER)) == Change("article.updated")


def test_same_time_with_another_text_is_an_update() -> None:
    same = datetime.fromisoformat(NOW.isoformat())
    assert judge(held(updated_at=NOW), a_post(updated_at=same)) == Change("article.updated")


@pytest.mark.parametrize("times", [(None, EARLIER), (NOW, None)])
def test_time_that_only_one_of_the_two_has_decides_nothing(
    times: tuple[datetime | None, datetime | None],
) -> None:
    found = judge(held(updated_at=times[0]), a_post(updated_at=times[1]))
    assert found == Change("article.updated")


def test_repeat_of_an_older_version_is_stale_rather_than_a_repeat() -> None:
    assert isinstance(judge(held(version=5), a_post(text="first text", version=4)), Stale)


# A killed story.

NEEDS_MORE = Stale("the article is killed; to restore it, post a higher version or a later updated_at")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"version": 5}, {}),
        ({}, {"version": 5}),
        ({"version": 5}, {"version": 5}),
        ({"updated_at": NOW}, {}),
        ({}, {"updated_at": NOW}),
        ({"updated_at": NOW}, {"updated_at": NOW}),
        ({"version": 5, "updated_at": NOW}, {"version": 5, "updated_at": LATER}),
    ],
)
def test_killed_story_stays_killed_unless_the_post_is_surely_later(
    before: dict[str, object], after: dict[str, object]
) -> None:
    assert judge(held("killed", **before), a_post(**after)) == NEEDS_MORE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"version": 5}, {"version": 6}),
        ({"updated_at": NOW}, {"updated_at": LATER}),
        ({"version": 5, "updated_at": NOW}, {"updated_at": LATER}),
        ({"updated_at": NOW}, {"version": 1, "updated_at": LATER}),
        ({"version": 5, "updated_at": NOW}, {"version": 6, "updated_at": NOW}),
    ],
)
def test_killed_story_comes_back_with_a_higher_version_or_a_later_time(
    before: dict[str, object], after: dict[str, object]
) -> None:
    assert judge(held("killed", **before), a_post(**after)) == Change("article.restored")


def test_source_cannot_bring_back_a_story_that_the_desk_killed() -> None:
    found = judge(held("killed", killed_by_desk=True, version=5), a_post(version=6))
    assert isinstance(found, Stale)
    assert "only an operator can restore it" in found.why
    assert isinstance(judge(held("killed", killed_by_desk=True), a_post("killed")), Stale)


@pytest.mark.parametrize("status", ["withheld", "unpublished"])
def test_milder_takedown_does_not_replace_a_kill(status: str) -> None:
    found = judge(held("killed", version=5), a_post(status, version=6))
    assert found == Stale("the article is killed, which no other takedown replaces")


def test_mark_of_the_desk_counts_for_killed_stories_only() -> None:
    """An operator restored it: the source posts on as before."""
    assert judge(held(killed_by_desk=True), a_post()) == Change("article.updated")


@pytest.mark.parametrize("value", [HELD, Change("article.updated"), Repeat(), Stale("old")])
def test_states_and_verdicts_are_values_that_nobody_can_change(value: ArticleState | Verdict) -> None:
    with pytest.raises(FrozenInstanceError):
        value.anything = 1  # type: ignore[union-attr]
    assert hash(value) == hash(replace(value))


def test_post_has_no_correction_note_and_no_kill_by_the_desk_unless_it_says_so() -> None:
    assert (HELD.corrected, HELD.killed_by_desk) == (False, False)


# --- the state at a moment: what has expired, and what is under embargo

CONTENT = '{"headline":"Harbour reopens"}'


def terms(
    embargo_until: datetime | None = None, expires_at: datetime | None = None, *, was_public: bool = False
) -> Terms:
    return Terms(embargo_until, expires_at, was_public)


@pytest.mark.parametrize("status", TAKEDOWNS)
def test_takedown_stays_as_it_was_posted_whatever_its_times_say(status: str) -> None:
    posted = a_post(status)
    for each in (terms(EARLIER, EARLIER, was_public=True), terms(LATER, LATER, was_public=True)):
        assert as_of(NOW, posted, CONTENT, each) == posted


def test_usable_story_without_times_is_usable() -> None:
    for was_public in (False, True):
        assert as_of(NOW, a_post(), CONTENT, terms(was_public=was_public)) == a_post()


@pytest.mark.parametrize("expires_at", [EARLIER - timedelta(days=400), EARLIER, NOW])
def test_story_that_has_expired_is_unpublished_from_that_very_moment(expires_at: datetime) -> None:
    found = as_of(NOW, a_post(version=3), CONTENT, terms(expires_at=expires_at))
    assert found == a_post("unpublished", fingerprints("unpublished", CONTENT).essential, version=3)


def test_story_that_expires_later_is_usable_until_then() -> None:
    assert as_of(NOW, a_post(), CONTENT, terms(expires_at=LATER)) == a_post()


def test_public_story_that_gets_an_embargo_is_withheld_until_it_ends() -> None:
    found = as_of(NOW, a_post(), CONTENT, terms(LATER, was_public=True))
    assert found == a_post("withheld", fingerprints("withheld", CONTENT).essential, returns_at=LATER)


def test_story_that_was_never_public_waits_for_its_embargo_as_it_is() -> None:
    assert as_of(NOW, a_post(), CONTENT, terms(LATER)) == a_post()


@pytest.mark.parametrize("embargo_until", [EARLIER, NOW])
def test_embargo_that_has_ended_withholds_nothing(embargo_until: datetime) -> None:
    assert as_of(NOW, a_post(), CONTENT, terms(embargo_until, was_public=True)) == a_post()


def test_story_that_has_expired_is_unpublished_though_it_is_under_embargo() -> None:
    found = as_of(NOW, a_post(), CONTENT, terms(LATER, EARLIER, was_public=True))
    assert found.status == "unpublished"
    assert found.returns_at is None


def test_terms_of_a_post_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        terms().was_public = True  # type: ignore[misc]
