"""The stories that a document of bounded size shows: whole, by their summary alone, or not at all. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SizedEntry:
    """A story in one format: its bytes whole and by its summary alone, which is None until that was made.

    `may_leave`: it is on a page of the archive. A notice is small, and stays as it is.
    """

    article_id: int
    size: int
    brief_size: int | None
    may_leave: bool
    notice: bool


@dataclass(frozen=True)
class Fit:
    """The articles that are shown by their summary alone, and those that are left out. `size`: of all entries."""

    brief: frozenset[int]
    left_out: frozenset[int]
    size: int


# The size of a summary that was not made yet, for a first decision.
BRIEF_SIZE = 3_000


def fit(candidates: Sequence[SizedEntry], limit: int) -> Fit:
    """The newest stories, which come first, stay whole as long as there is room.

    The oldest that are in the archive leave first. If that is not enough, the oldest are shown by their summary alone;
    if that is not enough either, the oldest leave. The newest is always there, and so are notices.
    """
    sizes = {each.article_id: each.size for each in candidates}
    oldest_first = [each for each in reversed(candidates) if not each.notice]
    newest = next((each.article_id for each in candidates if not each.notice), None)
    total = sum(sizes.values())
    left_out, brief = set[int](), set[int]()
    for each in oldest_first:
        if total > limit and each.may_leave and each.article_id != newest:
            total -= sizes.pop(each.article_id)
            left_out.add(each.article_id)
    for each in oldest_first:
        short = BRIEF_SIZE if each.brief_size is None else each.brief_size
        if total > limit and each.article_id in sizes and short < each.size:
            total += short - each.size
            sizes[each.article_id] = short
            brief.add(each.article_id)
    for each in oldest_first:
        if total > limit and each.article_id in sizes and each.article_id != newest:
            total -= sizes.pop(each.article_id)
            left_out.add(each.article_id)
    return Fit(frozenset(brief - left_out), frozenset(left_out), total)
