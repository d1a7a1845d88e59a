"""A document of bounded size: the oldest stories leave first, and the newest is always there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.publish.fit import SizedEntry, fit


def story(number: int, size: int, *, brief: int | None = 100, archived: bool = False) -> SizedEntry:
    return SizedEntry(number, size, brief, archived, notice=False)


def test_stories_that_have_room_stay_as_they_are() -> None:
    fitted = fit([story(1, 500), story(2, 500)], 1_000)
    assert (fitted.brief, fitted.left_out, fitted.size) == (frozenset(), frozenset(), 1_000)


def test_the_oldest_of_the_archive_leave_before_any_story_is_cut() -> None:
    stories = [story(1, 400), story(2, 400), story(3, 400, archived=True), story(4, 400, archived=True)]
    fitted = fit(stories, 1_250)
    assert (fitted.brief, fitted.left_out) == (frozenset(), {4})


def test_stories_that_are_in_no_archive_are_cut_to_their_summaries_and_none_is_lost() -> None:
    fitted = fit([story(number, 400) for number in range(5)], 1_200)
    assert (fitted.brief, fitted.left_out) == ({2, 3, 4}, frozenset())


def test_a_newest_story_that_is_too_large_alone_is_cut_and_stays() -> None:
    fitted = fit([story(1, 5_000, archived=True), story(2, 5_000, archived=True)], 1_000)
    assert (fitted.brief, fitted.left_out) == ({1}, {2})


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 500), st.booleans(), st.booleans())),
    st.integers(1_000, 50_000),
)
def test_no_document_is_larger_than_its_limit_but_for_the_newest_and_notices(
    drawn: list[tuple[int, int, bool, bool]], limit: int
) -> None:
    stories = [SizedEntry(n, size, brief, old, notice) for n, (size, brief, old, notice) in enumerate(drawn)]
    fitted = fit(stories, limit)
    notices = {each.article_id: each.size for each in stories if each.notice}
    newest = next((each for each in stories if not each.notice), None)
    assert fitted.size <= max(limit, sum(notices.values()) + (newest.size if newest else 0))
    assert not notices.keys() & (fitted.brief | fitted.left_out)
    assert newest is None or newest.article_id not in fitted.left_out
    assert not fitted.brief & fitted.left_out
