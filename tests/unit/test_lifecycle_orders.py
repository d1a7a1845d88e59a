"""Unseen differences, the order of takedowns, and ids that a system gives to another story."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from service.store.articles.lifecycle import (
    ArticleState,
    Change,
    Repeat,
    Stale,
    StoryIdentity,
    essence,
    fingerprints,
    in_its_order,
    is_another,
    is_surely_newer,
    judge,
    later,
    not_ahead,
)
from service.store.content import canonical

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
SECOND, MICRO = timedelta(seconds=1), timedelta(microseconds=1)
EARLIER, LATER = NOW - SECOND, NOW + SECOND
STORY = {
    "body_html": "<p>At dawn.</p>",
    "embargo_until": "2026-05-03T12:00:00Z",
    "expires_at": "2026-05-04T12:00:00Z",
    "headline": "Storm",
    "keywords": ["ferry", "harbour", "storm"],
    "published_at": "2026-05-02T12:00:00Z",
    "sections": ["world"],
}


def content(**changes: object) -> str:
    return canonical({**STORY, **changes})


def state(status: str = "usable", version: int | None = None, at: datetime | None = None) -> ArticleState:
    return ArticleState(status, f"text of {status}", version, at)


# --- the essence of a content


def test_plain_content_is_its_own_essence_and_has_one_fingerprint() -> None:
    assert essence(content()) == content()
    assert fingerprints("usable", content()).to_the_letter == ""


@pytest.mark.parametrize("words", list(permutations(STORY["keywords"]))[1:])
def test_order_of_keywords_is_no_difference(words: tuple[str, ...]) -> None:
    assert essence(content(keywords=list(words))) == content()
    found = fingerprints("usable", content(keywords=list(words)))
    assert found.essential == fingerprints("usable", content()).essential
    assert found.to_the_letter not in ("", found.essential)


@pytest.mark.parametrize("name", ["published_at", "embargo_until", "expires_at"])
@pytest.mark.parametrize("fraction", [".5", ".123456"])
def test_fraction_of_a_second_is_no_difference(name: str, fraction: str) -> None:
    with_fraction = str(STORY[name]).replace("Z", f"{fraction}Z")
    assert essence(content(**{name: with_fraction})) == content()
    assert fingerprints("usable", content(**{name: with_fraction})).to_the_letter != ""


def test_fraction_in_a_text_is_left_as_it_is() -> None:
    for text in ("<2026-05-02T12:00:00.5", "2026-05-02T12:00:00.5", "a 2026-05-02T12:00:00.5"):
        assert essence(canonical({"body_html": text})) == canonical({"body_html": text})


def test_fractions_of_all_times_and_the_order_of_keywords_go_together() -> None:
    times = {name: f"{STORY[name][:-1]}.25Z" for name in ("published_at", "embargo_until", "expires_at")}
    assert essence(content(keywords=["storm", "ferry", "harbour"], **times)) == content()


@pytest.mark.parametrize(
    "changes",
    [
        {"keywords": ["ferry", "harbour"]},
        {"keywords": ["ferry", "harbour", "Storm"]},
        {"published_at": "2026-05-02T12:00:01Z"},
        {"headline": "Storm."},
    ],
)
def test_change_that_readers_see_is_a_difference(changes: dict[str, object]) -> None:
    assert essence(content(**changes)) != content()
    assert fingerprints("usable", content(**changes)) != fingerprints("usable", content())


def test_keywords_of_another_script_and_those_that_need_marks_are_put_in_order_as_they_are() -> None:
    assert essence(content(keywords=["港", '"z"', "a\\b"])) == content(keywords=sorted(["港", '"z"', "a\\b"]))


def test_a_story_that_begins_with_its_keywords_or_its_time_has_an_essence_too() -> None:
    assert essence('{"keywords":["b","a"]}') == '{"keywords":["a","b"]}'
    assert essence('"keywords":["b","a"]') == '"keywords":["a","b"]', "at the very beginning"
    assert essence('"published_at":"2026-05-02T12:00:00.5Z"') == '"published_at":"2026-05-02T12:00:00Z"'


def test_status_is_in_the_fingerprint() -> None:
    kinds = {fingerprints(each, content()).essential for each in ("usable", "killed", "withheld")}
    assert len(kinds) == 3
    assert len(fingerprints("usable", content()).essential) == 64


@pytest.mark.parametrize("held", ["essential", "to the letter"])
def test_same_story_is_a_repeat_of_what_this_version_or_the_one_before_wrote(held: str) -> None:
    found = fingerprints("usable", content(keywords=["storm", "ferry"]))
    posted = replace(state(), fingerprint=found.essential, to_the_letter=found.to_the_letter)
    wrote = found.essential if held == "essential" else found.to_the_letter
    assert judge(replace(state(), fingerprint=wrote), posted) == Repeat()
    assert judge(replace(state(), fingerprint="another"), posted) == Change("article.updated")


@pytest.mark.parametrize(
    ("here", "posted", "verdict"),
    [
        (None, None, Repeat()),
        (NOW, NOW + timedelta(microseconds=999_999), Repeat()),
        (NOW, NOW + SECOND, Change("article.withheld")),
        (NOW, None, Change("article.withheld")),
        (None, NOW, Change("article.withheld")),
    ],
)
def test_same_text_with_another_end_of_its_embargo_is_told(
    here: datetime | None, posted: datetime | None, verdict: object
) -> None:
    held = state("withheld")
    assert judge(replace(held, returns_at=here), replace(held, returns_at=posted)) == verdict


# --- order


@pytest.mark.parametrize(
    ("ahead", "believed"),
    [
        (-SECOND, True),
        (timedelta(0), True),
        (timedelta(minutes=5), True),
        (timedelta(minutes=5) + MICRO, False),
        (timedelta(days=300), False),
    ],
)
def test_time_that_is_more_than_five_minutes_ahead_says_nothing_of_order(
    ahead: timedelta, believed: bool
) -> None:
    current = state(version=4, at=NOW + ahead)
    assert not_ahead(current, NOW) == (current if believed else replace(current, updated_at=None))


def test_story_without_a_time_is_as_it_was() -> None:
    assert not_ahead(state(version=4), NOW) == state(version=4)


@pytest.mark.parametrize("low", [1, NOW])
def test_later_of_two_is_the_greater_one_or_the_only_one(low: int | datetime) -> None:
    high = low + 1 if isinstance(low, int) else low + SECOND
    assert later(low, high) == later(high, low) == high  # type: ignore[type-var]
    assert later(low, low) == later(low, None) == later(None, low) == low  # type: ignore[type-var]
    assert later(None, None) is None


@pytest.mark.parametrize("status", ["withheld", "unpublished", "killed"])
def test_takedown_that_says_more_than_the_story_keeps_what_it_says_and_the_later_of_both(status: str) -> None:
    current = state(version=7, at=NOW)
    assert in_its_order(current, state(status, 8, LATER)) == state(status, 8, LATER)
    assert in_its_order(current, state(status, 6, EARLIER)) == state(status, 7, NOW)


@pytest.mark.parametrize("status", ["withheld", "unpublished"])
def test_takedown_without_an_order_stands_where_the_story_stood(status: str) -> None:
    assert in_its_order(state(version=7, at=NOW), state(status)) == state(status, 7, NOW)


@pytest.mark.parametrize(
    ("version", "at", "wanted_version", "wanted_at"),
    [(None, None, None, None), (8, None, 8, None), (None, LATER, None, LATER), (6, EARLIER, 7, NOW)],
)
def test_kill_without_a_version_or_a_time_is_one_that_nothing_is_surely_newer_than(
    version: int | None, at: datetime | None, wanted_version: int | None, wanted_at: datetime | None
) -> None:
    killed = in_its_order(state(version=7, at=NOW), state("killed", version, at))
    assert (killed.version, killed.updated_at) == (wanted_version, wanted_at)


@pytest.mark.parametrize(
    ("here", "posted", "newer"),
    [
        (state(version=1), state(version=2), True),
        (state(version=2), state(version=2), False),
        (state(version=2), state(version=1), False),
        (state(version=2, at=NOW), state(version=1, at=LATER), False),
        (state(version=1, at=NOW), state(version=2, at=EARLIER), True),
        (state(at=NOW), state(at=LATER), True),
        (state(at=NOW), state(at=NOW), False),
        (state(at=NOW), state(at=EARLIER), False),
        (state(version=1, at=NOW), state(at=LATER), True),
        (state(at=NOW), state(version=9, at=LATER), True),
        (state(version=1), state(at=LATER), False),
        (state(at=NOW), state(version=1), False),
        (state(), state(), False),
    ],
)
def test_version_says_which_is_newer_and_without_two_of_them_the_time(
    here: ArticleState, posted: ArticleState, newer: bool
) -> None:
    assert is_surely_newer(here, posted) is newer


def test_no_clock_makes_a_takedown_stale_and_a_version_does() -> None:
    assert judge(state(at=NOW), state("killed", at=EARLIER), takedown=True) == Change("article.killed")
    assert isinstance(judge(state(at=NOW), state("killed", at=EARLIER)), Stale)
    assert judge(state(version=2), state("killed", version=1), takedown=True) == Stale(
        "version 1 is older than 2"
    )


# --- ids that are used again


def identity(
    created: datetime | None = None, published: datetime | None = None, headline: str | None = "Storm"
) -> StoryIdentity:
    return StoryIdentity(created, published, headline)


@pytest.mark.parametrize(
    ("held", "posted", "another"),
    [
        (identity(NOW), identity(NOW), False),
        (identity(NOW), identity(NOW + SECOND - MICRO), False),
        (identity(NOW), identity(NOW + SECOND), True),
        (identity(NOW), identity(NOW - SECOND), True),
        (identity(NOW), identity(NOW + timedelta(days=1)), True),
        (identity(NOW), identity(NOW - SECOND + MICRO), False),
        # The time at which it was made says it, whatever else changed.
        (identity(NOW, NOW), identity(NOW, LATER, "Ferry"), False),
        (identity(NOW, NOW), identity(LATER, NOW), True),
        # Without it on either side: the time of publication, and the headline.
        (identity(None, NOW), identity(None, LATER, "Ferry"), True),
        (identity(None, NOW), identity(None, EARLIER, "Ferry"), True),
        (identity(None, NOW), identity(None, NOW + timedelta(days=1), "Ferry"), True),
        (identity(None, NOW), identity(None, NOW + SECOND - MICRO, "Ferry"), False),
        (identity(None, NOW), identity(None, LATER), False),
        (identity(None, NOW), identity(None, NOW, "Ferry"), False),
        (identity(NOW, NOW), identity(None, LATER, "Ferry"), True),
        (identity(None, NOW), identity(LATER, LATER, "Ferry"), True),
        (identity(None, None), identity(None, LATER, "Ferry"), False),
        (identity(None, NOW), identity(None, None, "Ferry"), False),
        (identity(NOW, None), identity(None, None, "Ferry"), False),
        (identity(None, NOW, "B"), identity(None, LATER, "A"), True),
        (identity(None, NOW, "A"), identity(None, LATER, "B"), True),
    ],
)
def test_id_is_another_storys_by_the_time_it_was_made_or_by_its_publication_and_headline(
    held: StoryIdentity, posted: StoryIdentity, another: bool
) -> None:
    assert is_another(held, posted) is another


@pytest.mark.parametrize("value", [identity(), Stale("old"), Change("article.updated"), state()])
def test_values_cannot_be_changed(value: object) -> None:
    name = next(iter(vars(value)))
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, "other")
