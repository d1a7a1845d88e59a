"""The figures of the retry rules, each at its very edge: schedules, jitter, the week of a takedown, Retry-After."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta

import pytest

from workers.deliver import retry
from workers.deliver.retry import Dead, Decision, RetryAt, RetryPolicy, Success, SwitchOff, decide
from workers.net import outcome
from workers.net.outcome import Outcome

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
SECOND = timedelta(seconds=1)


def ended(kind: str, status: int | None = None, retry_after: float | None = None) -> Outcome:
    return outcome.unsent("did something")._replace(kind=kind, status=status, retry_after=retry_after)


FAILED = ended("server_error", 500)


def decided(
    attempt: int,
    result: Outcome = FAILED,
    *,
    schedule: tuple[float, ...] | None = None,
    age: timedelta = timedelta(0),
    takedown: bool = False,
    jitter: float = 0.5,
) -> Decision:
    return decide(attempt, result, NOW, RetryPolicy(schedule, NOW - age, takedown), jitter)


def wait(decision: Decision) -> float | None:
    """Seconds until the next attempt; None if there is none."""
    if isinstance(decision, RetryAt):
        return (decision.moment - NOW).total_seconds()
    assert isinstance(decision, Dead)
    return None


def test_takedown_is_tried_eight_times_within_20_minutes_and_then_every_quarter_of_an_hour() -> None:
    found = [wait(decided(attempt, takedown=True)) for attempt in range(1, 12)]
    assert found == [5, 15, 30, 60, 120, 300, 600, 900, 900, 900, 900]


def test_refusal_is_tried_seven_times_within_three_hours() -> None:
    found = [wait(decided(attempt, ended("refused", 404))) for attempt in range(1, 8)]
    assert found == [5, 30, 120, 600, 1800, 7200, None]


def test_every_schedule_begins_at_once() -> None:
    assert [
        each[0] for each in (retry.DEFAULT_SCHEDULE, retry.REFUSED_SCHEDULE, retry.TAKEDOWN_SCHEDULE)
    ] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("jitter", "seconds"), [(0.0, 4.0), (0.25, 4.5), (0.5, 5.0), (0.75, 5.5), (1.0, 6.0)]
)
def test_jitter_spreads_a_wait_evenly_by_a_fifth_to_both_sides(jitter: float, seconds: float) -> None:
    assert wait(decided(1, jitter=jitter)) == pytest.approx(seconds, abs=1e-6)
    assert wait(decided(5, jitter=jitter)) == pytest.approx(seconds * 360, abs=1e-6)


def test_next_attempt_is_a_second_away_however_short_the_schedule() -> None:
    assert wait(decided(1, schedule=(0, 0))) == 1.0
    assert wait(decided(1, schedule=(0, 1.0), jitter=0.0)) == 1.0
    assert wait(decided(1, schedule=(0, 1.5))) == 1.5


def test_push_that_could_not_be_sent_has_the_short_schedule() -> None:
    """Its URL, or our own fault, does not mend itself in three days."""
    assert wait(decided(6, ended("unsent"))) == 7200
    assert wait(decided(7, ended("unsent"))) is None


@pytest.mark.parametrize("status", [400, 401, 404, 407, 409, 424, 426, 499])
def test_only_request_timeout_and_too_early_are_taken_for_passing_refusals(status: int) -> None:
    assert wait(decided(7, ended("refused", status))) is None


@pytest.mark.parametrize("status", [408, 425])
def test_passing_refusal_has_the_long_schedule(status: int) -> None:
    assert wait(decided(7, ended("refused", status))) == 6 * 3600


@pytest.mark.parametrize("kind", ["throttled", "redirect", "timeout", "dns", "connect", "tls", "blocked"])
def test_failure_that_is_no_refusal_has_the_long_schedule(kind: str) -> None:
    assert wait(decided(7, ended(kind))) == 6 * 3600


def test_refusal_follows_the_shorter_of_its_endpoints_schedule_and_the_refusals_one() -> None:
    own = (0.0, *[60.0] * 6)
    assert len(own) == len(retry.REFUSED_SCHEDULE)
    assert wait(decided(1, ended("refused", 404), schedule=own)) == 60
    assert wait(decided(1, ended("refused", 404), schedule=(*own, 60.0))) == 5
    assert wait(decided(7, ended("refused", 404), schedule=(*own, 60.0))) is None


def test_endpoint_with_an_empty_schedule_has_the_default_one() -> None:
    assert wait(decided(1, schedule=())) == 5


def test_last_attempt_of_a_schedule_is_the_last() -> None:
    assert wait(decided(13)) is not None
    assert wait(decided(14)) is None


# A takedown's week.


def test_last_try_of_a_takedown_is_at_the_very_end_of_its_week() -> None:
    for attempt in (8, 9, 700):
        assert wait(decided(attempt, takedown=True, age=WEEK - timedelta(minutes=1))) == 60
        assert wait(decided(attempt, takedown=True, age=WEEK - timedelta(minutes=15))) == 900
        assert wait(decided(attempt, takedown=True, age=WEEK - timedelta(minutes=16))) == 900


def test_takedown_is_given_up_when_its_week_is_over_to_the_microsecond() -> None:
    assert wait(decided(8, takedown=True, age=WEEK - timedelta.resolution)) is not None
    assert wait(decided(8, takedown=True, age=WEEK)) is None
    assert wait(decided(8, takedown=True, age=WEEK + timedelta.resolution)) is None


def test_takedown_older_than_a_week_still_gets_all_its_early_attempts() -> None:
    """Its endpoint was switched off all the while."""
    found = [wait(decided(attempt, takedown=True, age=2 * WEEK)) for attempt in range(1, 9)]
    assert found == [5, 15, 30, 60, 120, 300, 600, None]


def test_last_try_of_a_takedown_waits_for_retry_after_all_the_same() -> None:
    asks = ended("throttled", 503, retry_after=3600)
    assert wait(decided(8, asks, takedown=True, age=WEEK - timedelta(minutes=1))) == 3600


# Retry-After.


def test_retry_after_shorter_than_the_schedule_makes_nothing_sooner_but_holds_the_endpoint() -> None:
    assert decided(1, ended("throttled", 429, retry_after=1)) == RetryAt(NOW + 5 * SECOND, NOW + SECOND)


def test_retry_after_of_nothing_holds_the_endpoint_until_now() -> None:
    assert decided(1, ended("throttled", 429, retry_after=0)) == RetryAt(NOW + 5 * SECOND, NOW)


@pytest.mark.parametrize("hours", [23, 24])
def test_retry_after_up_to_a_day_is_obeyed(hours: int) -> None:
    assert wait(decided(1, ended("server_error", 500, retry_after=hours * 3600))) == hours * 3600


def test_retry_after_longer_than_a_day_counts_as_a_day() -> None:
    assert wait(decided(1, ended("server_error", 500, retry_after=24 * 3600 + 1))) == 24 * 3600


# In words, and as values.


def test_delivery_given_up_after_its_only_attempt_says_once() -> None:
    assert decided(1, schedule=(0,)) == Dead("tried once and given up; the last time: did something")
    assert decided(3, schedule=(0,)) == Dead("tried 3 times and given up; the last time: did something")


def test_endpoint_is_switched_off_in_the_partners_own_words() -> None:
    assert decided(1, ended("gone", 410)) == SwitchOff("the partner did something")


@pytest.mark.parametrize("value", [Success(), RetryAt(NOW), Dead("why"), SwitchOff("why")])
def test_decisions_are_values_that_nobody_can_change(value: Decision) -> None:
    with pytest.raises(FrozenInstanceError):
        value.anything = 1  # type: ignore[union-attr]
    assert hash(value) == hash(replace(value))
