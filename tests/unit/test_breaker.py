"""The breaker: when it opens, how long it waits, what closes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import outcome
from workers.breaker import Breaker, after, at
from workers.outcome import Outcome

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)


def an_outcome(kind: str) -> Outcome:
    return replace(outcome.unsent("did something"), kind=kind)


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
    assert breaker == Breaker("closed", None, 0, 4)
    breaker = after(breaker, [an_outcome(kind)], NOW, 0.5)
    assert breaker == Breaker("open", NOW + timedelta(seconds=30), 1, 5)


def test_a_success_between_starts_the_count_anew() -> None:
    assert after(Breaker(), [FAILURE] * 4 + [SUCCESS] + [FAILURE] * 4, NOW, 0.5).state == "closed"


@pytest.mark.parametrize("kind", ["refused", "gone", "unsent"])
def test_a_refusal_counts_neither_way(kind: str) -> None:
    breaker = after(Breaker(), [an_outcome(kind)] * 50, NOW, 0.5)
    assert breaker == Breaker()
    assert after(Breaker(), [FAILURE, an_outcome(kind)] * 5, NOW, 0.5).state == "open"


def test_after_its_wait_an_open_one_is_half_open() -> None:
    breaker = Breaker("open", NOW, 1, 5)
    assert at(breaker, NOW - timedelta(seconds=1)) == breaker
    assert at(breaker, NOW).state == "half_open"


@pytest.mark.parametrize("probe", [SUCCESS, REFUSAL])
def test_a_probe_that_is_answered_closes_it(probe: Outcome) -> None:
    assert after(Breaker("open", NOW, 3, 8), [probe], NOW, 0.5) == Breaker()


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_15_minutes() -> None:
    breaker, now, found = after(Breaker(), [FAILURE] * 5, NOW, 0.5), NOW, []
    for _ in range(7):
        assert breaker.until is not None
        found.append((breaker.until - now).total_seconds())
        now = breaker.until
        breaker = after(breaker, [FAILURE], now, 0.5)
    assert found == [30, 60, 120, 240, 480, 900, 900]


def test_what_was_in_flight_when_it_opened_does_not_prolong_the_wait() -> None:
    breaker = after(Breaker(), [FAILURE] * 5, NOW, 0.5)
    assert after(breaker, [FAILURE] * 20, NOW, 0.5).until == breaker.until


BREAKERS = st.builds(
    Breaker,
    st.sampled_from(["closed", "open", "half_open"]),
    st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=1)).map(lambda off: NOW + off),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
)
RESULTS = st.lists(st.sampled_from(outcome.OUTCOMES).map(an_outcome), max_size=30)


@given(BREAKERS, RESULTS, st.floats(0, 1, exclude_max=True))
def test_an_open_one_always_has_an_end_within_18_minutes(
    breaker: Breaker, results: list[Outcome], jitter: float
) -> None:
    found = after(breaker, results, NOW, jitter)
    if found.state == "open" and found.until != breaker.until:
        assert found.until is not None
        assert NOW + timedelta(seconds=24) <= found.until <= NOW + timedelta(minutes=18)


@given(BREAKERS, RESULTS, st.floats(0, 1, exclude_max=True))
def test_a_success_closes_it_from_any_state(breaker: Breaker, results: list[Outcome], jitter: float) -> None:
    assert after(breaker, [*results, SUCCESS], NOW, jitter) == Breaker()
