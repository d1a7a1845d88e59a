"""A delivery is tried again by the rules of the schedule, Retry-After, 410 and takedowns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.deliveries.attempts import OUTCOMES
from workers.deliver import retry
from workers.deliver.retry import Dead, Decision, RetryAt, RetryPolicy, Success, SwitchOff, decide
from workers.net import outcome
from workers.net.outcome import Outcome

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def an_outcome(kind: str, status: int | None = None, retry_after: float | None = None) -> Outcome:
    return outcome.unsent("did something")._replace(kind=kind, status=status, retry_after=retry_after)


def decided(
    result: Outcome,
    attempt: int = 1,
    *,
    now: datetime = NOW,
    schedule: tuple[float, ...] | None = None,
    first_due: datetime = NOW,
    takedown: bool = False,
    jitter: float = 0.5,
) -> Decision:
    return decide(attempt, result, now, RetryPolicy(schedule, first_due, takedown), jitter)


def waits(
    result: Outcome, *, takedown: bool = False, schedule: tuple[float, ...] | None = None
) -> list[float]:
    """Seconds before each further attempt of a delivery whose every attempt ends with `result` at once."""
    now = NOW
    found: list[float] = []
    for attempt in range(1, 2000):
        decision = decided(result, attempt, now=now, schedule=schedule, takedown=takedown)
        if not isinstance(decision, RetryAt):
            assert isinstance(decision, Dead)
            return found
        found.append((decision.moment - now).total_seconds())
        now = decision.moment
    raise AssertionError("it is never given up")


FAILED = an_outcome("server_error", 500)


def test_the_default_schedule_ends_with_a_last_try_after_72_hours() -> None:
    found = waits(FAILED)
    assert found[:12] == [5, 30, 120, 600, 1800, 7200, 21600, *[43200] * 5]
    assert sum(found) == 72 * 3600


def test_a_refusal_is_tried_again_for_some_hours_and_then_dead() -> None:
    assert waits(an_outcome("refused", 404)) == [5, 30, 120, 600, 1800, 7200]


@pytest.mark.parametrize("status", [408, 425])
def test_too_early_and_request_timeout_are_retried_like_a_server_error(status: int) -> None:
    assert waits(an_outcome("refused", status)) == waits(FAILED)


def test_an_endpoints_own_schedule_is_followed_to_its_end() -> None:
    assert waits(FAILED, schedule=(0, 1, 2, 3)) == [1, 2, 3]
    assert waits(an_outcome("refused", 404), schedule=(0, 7)) == [7]


def test_a_takedown_is_not_given_up_for_7_days_whatever_the_partner_answers() -> None:
    for result in (FAILED, an_outcome("refused", 404), an_outcome("timeout")):
        found = waits(result, takedown=True, schedule=(0, 1))
        assert sum(found) == timedelta(days=7).total_seconds()
        assert max(found) <= 15 * 60


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.8), (0.25, 0.9), (0.5, 1.0), (0.75, 1.1), (1.0, 1.2)])
@pytest.mark.parametrize(("attempt", "seconds"), [(1, 5), (4, 600), (11, 43200)])
def test_jitter_spreads_each_wait_from_20_percent_less_to_20_percent_more(
    attempt: int, seconds: float, jitter: float, share: float
) -> None:
    decision = decided(FAILED, attempt, jitter=jitter)
    assert isinstance(decision, RetryAt)
    assert (decision.moment - NOW).total_seconds() == pytest.approx(seconds * share, abs=1e-5)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 12 * 60), (1.0, 18 * 60)])
def test_jitter_spreads_the_waits_of_takedowns_too(jitter: float, seconds: float) -> None:
    decision = decided(FAILED, 20, takedown=True, jitter=jitter)
    assert isinstance(decision, RetryAt)
    assert (decision.moment - NOW).total_seconds() == pytest.approx(seconds, abs=1e-5)


@pytest.mark.parametrize("kind", ["refused", "unsent"])
def test_an_attempt_that_was_refused_or_never_tried_has_the_short_schedule(kind: str) -> None:
    """The URL or the message is at fault: that is mended by a person, or not at all."""
    assert waits(an_outcome(kind)) == [5, 30, 120, 600, 1800, 7200]
    assert waits(an_outcome(kind), schedule=(0, 7)) == [7]


OTHERS = [kind for kind in OUTCOMES if kind not in ("delivered", "gone", "lost", "refused", "unsent")]


@pytest.mark.parametrize("kind", OTHERS)
def test_every_other_failure_has_the_whole_schedule(kind: str) -> None:
    assert waits(an_outcome(kind)) == list(retry.DEFAULT_SCHEDULE[1:])


def test_an_endpoints_own_schedule_of_immediate_retries_still_waits_a_second() -> None:
    assert waits(FAILED, schedule=(0, 0, 0.5)) == [1, 1]


def test_an_empty_schedule_is_the_default() -> None:
    assert waits(FAILED, schedule=()) == waits(FAILED)


def test_a_takedown_is_tried_often_at_first_and_then_every_15_minutes() -> None:
    found = waits(FAILED, takedown=True)
    assert found[:9] == [5, 15, 30, 60, 120, 300, 600, 900, 900]


def test_a_takedowns_last_try_is_7_days_after_it_was_made_however_the_jitter_falls() -> None:
    made_at = NOW - timedelta(days=7) + timedelta(minutes=5)
    for jitter in (0.0, 0.5, 0.99):
        decision = decided(FAILED, 500, first_due=made_at, takedown=True, jitter=jitter)
        assert decision == RetryAt(NOW + timedelta(minutes=5))
    assert isinstance(decided(FAILED, 500, first_due=NOW - timedelta(days=7), takedown=True), Dead)


def test_giving_up_after_one_attempt_says_once() -> None:
    assert decided(FAILED, 1, schedule=(0,)) == Dead("tried once and given up; the last time: did something")


def test_switching_off_says_that_the_partner_did_it() -> None:
    assert decided(an_outcome("gone", 410)) == SwitchOff("the partner did something")


def test_success_is_delivered_and_410_switches_the_endpoint_off() -> None:
    assert decided(an_outcome("delivered", 200)) == Success()
    assert isinstance(decided(an_outcome("gone", 410)), SwitchOff)
    assert isinstance(decided(an_outcome("gone", 410), takedown=True), SwitchOff)


@pytest.mark.parametrize("attempt", [1, 3, 20])
def test_a_takedown_answered_410_is_tried_again_as_after_any_other_failure(attempt: int) -> None:
    failed = decided(FAILED, attempt, takedown=True)
    assert isinstance(failed, RetryAt)
    gone = decided(an_outcome("gone", 410), attempt, takedown=True)
    assert gone == SwitchOff("the partner did something", failed.moment)
    assert decided(an_outcome("gone", 410), attempt) == SwitchOff("the partner did something", None)


def test_a_takedown_answered_410_for_7_days_is_given_up() -> None:
    decision = decided(an_outcome("gone", 410), 500, first_due=NOW - timedelta(days=7), takedown=True)
    assert isinstance(decision, Dead)


def test_429_and_503_with_retry_after_hold_the_whole_endpoint() -> None:
    for status in (429, 503):
        decision = decided(an_outcome("throttled", status, retry_after=120))
        assert decision == RetryAt(NOW + timedelta(seconds=120), NOW + timedelta(seconds=120))
    assert decided(an_outcome("throttled", 503)) == RetryAt(NOW + timedelta(seconds=5), None)


def test_retry_after_on_other_failures_holds_only_the_delivery() -> None:
    decision = decided(an_outcome("server_error", 500, retry_after=120))
    assert decision == RetryAt(NOW + timedelta(seconds=120), None)


def test_retry_after_counts_up_to_24_hours() -> None:
    decision = decided(an_outcome("throttled", 503, retry_after=1e9))
    assert decision == RetryAt(NOW + DAY, NOW + DAY)


def test_a_delivery_that_was_due_while_its_endpoint_was_paused_for_days_still_gets_its_early_attempts() -> (
    None
):
    decision = decided(FAILED, first_due=NOW - timedelta(days=9))
    assert decision == RetryAt(NOW + timedelta(seconds=5))
    decision = decided(FAILED, first_due=NOW - timedelta(days=9), takedown=True)
    assert decision == RetryAt(NOW + timedelta(seconds=5))


def test_time_under_embargo_or_in_a_pause_is_not_taken_from_the_72_hours() -> None:
    """A story under embargo for a week got nine hours of retries, and then none."""
    decision = decided(FAILED, 9, first_due=NOW - timedelta(days=7))
    assert decision == RetryAt(NOW + timedelta(hours=12))


def test_giving_up_says_how_often_it_was_tried_and_why_it_failed() -> None:
    decision = decided(FAILED, 2, schedule=(0, 1))
    assert decision == Dead("tried 2 times and given up; the last time: did something")


def test_a_push_that_its_own_worker_cut_off_is_due_at_once_however_often() -> None:
    for takedown in (False, True):
        assert decided(an_outcome("lost"), 99, schedule=(0,), takedown=takedown) == RetryAt(NOW)


KINDS = st.sampled_from([kind for kind in OUTCOMES if kind not in ("delivered", "gone", "lost")])
RESULTS = st.builds(
    an_outcome,
    KINDS,
    st.none() | st.integers(300, 599),
    st.none() | st.floats(0, 1e12, allow_nan=False),
)
SCHEDULES = st.none() | st.lists(st.floats(0, 1e6), max_size=20).map(tuple)
JITTERS = st.floats(0, 1, exclude_max=True)
AGES = st.timedeltas(timedelta(0), timedelta(days=30))


@given(RESULTS, st.integers(1, 1000), SCHEDULES, AGES, st.booleans(), JITTERS)
def test_a_retry_is_never_in_the_past_and_never_sooner_than_retry_after(
    result: Outcome,
    attempt: int,
    schedule: tuple[float, ...] | None,
    age: timedelta,
    takedown: bool,
    jitter: float,
) -> None:
    decision = decided(
        result, attempt, schedule=schedule, first_due=NOW - age, takedown=takedown, jitter=jitter
    )
    if isinstance(decision, Dead):
        assert not takedown or age >= timedelta(days=7)
        return
    assert isinstance(decision, RetryAt)
    assert decision.moment > NOW
    if result.retry_after is not None:
        assert decision.moment >= NOW + timedelta(seconds=min(result.retry_after, 86400))
    if decision.holds_endpoint_until:
        assert result.kind == "throttled"
        assert NOW <= decision.holds_endpoint_until <= decision.moment


@given(
    st.lists(RESULTS, min_size=1, max_size=30),
    SCHEDULES,
    st.lists(JITTERS, min_size=1, max_size=30),
    st.booleans(),
)
def test_every_delivery_comes_to_an_end_whatever_each_attempt_brings(
    results: list[Outcome], schedule: tuple[float, ...] | None, jitters: list[float], takedown: bool
) -> None:
    now, attempt = NOW, 1
    while attempt < 2000:
        decision = decided(
            results[attempt % len(results)],
            attempt,
            now=now,
            schedule=schedule,
            first_due=NOW,
            takedown=takedown,
            jitter=jitters[attempt % len(jitters)],
        )
        if isinstance(decision, Dead):
            assert not takedown or now - NOW >= timedelta(days=7)
            return
        assert isinstance(decision, RetryAt)
        assert decision.moment > now
        now, attempt = decision.moment, attempt + 1
    raise AssertionError("it is never given up")


@given(RESULTS, st.integers(1, 20), SCHEDULES, st.booleans(), JITTERS, st.floats(0, 1e6), st.floats(0, 1e6))
def test_asking_to_wait_longer_never_means_sooner(
    result: Outcome,
    attempt: int,
    schedule: tuple[float, ...] | None,
    takedown: bool,
    jitter: float,
    one: float,
    other: float,
) -> None:
    moments = []
    for asked in sorted((one, other)):
        decision = decided(
            result._replace(retry_after=asked), attempt, schedule=schedule, takedown=takedown, jitter=jitter
        )
        moments.append(decision.moment if isinstance(decision, RetryAt) else None)
    assert moments[0] == moments[1] or (moments[0] and moments[1] and moments[0] <= moments[1])


@given(st.integers(1, 20), st.booleans(), JITTERS, JITTERS)
def test_more_jitter_never_means_sooner(attempt: int, takedown: bool, one: float, other: float) -> None:
    moments = []
    for jitter in sorted((one, other)):
        decision = decided(FAILED, attempt, takedown=takedown, jitter=jitter)
        moments.append(decision.moment if isinstance(decision, RetryAt) else None)
    assert moments[0] == moments[1] or (moments[0] and moments[1] and moments[0] <= moments[1])


@given(st.integers(1, 11))
def test_waits_grow_with_the_attempts_even_with_the_worst_jitter(attempt: int) -> None:
    sooner = decided(FAILED, attempt, jitter=0.999)
    later = decided(FAILED, attempt + 1, jitter=0.0)
    assert isinstance(sooner, RetryAt)
    assert isinstance(later, RetryAt)
    assert sooner.moment <= later.moment or attempt >= len(retry.DEFAULT_SCHEDULE) - 6
