"""Times: read and written as ISO 8601, spans as people write them, and the words of the pages for both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import times

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)))
def test_moment_that_is_written_is_read_as_the_same_moment(moment: datetime) -> None:
    text = times.to_iso(moment)
    assert text.endswith("Z")
    assert times.from_iso(text) == moment


def test_moment_is_written_in_utc_wherever_it_was_meant() -> None:
    shanghai = timezone(timedelta(hours=8))
    assert times.to_iso(datetime(2026, 1, 2, 16, 0, tzinfo=shanghai)) == "2026-01-02T08:00:00Z"


@pytest.mark.parametrize("text", ["2026-01-02T08:00:00Z", "2026-01-02T10:00+02:00", "2026-01-02 08:00"])
def test_time_without_an_offset_is_read_as_utc(text: str) -> None:
    assert times.from_iso(text) == datetime(2026, 1, 2, 8, tzinfo=UTC)


def test_longest_span_is_read() -> None:
    assert times.parse_span("999999999d") == timedelta(days=999_999_999)


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "0001-01-01T00:00:00+14:00"])
def test_text_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid|month|no such time"):
        times.from_iso(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604_800)]
)
def test_span_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert times.parse_span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "-2h", "1e3h", "nand", "2 h", "2w", "1000000000d"])
def test_text_that_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no span"):
        times.parse_span(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (5, "5 s ago"),
        (-4.2, "in 5 s"),
        (180, "3 min ago"),
        (7500, "2 h 5 min ago"),
        (-90_000, "in 1 day"),
    ],
)
def test_distance_of_a_moment_is_told_in_words(seconds: float, words: str) -> None:
    assert times.ago(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (datetime(2026, 3, 4, 9, 5, 1, tzinfo=UTC), "09:05:01"),
        (datetime(2026, 3, 3, 9, 5, 1, tzinfo=UTC), "3 Mar, 09:05:01"),
        (datetime(2025, 3, 4, 9, 5, 1, tzinfo=UTC), "4 Mar 2025, 09:05:01"),
    ],
)
def test_clock_names_the_day_unless_it_is_today(moment: datetime, words: str) -> None:
    assert times.clock(moment, NOW) == words
    assert times.until(moment, NOW) == words[:-3]
