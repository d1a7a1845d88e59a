"""The circuit breaker of an endpoint (delivery.md, "One partner's trouble is its own"). Pure.

Closed: pushes flow. Open: deliveries wait and use up no attempts. Half open, once `until` has passed: one
push goes as a probe; its success closes the breaker, its failure opens it again for twice as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from workers.outcome import Outcome

OPENS_AT = 5  # failures in a row
FIRST_WAIT = 30.0  # seconds
LONGEST_WAIT = 900.0
JITTER = 0.2

# What the partner answered about this push says nothing about the endpoint's health; unsent is our own fault.
_NEUTRAL = frozenset({"refused", "gone", "unsent"})


@dataclass(frozen=True)
class Breaker:
    """`state` is closed, open or half_open; `until` is when an open one lets a probe through.

    `opened` counts how often it opened since it was last closed, `failures` the failures in a row.
    """

    state: str = "closed"
    until: datetime | None = None
    opened: int = 0
    failures: int = 0


def after(breaker: Breaker, outcomes: Iterable[Outcome], now: datetime, jitter: float) -> Breaker:
    """The breaker after these outcomes, in the order they came. `jitter` in [0, 1) spreads the wait by ±20 %.

    A refusal (4xx but 429) counts neither way while closed; as a probe's answer it shows the endpoint up.
    """
    breaker = at(breaker, now)
    for outcome in outcomes:
        breaker = _after_one(breaker, outcome, now, jitter)
    return breaker


def at(breaker: Breaker, now: datetime) -> Breaker:
    """The breaker as time alone leaves it: an open one whose wait is over is half open."""
    if breaker.state == "open" and (breaker.until is None or breaker.until <= now):
        return replace(breaker, state="half_open")
    return breaker


def _after_one(breaker: Breaker, outcome: Outcome, now: datetime, jitter: float) -> Breaker:
    if outcome.delivered or (breaker.state == "half_open" and outcome.kind == "refused"):
        return Breaker()
    if outcome.kind in _NEUTRAL:
        return breaker
    failures = breaker.failures + 1
    if breaker.state == "half_open" or (breaker.state == "closed" and failures >= OPENS_AT):
        until = now + timedelta(seconds=_wait(breaker.opened, jitter))
        return Breaker("open", until, breaker.opened + 1, failures)
    return replace(breaker, failures=failures)


def _wait(opened: int, jitter: float) -> float:
    """Seconds: 30 s doubling to 15 min, ±20 %."""
    return min(FIRST_WAIT * 2.0 ** min(opened, 10), LONGEST_WAIT) * (1 - JITTER + 2 * JITTER * jitter)
