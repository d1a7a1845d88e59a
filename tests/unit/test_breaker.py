"""The breaker opens, waits and closes by the outcomes that it is told of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.deliveries.attempts import OUTCOMES
from workers.deliver.breaker import Breaker, add_counts, after, at
from workers.net import outcome
from workers.net.outcome import Outcome

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)


def an_outcome(kind: str) -> Outcome:
    return outcome.unsent("did something")._replace(kind=kind)


FAILURE, SUCCESS, REFUSAL = an_outcome("timeout"), an_outcome("delivered"), an_outcome("refused")
COUNTED = [
    "timeout",
    "connect",
    "dns",
    "tls",
    "closed",
    "garbled",
    "server_error",
    "throttled",
    "redirect",
    "blocked",
]


@pytest.mark.parametrize("kind", COUNTED)
def test_five_failures_in_a_row_open_it_for_30_seconds(kind: str) -> None:
    breaker = after(Breaker(), [an_outcome(kind)] * 4, NOW, 0.5)
    assert (breaker.state, breaker.failures) == ("closed", 4)
    breaker = after(breaker, [an_outcome(kind)], NOW, 0.5)
    assert breaker == Breaker("open", NOW + timedelta(seconds=30), 1, 5)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 24), (0.25, 27), (0.5, 30), (0.75, 33), (1.0, 36)])
def test_jitter_spreads_the_wait_from_20_percent_less_to_20_percent_more(
    jitter: float, seconds: float
) -> None:
    breaker = after(Breaker(), [FAILURE] * 5, NOW, jitter)
    assert breaker.until is not None
    assert (breaker.until - NOW).total_seconds() == pytest.approx(seconds, abs=1e-5)


def test_the_longest_wait_is_18_minutes_and_a_longer_one_was_set_by_a_wrong_clock() -> None:
    longest = NOW + timedelta(minutes=18)
    assert after(Breaker("half_open", None, 9, 20), [FAILURE], NOW, 1.0).until == longest
    assert at(Breaker("open", longest, 9, 20), NOW).state == "open"
    assert at(Breaker("open", longest + timedelta(seconds=1), 9, 20), NOW).state == "half_open"
    assert at(Breaker("open", None, 9, 20), NOW).state == "half_open"


def test_a_failed_probe_counts_as_one_more_opening() -> None:
    breaker = after(Breaker("open", NOW, 3, 8), [FAILURE], NOW, 0.5)
    assert breaker == Breaker("open", NOW + timedelta(seconds=240), 4, 9)


def test_a_success_between_starts_the_count_anew() -> None:
    assert after(Breaker(), [FAILURE] * 4 + [SUCCESS] + [FAILURE] * 4, NOW, 0.5).state == "closed"


@pytest.mark.parametrize("kind", ["gone", "unsent", "lost"])
def test_an_answer_that_is_not_about_its_health_counts_neither_way(kind: str) -> None:
    breaker = after(Breaker(), [an_outcome(kind)] * 50, NOW, 0.5)
    assert breaker == Breaker()
    assert after(Breaker(), [FAILURE, an_outcome(kind)] * 5, NOW, 0.5).state == "open"


def test_after_its_wait_an_open_one_is_half_open() -> None:
    breaker = Breaker("open", NOW, 1, 5)
    assert at(breaker, NOW - timedelta(seconds=1)) == breaker
    assert at(breaker, NOW).state == "half_open"


def refused(breaker: Breaker, *articles: int) -> Breaker:
    """The breaker after one story each of these articles was refused."""
    for article in articles:
        breaker = after(breaker, [REFUSAL], NOW, 0.5, article)
    return breaker


def test_one_bad_story_that_is_refused_again_and_again_leaves_it_closed() -> None:
    breaker = refused(Breaker(), *[7] * 50)
    assert breaker == Breaker(refused=(7,))
    assert refused(breaker, 8, 7, 8, 7, 8, 9, 7, 9, 8).state == "closed"


def test_five_stories_refused_in_a_row_open_it_for_30_seconds() -> None:
    breaker = refused(Breaker(), 1, 2, 3, 4)
    assert breaker == Breaker(refused=(1, 2, 3, 4))
    until = NOW + timedelta(seconds=30)
    assert refused(breaker, 5) == Breaker("open", until, 1, 0, refused=(1, 2, 3, 4, 5))


def test_story_that_was_taken_between_refusals_starts_their_count_anew() -> None:
    breaker = after(refused(Breaker(), 1, 2, 3, 4), [SUCCESS], NOW, 0.5, 5)
    assert breaker.refused == ()
    assert refused(breaker, 6, 7, 8, 9).state == "closed"


def test_refusals_and_other_failures_in_a_row_count_together() -> None:
    assert after(refused(Breaker(), 1, 2), [FAILURE] * 2, NOW, 0.5).state == "closed"
    assert after(refused(Breaker(), 1, 2), [FAILURE] * 3, NOW, 0.5).state == "open"
    assert refused(after(Breaker(), [FAILURE] * 3, NOW, 0.5), 1).state == "closed"
    assert refused(after(Breaker(), [FAILURE] * 3, NOW, 0.5), 1, 2).state == "open"


def test_probe_that_succeeds_closes_it_and_forgets_what_was_refused() -> None:
    breaker = Breaker("open", NOW, 3, 8, refused=(1, 2, 3, 4, 5))
    assert after(breaker, [SUCCESS], NOW, 0.5) == Breaker(slow_start=1)


def test_probe_that_is_refused_after_an_outage_shows_it_up_and_closes_it() -> None:
    assert refused(Breaker("open", NOW, 3, 8), 7) == Breaker(slow_start=1, refused=(7,))
    breaker = Breaker("open", NOW, 3, 8, refused=(1, 2, 3))
    assert refused(breaker, 4) == Breaker(slow_start=1, refused=(1, 2, 3, 4))


def test_probe_of_another_story_that_is_refused_opens_it_for_twice_as_long_up_to_15_minutes() -> None:
    breaker, now, waits = refused(Breaker(), 1, 2, 3, 4, 5), NOW, []
    for article in range(6, 13):
        assert breaker.until is not None
        waits.append((breaker.until - now).total_seconds())
        now = breaker.until
        breaker = after(breaker, [REFUSAL], now, 0.5, article)
        assert breaker.refused == tuple(range(article - 4, article + 1))
    assert waits == [30, 60, 120, 240, 480, 900, 900]


def test_probe_of_a_story_that_was_refused_before_says_nothing_and_the_next_one_goes() -> None:
    breaker = Breaker("half_open", NOW, 1, 0, refused=(1, 2, 3, 4, 5))
    assert refused(breaker, 3, 5, 1) == breaker


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_15_minutes() -> None:
    breaker, now, found = after(Breaker(), [FAILURE] * 5, NOW, 0.5), NOW, []
    for _ in range(7):
        assert breaker.until is not None
        found.append((breaker.until - now).total_seconds())
        now = breaker.until
        breaker = after(breaker, [FAILURE], now, 0.5)
    assert found == [30, 60, 120, 240, 480, 900, 900]


def test_pushes_in_flight_when_it_opened_do_not_prolong_the_wait() -> None:
    breaker = after(Breaker(), [FAILURE] * 5, NOW, 0.5)
    assert after(breaker, [FAILURE] * 20, NOW, 0.5) == breaker


def test_pushes_in_flight_when_it_opened_do_not_close_it_either() -> None:
    breaker = after(Breaker(), [SUCCESS, FAILURE] * 10, NOW, 0.5)
    assert breaker.state == "open"
    assert after(breaker, [SUCCESS], NOW, 0.5) == breaker


def paced(pattern: str, breaker: Breaker, seconds_each: float) -> tuple[Breaker, datetime]:
    """The breaker after outcomes at even intervals: '+' a success, '-' a failure."""
    now = NOW
    for sign in pattern:
        breaker = after(breaker, [SUCCESS if sign == "+" else FAILURE], now, 0.5)
        now += timedelta(seconds=seconds_each)
    return breaker, now


def test_half_of_twenty_failing_within_a_minute_opens_it_though_never_five_in_a_row() -> None:
    assert paced("+-" * 9, Breaker(), 1)[0].state == "closed"
    assert paced("+-" * 10, Breaker(), 1)[0].state == "open"


def test_nineteen_attempts_of_which_half_fail_are_too_few_to_open_it() -> None:
    assert paced("-" + "+-" * 9, Breaker(), 1)[0].state == "closed"
    assert paced("-" + "+-" * 9 + "-", Breaker(), 1)[0].state == "open"


def test_fewer_than_half_failing_leaves_it_closed() -> None:
    assert paced("++-" * 200, Breaker(), 0.1)[0].state == "closed"


def test_failures_spread_over_more_than_a_minute_leave_it_closed() -> None:
    assert paced("+-" * 100, Breaker(), 4)[0].state == "closed"


def test_closed_by_a_probe_it_starts_slowly_and_doubles_with_every_round() -> None:
    breaker, rounds = after(Breaker("open", NOW, 1, 5), [SUCCESS], NOW, 0.5), []
    while breaker.slow_start is not None:
        rounds.append(breaker.slow_start)
        breaker = after(breaker, [SUCCESS] * breaker.slow_start, NOW, 0.5)
    assert rounds == [1, 2, 4, 8, 16, 32, 64]


def test_a_failure_in_the_slow_start_begins_it_anew() -> None:
    breaker = after(Breaker(slow_start=8), [FAILURE], NOW, 0.5)
    assert (breaker.state, breaker.slow_start) == ("closed", 1)


def test_an_open_one_is_not_stuck_when_the_clock_is_put_back() -> None:
    breaker = after(Breaker(), [FAILURE] * 5, NOW, 0.5)
    assert at(breaker, NOW - timedelta(hours=1)).state == "half_open"
    assert at(breaker, NOW - timedelta(minutes=1)).state == "open"


SLOTS = st.lists(
    st.tuples(st.integers(-20, 2), st.integers(1, 99)), max_size=8, unique_by=lambda each: each[0]
)


@given(SLOTS, st.integers(0, 50))
def test_counts_cover_the_last_minute_and_nothing_else(slots: list[tuple[int, int]], more: int) -> None:
    this = int(NOW.timestamp()) // 10
    before = tuple((this + offset, attempts, 0) for offset, attempts in sorted(slots))
    found = add_counts(before, more, 0, NOW)
    assert sum(each[1] for each in found) == more + sum(n for offset, n in slots if -6 < offset <= 0)
    assert [each[0] for each in found] == sorted({each[0] for each in found})


COUNTS = st.lists(
    st.tuples(st.integers(-8, 1), st.integers(1, 50)).map(
        lambda each: (int(NOW.timestamp()) // 10 + each[0], each[1], each[1] // 2)
    ),
    max_size=7,
    unique_by=lambda each: each[0],
).map(lambda slots: tuple(sorted(slots)))
BREAKERS = st.builds(
    Breaker,
    st.sampled_from(["closed", "open", "half_open"]),
    st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=1)).map(lambda off: NOW + off),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    COUNTS,
    st.none() | st.integers(1, 64),
    st.lists(st.integers(0, 9), max_size=5, unique=True).map(tuple),
)
RESULTS = st.lists(st.sampled_from(OUTCOMES).map(an_outcome), max_size=30)


@given(BREAKERS, RESULTS, st.floats(0, 1, exclude_max=True))
def test_an_open_one_always_has_an_end_within_18_minutes(
    breaker: Breaker, results: list[Outcome], jitter: float
) -> None:
    found = after(breaker, results, NOW, jitter)
    if found.state == "open" and found.until != breaker.until:
        assert found.until is not None
        assert NOW + timedelta(seconds=24) <= found.until <= NOW + timedelta(minutes=18)


@given(BREAKERS, RESULTS, st.floats(0, 1, exclude_max=True))
def test_a_success_after_the_wait_closes_it_whatever_came_before(
    breaker: Breaker, results: list[Outcome], jitter: float
) -> None:
    breaker = after(breaker, results, NOW, jitter)
    found = after(breaker, [SUCCESS], breaker.until or NOW, jitter)
    assert (found.state, found.until, found.opened, found.failures) == ("closed", None, 0, 0)
