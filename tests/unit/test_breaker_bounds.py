"""The figures of the circuit breaker, each at its very edge."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta

import pytest

from workers.deliver.breaker import Breaker, add_counts, after, at
from workers.net import outcome
from workers.net.outcome import Outcome

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
SLOT = int(NOW.timestamp()) // 10


def ended(kind: str) -> Outcome:
    return outcome.unsent("did something")._replace(kind=kind)


FAILURE, SUCCESS = ended("timeout"), ended("delivered")


def after_all(signs: str, breaker: Breaker = Breaker()) -> Breaker:  # noqa: B008  it is a value
    """The breaker after these outcomes at one moment: '+' a success, '-' a failure."""
    return after(breaker, [SUCCESS if sign == "+" else FAILURE for sign in signs], NOW, 0.5)


def open_until(breaker: Breaker) -> float:
    assert breaker.state == "open"
    assert breaker.until is not None
    return (breaker.until - NOW).total_seconds()


def test_new_breaker_is_closed_and_has_seen_nothing() -> None:
    assert Breaker() == Breaker("closed", None, 0, 0, (), None, ())


def test_breaker_is_a_value_that_nobody_can_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Breaker().failures = 5  # type: ignore[misc]
    assert hash(Breaker()) == hash(replace(Breaker()))


# When it opens.


def test_half_of_nineteen_attempts_failing_does_not_open_it_and_of_twenty_does() -> None:
    assert after_all("-+" * 9 + "-").state == "closed"
    assert after_all("-+" * 9 + "+-").state == "open"


def test_half_of_many_attempts_failing_opens_it_at_the_next_failure() -> None:
    busy = Breaker(counts=((SLOT, 99, 49),))
    assert after_all("-", busy).state == "open"


def test_one_failure_less_than_half_leaves_it_closed() -> None:
    assert after_all("+" * 11 + "-+" * 9).state == "closed"
    assert after_all("-", Breaker(counts=((SLOT, 100, 49),))).state == "closed"


def test_attempts_of_the_whole_last_minute_count_together() -> None:
    minute = tuple((SLOT - back, 4, 2) for back in (5, 4, 3, 2, 1))
    assert after_all("-", Breaker(counts=minute)).state == "open"
    assert after_all("-", Breaker(counts=((SLOT - 6, 4, 4), *minute[1:]))).state == "closed"


def test_more_failures_in_a_row_than_five_open_it_too() -> None:
    """It was closed by hand, or by a version that opened later."""
    assert after_all("-", Breaker(failures=7)) == Breaker("open", NOW + timedelta(seconds=30), 1, 8)


def test_failure_that_leaves_it_closed_is_counted() -> None:
    assert after_all("-") == Breaker(failures=1, counts=((SLOT, 1, 1),))
    assert after_all("+-+-") == Breaker(failures=1, counts=((SLOT, 4, 2),))


def test_success_is_counted_and_ends_the_failures_in_a_row() -> None:
    assert after_all("--+") == Breaker(counts=((SLOT, 3, 2),))


# What it counts.


def test_attempts_of_the_same_ten_seconds_are_counted_together() -> None:
    assert add_counts(((SLOT, 3, 1),), 2, 2, NOW) == ((SLOT, 5, 3),)
    assert add_counts(((SLOT - 1, 3, 1),), 2, 2, NOW) == ((SLOT - 1, 3, 1), (SLOT, 2, 2))


def test_slot_is_ten_seconds_long() -> None:
    assert add_counts((), 1, 0, NOW + timedelta(seconds=9)) == ((SLOT, 1, 0),)
    assert add_counts((), 1, 0, NOW + timedelta(seconds=10)) == ((SLOT + 1, 1, 0),)


def test_counts_of_a_minute_ago_and_of_the_future_are_dropped() -> None:
    before = ((SLOT - 6, 1, 1), (SLOT - 5, 2, 1), (SLOT + 1, 4, 1))
    assert add_counts(before, 1, 0, NOW) == ((SLOT - 5, 2, 1), (SLOT, 1, 0))


def test_nothing_new_leaves_the_counts_as_they_are() -> None:
    assert add_counts(((SLOT - 1, 3, 1),), 0, 0, NOW) == ((SLOT - 1, 3, 1),)
    assert add_counts(((SLOT, 3, 1),), 0, 0, NOW) == ((SLOT, 3, 1),)
    assert add_counts((), 0, 0, NOW) == ()


# How long it waits.


@pytest.mark.parametrize(
    ("jitter", "seconds"), [(0.0, 24.0), (0.25, 27.0), (0.5, 30.0), (0.75, 33.0), (1.0, 36.0)]
)
def test_jitter_spreads_the_wait_evenly_by_a_fifth_to_both_sides(jitter: float, seconds: float) -> None:
    assert open_until(after(Breaker(failures=4), [FAILURE], NOW, jitter)) == pytest.approx(seconds, abs=1e-6)
    again = after(Breaker("half_open", None, 3, 8), [FAILURE], NOW, jitter)
    assert open_until(again) == pytest.approx(seconds * 8, abs=1e-6)


def test_wait_is_never_longer_than_15_minutes_however_often_it_opened() -> None:
    waits = [
        open_until(after_all("-", Breaker("half_open", None, opened, 8))) for opened in (4, 5, 6, 99, 10_000)
    ]
    assert waits == [480, 900, 900, 900, 900]


def test_wait_ends_at_its_moment_and_not_before() -> None:
    breaker = Breaker("open", NOW, 1, 5)
    assert at(breaker, NOW - timedelta.resolution) == breaker
    assert at(breaker, NOW) == replace(breaker, state="half_open")
    assert at(breaker, NOW + timedelta(hours=1)) == replace(breaker, state="half_open")


def test_wait_longer_than_18_minutes_is_over() -> None:
    """A clock that has been put back since set it: no breaker waits longer."""
    longest = Breaker("open", NOW + timedelta(minutes=18), 9, 20)
    assert at(longest, NOW) == longest
    assert at(longest, NOW - timedelta.resolution).state == "half_open"


def test_open_one_without_an_end_lets_a_probe_through() -> None:
    assert at(Breaker("open", None, 1, 5), NOW).state == "half_open"


@pytest.mark.parametrize("state", ["closed", "half_open"])
def test_time_alone_changes_only_an_open_one(state: str) -> None:
    assert at(Breaker(state, None, 1, 2), NOW) == Breaker(state, None, 1, 2)


# The probe, and the slow start after it.


def test_probe_that_was_never_sent_leaves_it_half_open() -> None:
    for kind in ("gone", "unsent", "lost"):
        breaker = Breaker("half_open", NOW, 3, 8)
        assert after(breaker, [ended(kind)], NOW, 0.5) == breaker


def test_failed_probe_opens_it_once_more_and_counts_on() -> None:
    found = after_all("-", Breaker("half_open", NOW, 3, 8))
    assert (found.state, found.opened, found.failures) == ("open", 4, 9)


def test_failed_probe_opens_it_however_few_failed_in_a_row() -> None:
    """It opened because half of many attempts failed."""
    found = after_all("-", Breaker("half_open", NOW, 1, 1))
    assert (found.state, found.opened, found.failures) == ("open", 2, 2)


def test_refusal_of_an_ordinary_push_leaves_the_slow_start_as_it_is() -> None:
    breaker = Breaker(slow_start=8, failures=2)
    assert after(breaker, [ended("refused")], NOW, 0.5, 7) == replace(breaker, refused=(7,))


def test_each_success_lets_one_more_into_flight_until_64() -> None:
    assert after_all("+", Breaker(slow_start=62)).slow_start == 63
    assert after_all("+", Breaker(slow_start=63)).slow_start == 64
    assert after_all("+", Breaker(slow_start=64)).slow_start is None
    assert after_all("+", Breaker(slow_start=65)).slow_start is None


def test_success_outside_a_slow_start_begins_none() -> None:
    assert after_all("+").slow_start is None
    assert after_all("-").slow_start is None


def test_failure_in_a_slow_start_begins_it_again_with_one() -> None:
    assert after_all("-", Breaker(slow_start=64)).slow_start == 1
