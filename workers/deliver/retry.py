"""Decides when to try again, and when to stop (delivery.md, Retry). Pure: a decision is a value.

A schedule is the seconds to wait before each attempt: the first entry is before the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from workers.net.outcome import Outcome

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
_EARLY = (0.0, 5.0, 30.0, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR)
_HALF_DAYS = [12 * HOUR] * 5
DEFAULT_SPAN = timedelta(hours=72)
# Waits, not a date: time under embargo, or while the endpoint is paused, does not count against them.
DEFAULT_SCHEDULE = (*_EARLY, *_HALF_DAYS, DEFAULT_SPAN.total_seconds() - sum(_EARLY) - sum(_HALF_DAYS))
# A receiver being deployed answers 404 or 401 for minutes; one that still refuses after three hours means it.
REFUSED_SCHEDULE = (0.0, 5.0, 30.0, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR)
TAKEDOWN_SCHEDULE = (0.0, 5.0, 15.0, 30.0, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE)
TAKEDOWN_EVERY = 15 * MINUTE
TAKEDOWN_SPAN = timedelta(days=7)
RETRY_AFTER_MAX = DAY
JITTER = 0.2
SOONEST_RETRY = 1.0  # seconds


class RetryPolicy(NamedTuple):
    """The rules for one delivery. `schedule`: its endpoint's own, None for the default.

    A takedown has its own schedule and is not given up until 7 days after `first_due`, when it was made; one that is
    that old and was not tried yet, because its endpoint was switched off, still gets the early attempts. `tried_for`
    says for how long it was tried, where the time of day alone would end it: a clock that jumped must not.
    """

    schedule: Sequence[float] | None
    first_due: datetime
    takedown: bool
    tried_for: timedelta | None = None

    def age(self, now: datetime) -> timedelta:
        by_clock = now - self.first_due
        return by_clock if self.tried_for is None else min(by_clock, self.tried_for)


@dataclass(frozen=True)
class Success:
    """The partner holds it."""


@dataclass(frozen=True)
class RetryAt:
    """Due again at `moment`. Until `holds_endpoint_until`, if set, the partner wants no other push either."""

    moment: datetime
    holds_endpoint_until: datetime | None = None


@dataclass(frozen=True)
class Dead:
    """Not tried again by itself; an operator may replay it."""

    words: str


@dataclass(frozen=True)
class SwitchOff:
    """The endpoint takes no more pushes: it is switched off, and its deliveries are kept.

    A takedown is due again at `moment`: an outlet that holds the story is asked on.
    """

    words: str
    moment: datetime | None = None


Decision = Success | RetryAt | Dead | SwitchOff
_SUCCESS = Success()


def decide(attempt: int, outcome: Outcome, now: datetime, policy: RetryPolicy, jitter: float) -> Decision:
    """Decides on a delivery whose `attempt`-th attempt (from 1) ended with `outcome`.

    `jitter` is from [0, 1) and spreads each wait by ±20 %. A moment is never before `now` nor before what Retry-After
    asks (up to 24 h). A delivery that its own worker cut off is due at once.
    """
    if outcome.delivered:
        return _SUCCESS
    if outcome.kind == "gone" and not policy.takedown:
        return SwitchOff(_gone_words(outcome))
    if outcome.kind == "lost":
        return RetryAt(now)
    wait = (
        _takedown_wait(attempt, policy.age(now))
        if policy.takedown
        else _wait(attempt, outcome, policy.schedule)
    )
    if wait is None:
        return Dead(_give_up_words(attempt, outcome))
    moment = now + timedelta(seconds=max(SOONEST_RETRY, spread(wait, jitter)))
    if policy.takedown and attempt >= len(TAKEDOWN_SCHEDULE):
        moment = min(moment, now + TAKEDOWN_SPAN - policy.age(now))  # the last try
    if outcome.kind == "gone":
        return SwitchOff(_gone_words(outcome), moment)
    asked = _asked_moment(outcome, now)
    return RetryAt(max(moment, asked or moment), asked if outcome.kind == "throttled" else None)


def spread(seconds: float, jitter: float) -> float:
    """The wait, 20 % shorter to 20 % longer for a `jitter` from 0 to 1: partners that failed together come apart."""
    return seconds * (1 - JITTER + 2 * JITTER * jitter)


def _wait(attempt: int, outcome: Outcome, schedule: Sequence[float] | None) -> float | None:
    """Seconds by the schedule before attempt `attempt + 1`; None if there is none."""
    waits = schedule or DEFAULT_SCHEDULE
    if outcome.kind in ("refused", "unsent") and outcome.status not in (408, 425):
        waits = min(waits, REFUSED_SCHEDULE, key=len)
    return waits[attempt] if attempt < len(waits) else None


def _takedown_wait(attempt: int, age: timedelta) -> float | None:
    if attempt < len(TAKEDOWN_SCHEDULE):
        return TAKEDOWN_SCHEDULE[attempt]
    return TAKEDOWN_EVERY if age < TAKEDOWN_SPAN else None


def _asked_moment(outcome: Outcome, now: datetime) -> datetime | None:
    if outcome.retry_after is None:
        return None
    return now + timedelta(seconds=min(outcome.retry_after, RETRY_AFTER_MAX))


def _gone_words(outcome: Outcome) -> str:
    return f"the partner {outcome.words}"


def _give_up_words(attempt: int, outcome: Outcome) -> str:
    times = "once" if attempt == 1 else f"{attempt} times"
    return f"tried {times} and given up; the last time: {outcome.words}"
