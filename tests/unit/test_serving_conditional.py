"""Reading If-None-Match, If-Modified-Since and Range."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.serving.conditional import Unsatisfiable, byte_range, entity_tags, is_same_moment

MOMENT = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "opaque"),
    [
        ('"abc"', ["abc"]),
        ('W/"abc"', ["abc"]),
        ('"abc", W/"def" ,"ghi"', ["abc", "def", "ghi"]),
        ('"abc-gzip"', ["abc"]),
        ('"abc--gzip"', ["abc"]),
        ('W/"abc;br"', ["abc"]),
        ('"abc.gz-gzip"', ["abc.gz"]),
        ("abc", []),
        ("", []),
    ],
)
def test_tags_are_read_even_if_a_server_in_between_changed_them(header: str, opaque: list[str]) -> None:
    assert [tag for _, tag in entity_tags(header)] == opaque


@pytest.mark.parametrize(
    ("header", "same"),
    [
        ("Tue, 24 Nov 2026 08:00:00 GMT", True),
        ("Tuesday, 24-Nov-26 08:00:00 GMT", True),
        ("Tue Nov 24 08:00:00 2026", True),
        ("Tue, 24 Nov 2026 08:00:01 GMT", False),
        ("Fri, 01 Jan 2041 00:00:00 GMT", False),
        ("yesterday", False),
        ("", False),
        ("Tue, 99 Nov 2026 08:00:00 GMT", False),
    ],
)
def test_only_our_own_time_is_believed(header: str, same: bool) -> None:
    assert is_same_moment(header, MOMENT) is same


@given(st.text(max_size=60))
def test_no_time_is_too_strange(header: str) -> None:
    assert is_same_moment(header, MOMENT) in {True, False}


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=90-", slice(90, 100)),
        ("bytes=90-1000", slice(90, 100)),
        ("bytes=-10", slice(90, 100)),
        ("bytes=-1000", slice(0, 100)),
        ("bytes=0-1,5-6", None),
        ("bytes=9-1", None),
        ("bytes=-", None),
        ("lines=0-9", None),
        ("bytes=" + "9" * 50 + "-", None),
    ],
)
def test_one_range_is_read_and_other_texts_are_ignored(header: str, part: slice | None) -> None:
    assert byte_range(header, 100) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=1000-2000", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        byte_range(header, 100)
