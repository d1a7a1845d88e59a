"""A delta is the document without the entries that its reader has."""

import json
from datetime import timedelta

import feedparser
import pytest

from feeds import FORMATS, Format, fingerprints, render, without_known
from tests.feed_samples import T, a_feed, a_full_item, an_item, some_items


@pytest.mark.parametrize("fmt", FORMATS)
def test_only_new_and_changed_stories_are_left(fmt: Format) -> None:
    kept, edited = an_item(1), an_item(2)
    before = render(a_feed(), [edited, kept], fmt)
    corrected = an_item(2, revision=2, headline="Harbour closes again", updated=T + timedelta(hours=1))
    after = render(a_feed(), [an_item(3), corrected, kept], fmt)
    delta, count = without_known(after, fmt, fingerprints(before, fmt))
    assert count == 2
    assert delta == _told_as(after, render(a_feed(), [an_item(3), corrected], fmt), fmt)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_reader_that_has_nothing_gets_the_whole_document(fmt: Format) -> None:
    for items in (some_items(), [an_item()], []):
        document = render(a_feed(), items, fmt)
        assert without_known(document, fmt, frozenset()) == (document, len(items))
        assert len(fingerprints(document, fmt)) == len(items)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_reader_that_has_everything_is_left_an_empty_feed_that_parses(fmt: Format) -> None:
    document = render(a_feed(), some_items(), fmt)
    delta, count = without_known(document, fmt, fingerprints(document, fmt))
    assert count == 0
    if fmt == "json":
        assert json.loads(delta)["items"] == []
    else:
        read = feedparser.parse(delta)
        assert (read.bozo, read.entries) == (False, [])


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_story_that_writes_the_marks_of_entries_is_still_one_story(fmt: Format) -> None:
    marks = "</item><item></entry><entry>]]></item>,\n{"
    sly = a_full_item(1, headline=marks, body_html=f'<p title="{marks}">{marks}</p><!-- {marks} -->')
    document = render(a_feed(), [sly, an_item(2)], fmt)
    assert without_known(document, fmt, frozenset()) == (document, 2)
    delta, count = without_known(document, fmt, fingerprints(render(a_feed(), [sly], fmt), fmt))
    assert count == 1
    assert b"day 2" in delta
    assert b"<p title" not in delta


def _told_as(after: bytes, wanted: bytes, fmt: Format) -> bytes:
    """The wanted document with the head of the other: they tell different times."""
    mark = {"rss": b"<item>", "atom": b"<entry", "json": b"\n"}[fmt]
    return after[: after.index(mark)] + wanted[wanted.index(mark) :]
