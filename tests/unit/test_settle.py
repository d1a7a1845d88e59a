"""An endpoint's health follows from its answers, batch by batch, without writing each success."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from service.store.deliveries.claims import ClaimedDelivery
from service.store.deliveries.health import Health
from workers.deliver import retry
from workers.deliver.settle import Attempt, HealthWriteThrottle, endpoints_to_update
from workers.net import outcome

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HEALTHY = Health(**{each.name: None for each in fields(Health)} | {"state": "live", "breaker": "closed",
    "breaker_opened": 0, "failures": 0})  # type: ignore[arg-type]  # fmt: skip


def an_attempt(kind: str, **changes: Any) -> Attempt:
    blank: dict[str, Any] = dict.fromkeys(ClaimedDelivery._fields, 0)
    claimed = ClaimedDelivery(**blank | {"healthy": True, "endpoint_id": 1, "priority": 2} | changes)
    return Attempt(claimed, NOW, outcome.unsent("did something")._replace(kind=kind))


def settle(
    throttle: HealthWriteThrottle,
    health: Health,
    batch: list[Attempt],
    now: datetime,
    *,
    commits: bool = True,
) -> Health:
    verdicts: list[retry.Decision] = [
        retry.Success() if each.outcome.delivered else retry.RetryAt(now) for each in batch
    ]
    ids, decide = endpoints_to_update(batch, verdicts, throttle, now, lambda: 0.5)
    if commits:
        for endpoint_id in ids:
            health = decide(endpoint_id, health)
        throttle.committed(batch, ids, now)
    return health


def test_successes_that_were_not_written_one_by_one_count_in_the_failure_rate() -> None:
    throttle = HealthWriteThrottle()
    health = settle(throttle, HEALTHY, [an_attempt("delivered")], NOW)
    for tenth in range(1, 5):  # within the same second: none of them is written
        unchanged = settle(
            throttle, health, [an_attempt("delivered")] * 10, NOW + timedelta(seconds=tenth / 10)
        )
        assert unchanged is health
    half_failing = [an_attempt("timeout"), an_attempt("delivered")] * 12
    health = settle(throttle, health, half_failing, NOW + timedelta(seconds=1))
    assert health.breaker == "closed"
    assert health.breaker_counts is not None
    assert health.breaker_counts.endswith(", 65, 12]]")  # 12 of 65, not 12 of 24


def test_half_failing_opens_the_breaker() -> None:
    health = settle(
        HealthWriteThrottle(), HEALTHY, [an_attempt("delivered"), an_attempt("timeout")] * 12, NOW
    )
    assert health.breaker == "open"


def test_a_batch_whose_transaction_failed_is_counted_once_when_it_is_settled_again() -> None:
    throttle = HealthWriteThrottle()
    health = settle(throttle, HEALTHY, [an_attempt("delivered")], NOW)
    for _ in range(3):
        settle(throttle, health, [an_attempt("delivered")] * 5, NOW, commits=False)
    settle(throttle, health, [an_attempt("delivered")] * 5, NOW)
    health = settle(throttle, health, [an_attempt("delivered")], NOW + timedelta(seconds=2))
    assert health.breaker_counts is not None
    assert health.breaker_counts.endswith("7, 0]]")


def test_a_clock_put_back_does_not_silence_the_notes_of_success() -> None:
    throttle = HealthWriteThrottle()
    settle(throttle, HEALTHY, [an_attempt("delivered")], NOW)
    assert throttle.due(1, NOW - timedelta(hours=1))
