"""The circuit breaker of an endpoint (delivery.md, "One partner's trouble is its own"). Pure.

Closed: pushes flow. Open: deliveries wait and use up no attempts. Half open, once `until` has passed: one push goes as
a probe; its success closes the breaker, its failure opens it again for twice as long. A breaker that was closed by a
probe starts slowly: 1, 2, 4, 8 … in flight, as long as nothing fails.
A refusal of one story is that story's; refusals of five different ones in a row, without a success between them, are
the endpoint's, as five other failures are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from workers.deliver.retry import JITTER, spread
from workers.net.outcome import Outcome

OPENS_AT = 5  # failures in a row
RATE_OF = 20  # attempts within RATE_WINDOW, of which half failed, open it too
RATE_WINDOW = 60  # seconds
SLOT = 10  # seconds: attempts that are counted together
FIRST_WAIT = 30.0  # seconds
LONGEST_WAIT = 900.0
FULL_FROM = 64  # no endpoint has a higher cap

# Gone switches the endpoint off; unsent and lost are our own doing.
_NEUTRAL = frozenset({"gone", "unsent", "lost"})

Counts = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Breaker:
    """`state` is closed, open or half_open; `until` is when an open one lets a probe through.

    `opened` counts how often it opened since it was last closed, `failures` the failures in a row. `counts`: the
    last minute's slots of ten seconds as (number of the slot since 1970, attempts, failures), the oldest first.
    `slow_start`: how many may be in flight though the cap is higher; None for the cap. `refused`: the articles that
    were refused since the last success, each once, the newest five.
    """

    state: str = "closed"
    until: datetime | None = None
    opened: int = 0
    failures: int = 0
    counts: Counts = ()
    slow_start: int | None = None
    refused: tuple[int, ...] = ()


def after(
    breaker: Breaker, outcomes: Iterable[Outcome], now: datetime, jitter: float, article: int = 0
) -> Breaker:
    """The breaker after these outcomes of pushes of one article, in the order they came.

    `jitter` in [0, 1) spreads the wait by ±20 %. A refusal (4xx but 429) counts once an article. As a probe's answer
    it shows the endpoint up, unless it is of the fifth article in a row; of one that was refused before it says
    nothing.
    """
    breaker = at(breaker, now)
    for outcome in outcomes:
        breaker = _after_one(breaker, outcome, _Timing(now, jitter), article)
    return breaker


class _Timing(NamedTuple):
    now: datetime
    jitter: float


def at(breaker: Breaker, now: datetime) -> Breaker:
    """The breaker as time alone leaves it: an open one whose wait is over is half open.

    A wait longer than any that is given was set by a clock that has been put back since: it is over.
    """
    if breaker.state == "open" and not _waits(breaker.until, now):
        return replace(breaker, state="half_open")
    return breaker


def add_counts(counts: Counts, attempts: int, failures: int, now: datetime) -> Counts:
    """The counts with these attempts added; slots older than a minute, or later than now, are dropped."""
    slot = int(now.timestamp()) // SLOT
    slots = [each for each in counts if slot - RATE_WINDOW // SLOT < each[0] <= slot]
    if slots and slots[-1][0] == slot:
        attempts, failures = attempts + slots[-1][1], failures + slots[-1][2]
        slots.pop()
    return (*slots, (slot, attempts, failures)) if attempts else tuple(slots)


def _waits(until: datetime | None, now: datetime) -> bool:
    return until is not None and now < until <= now + timedelta(seconds=LONGEST_WAIT * (1 + JITTER))


def _after_one(breaker: Breaker, outcome: Outcome, timing: _Timing, article: int) -> Breaker:
    if breaker.state == "half_open" and outcome.delivered:
        return Breaker(slow_start=1)
    if breaker.state == "open" or outcome.kind in _NEUTRAL:
        return breaker  # open: it was on the wire when the breaker opened, or is a takedown, which waits for none
    if outcome.delivered:
        return _after_success(breaker, timing.now)
    if outcome.kind == "refused":
        return _after_refusal(breaker, article, timing)
    counts = add_counts(breaker.counts, 1, 1, timing.now)
    failures = breaker.failures + 1
    if breaker.state == "half_open" or _too_many(failures + len(breaker.refused), counts):
        return _opened(replace(breaker, failures=failures), timing)
    slow = None if breaker.slow_start is None else 1
    return replace(breaker, failures=failures, counts=counts, slow_start=slow)


def _after_refusal(breaker: Breaker, article: int, timing: _Timing) -> Breaker:
    if article in breaker.refused:
        return breaker
    refused = (*breaker.refused, article)[-OPENS_AT:]
    if breaker.state == "half_open":
        if len(refused) < OPENS_AT:
            return Breaker(slow_start=1, refused=refused)
        return _opened(replace(breaker, refused=refused), timing)
    if breaker.failures + len(refused) >= OPENS_AT:
        return _opened(replace(breaker, refused=refused), timing)
    return replace(breaker, refused=refused)


def _opened(breaker: Breaker, timing: _Timing) -> Breaker:
    until = timing.now + timedelta(seconds=_wait(breaker.opened, timing.jitter))
    return Breaker("open", until, breaker.opened + 1, breaker.failures, refused=breaker.refused)


def _after_success(breaker: Breaker, now: datetime) -> Breaker:
    # One more per success is twice as many per round.
    slow = None if breaker.slow_start is None or breaker.slow_start >= FULL_FROM else breaker.slow_start + 1
    return Breaker(counts=add_counts(breaker.counts, 1, 0, now), slow_start=slow)


def _too_many(failures: int, counts: Counts) -> bool:
    attempts = sum(each[1] for each in counts)
    failed = sum(each[2] for each in counts)
    return failures >= OPENS_AT or (attempts >= RATE_OF and failed * 2 >= attempts)


def _wait(opened: int, jitter: float) -> float:
    """Seconds: 30 s doubling to 15 min, ±20 %."""
    return spread(min(FIRST_WAIT * 2.0 ** min(opened, 10), LONGEST_WAIT), jitter)
