"""Settling: a partner's answer becomes rows to write. Pure: the record is the caller's."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from service.store.deliveries.claims import ClaimedDelivery
from service.store.deliveries.health import Health
from service.store.deliveries.settlements import Settlement
from service.store.deliveries.states import State
from service.store.redirect_words import with_host_alone
from workers.deliver import breaker, retry
from workers.net.outcome import Outcome

SWITCH_OFF_AFTER = timedelta(days=5)  # of failing without one success
LONGEST_STEP = timedelta(hours=15)  # between two attempts: the longest wait of the schedule, and a fifth
HEALTHY_WRITE_EVERY = timedelta(seconds=1)  # how often a healthy endpoint's last success is written


class Attempt(NamedTuple):
    """A claimed delivery that was sent, and the outcome."""

    claimed: ClaimedDelivery
    started_at: datetime
    outcome: Outcome


class HealthWriteThrottle:
    """Has the health of a healthy endpoint written once a second, so that a thousand successes are one write.

    Those not written yet are counted here, for the breaker's failure rate.
    """

    def __init__(self) -> None:
        self._written: dict[int, datetime] = {}
        self._unwritten: dict[int, int] = {}

    def due(self, endpoint_id: int, now: datetime) -> bool:
        written = self._written.get(endpoint_id)
        return written is None or not timedelta(0) <= now - written < HEALTHY_WRITE_EVERY

    def unwritten(self, endpoint_id: int) -> int:
        return self._unwritten.get(endpoint_id, 0)

    def committed(self, attempts: Sequence[Attempt], ids: Collection[int], now: datetime) -> None:
        """The attempts are settled, and the health of the endpoints `ids` is written.

        A failure is followed closely: the next success is written at once, for takedowns wait for it.
        """
        failed = {each.claimed.endpoint_id for each in attempts if not each.outcome.delivered}
        for endpoint_id in ids:
            self._unwritten.pop(endpoint_id, None)
            if endpoint_id in failed:
                self._written.pop(endpoint_id, None)
            else:
                self._written[endpoint_id] = now
        for each in attempts:
            if (endpoint_id := each.claimed.endpoint_id) not in ids:
                self._unwritten[endpoint_id] = self._unwritten.get(endpoint_id, 0) + 1


def ends_by_age(attempt: Attempt, now: datetime) -> bool:
    """Whether the time of day alone says that a takedown was tried for long enough: then the attempts are asked."""
    claimed = attempt.claimed
    return claimed.priority == 0 and now - claimed.created_at >= retry.TAKEDOWN_SPAN


def verdict_on(
    attempt: Attempt, now: datetime, jitter: float, tried_for: timedelta | None = None
) -> retry.Decision:
    """The retry rule's decision on this attempt. `jitter` in [0, 1) spreads the retries."""
    claimed = attempt.claimed
    policy = retry.RetryPolicy(claimed.schedule, claimed.created_at, claimed.priority == 0, tried_for)
    return retry.decide(claimed.attempts - claimed.forgiven, attempt.outcome, now, policy, jitter)


def settlement_of(attempt: Attempt, verdict: retry.Decision, now: datetime) -> Settlement:
    """The row to write. A switched-off endpoint keeps its deliveries: they wait until it is back."""
    state, due_at = State.WAITING, now
    match verdict:
        case retry.Success():
            state = State.DELIVERED
        case retry.Dead():
            state = State.DEAD
        case retry.RetryAt(moment=moment):
            due_at = moment
        case retry.SwitchOff(moment=again):
            due_at = again or now
    outcome = attempt.outcome
    return Settlement(
        delivery=attempt.claimed,
        state=state,
        due_at=due_at,
        reached=outcome.reached,
        status=outcome.status,
        words=outcome.words,
        attempt=_columns(attempt),
    )


def _columns(attempt: Attempt) -> dict[str, Any]:
    outcome = attempt.outcome
    headers = orjson.dumps(outcome.response_headers).decode() if outcome.response_headers else None
    return {
        "started_at": attempt.started_at,
        "outcome": outcome.kind,
        "status": outcome.status,
        "words": outcome.words,
        "lookup_ms": outcome.timings.lookup,
        "connect_ms": outcome.timings.connect,
        "tls_ms": outcome.timings.tls,
        "first_byte_ms": outcome.timings.first_byte,
        "total_ms": outcome.timings.total,
        "address": outcome.address,
        "response_headers": headers,
        "response_body": outcome.body or None,
    }


def facts_of(attempt: Attempt, state: str) -> dict[str, object]:
    """An attempt as the log has it."""
    return {
        "delivery": attempt.claimed.public_id,
        "endpoint": attempt.claimed.endpoint_id,
        "attempt": attempt.claimed.attempts,
        "outcome": attempt.outcome.kind,
        "status": attempt.outcome.status,
        "state": state,
        "words": with_host_alone(attempt.outcome.words),
    }


def endpoints_to_update(
    attempts: Sequence[Attempt],
    verdicts: Sequence[retry.Decision],
    throttle: HealthWriteThrottle,
    now: datetime,
    jitter: Callable[[], float],
) -> tuple[list[int], Callable[[int, Health], Health]]:
    """The endpoints whose health must be written, and the function that has it follow from their answers, in order."""
    per_endpoint: dict[int, list[tuple[Attempt, retry.Decision]]] = {}
    for each, verdict in zip(attempts, verdicts, strict=True):
        per_endpoint.setdefault(each.claimed.endpoint_id, []).append((each, verdict))
    ids = [
        endpoint_id
        for endpoint_id, results in per_endpoint.items()
        if any(_troubled(each, verdict) for each, verdict in results) or throttle.due(endpoint_id, now)
    ]

    def decide(endpoint_id: int, health: Health) -> Health:
        if unwritten := throttle.unwritten(endpoint_id):
            counts = breaker.add_counts(_counts(health), unwritten, 0, now)
            health = replace(health, breaker_counts=json.dumps(counts))
        for each, verdict in per_endpoint[endpoint_id]:
            health = health_after(health, each.outcome, verdict, now, jitter(), each.claimed.article_id)
        return health

    return ids, decide


def _troubled(attempt: Attempt, verdict: retry.Decision) -> bool:
    return not isinstance(verdict, retry.Success) or not attempt.claimed.healthy


def health_after(
    health: Health,
    outcome: Outcome,
    verdict: retry.Decision,
    now: datetime,
    jitter: float,
    article: int = 0,
) -> Health:
    """An endpoint's health after an answer about an article: breaker, Retry-After, 410, five days without a success."""
    if outcome.kind == "lost":
        return health
    state = breaker.Breaker(
        health.breaker,
        health.breaker_until,
        health.breaker_opened,
        health.failures,
        _counts(health),
        health.slow_start,
        tuple(json.loads(health.refused)) if health.refused else (),
    )
    state = breaker.after(state, [outcome], now, jitter, article)
    health = replace(
        health,
        breaker=state.state,
        breaker_until=state.until,
        breaker_opened=state.opened,
        failures=state.failures,
        breaker_counts=json.dumps(state.counts) if state.counts else None,
        slow_start=state.slow_start,
        refused=json.dumps(state.refused) if state.refused else None,
    )
    if isinstance(verdict, retry.Success):
        return replace(health, last_success_at=now, failing_since=None, failing_seconds=None)
    failing = _failing_seconds(health, now)
    health = replace(
        health,
        failing_seconds=failing,
        last_failure_at=now,
        last_failure=_failure_words(health, outcome),
        failing_since=health.failing_since or now,
    )
    if isinstance(verdict, retry.RetryAt) and verdict.holds_endpoint_until is not None:
        not_before = max(verdict.holds_endpoint_until, health.not_before or verdict.holds_endpoint_until)
        health = replace(health, not_before=not_before)
    if isinstance(verdict, retry.SwitchOff):
        return replace(health, state="off", state_reason=verdict.words)
    if health.state != "off" and failing >= SWITCH_OFF_AFTER.total_seconds():
        return replace(
            health, state="off", state_reason=f"failing for five days; last: {health.last_failure}"
        )
    return health


# What an answer of these says, where no push was ever accepted.
_NEVER_ACCEPTED = {
    **dict.fromkeys((400, 401, 403), ": the secret is probably not the one we sign with"),
    **dict.fromkeys((404, 405), ": the address is probably not the right one"),
}


def _failure_words(health: Health, outcome: Outcome) -> str:
    if outcome.kind != "refused" or health.last_success_at is not None:
        return outcome.words
    return f"{outcome.words}; it has never accepted a push{_NEVER_ACCEPTED.get(outcome.status or 0, '')}"


def _failing_seconds(health: Health, now: datetime) -> float:
    """For how long it has failed, with this failure: a clock that jumps adds one step, not the whole jump."""
    if health.failing_since is None or health.last_failure_at is None:
        return 0.0
    step = min(max(now - health.last_failure_at, timedelta(0)), LONGEST_STEP)
    if health.failing_seconds is None:  # it has been failing since the version before, which did not count
        known = min(max(health.last_failure_at - health.failing_since, timedelta(0)), SWITCH_OFF_AFTER / 2)
        return (known + step).total_seconds()
    return health.failing_seconds + step.total_seconds()


def _counts(health: Health) -> breaker.Counts:
    slots = json.loads(health.breaker_counts) if health.breaker_counts else []
    return tuple((int(slot), int(attempts), int(failures)) for slot, attempts, failures in slots)
