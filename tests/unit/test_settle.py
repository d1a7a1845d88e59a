"""What answers do to an endpoint's health, batch by batch, without writing each success."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from service.store.deliveries.claims import Claimed
from service.store.deliveries.health import Health
from workers.deliver import retry
from workers.deliver.settle import Sent, Watch, touched
from workers.net import outcome

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HEALTHY = Health(**{each.name: None for each in fields(Health)} | {"state": "live", "breaker": "closed",
    "breaker_opened": 0, "failures": 0})  # type: ignore[arg-type]  # fmt: skip


def sent(kind: str, **changes: Any) -> Sent:
    blank: dict[str, Any] = dict.fromkeys(Claimed._fields, 0)
    claimed = Claimed(**blank | {"healthy": True, "endpoint_id": 1, "priority": 2} | changes)
    return Sent(claimed, NOW, outcome.unsent("did something")._replace(kind=kind))


def turn(watch: Watch, health: Health, batch: list[Sent], now: datetime, *, commits: bool = True) -> Health:
    verdicts: list[retry.Decision] = [
        retry.Delivered() if each.outcome.delivered else retry.RetryAt(now) for each in batch
    ]
    ids, decide = touched(batch, verdicts, watch, now, lambda: 0.5)
    if commits:
        for endpoint_id in ids:
            health = decide(endpoint_id, health)
        watch.committed(batch, ids, now)
    return health


def test_successes_that_were_not_written_one_by_one_count_in_the_failure_rate() -> None:
    watch = Watch()
    health = turn(watch, HEALTHY, [sent("delivered")], NOW)
    for tenth in range(1, 5):  # within the same second: none of them is written
        unchanged = turn(watch, health, [sent("delivered")] * 10, NOW + timedelta(seconds=tenth / 10))
        assert unchanged is health
    half_failing = [sent("timeout"), sent("delivered")] * 12
    health = turn(watch, health, half_failing, NOW + timedelta(seconds=1))
    assert health.breaker == "closed"
    assert health.breaker_counts is not None
    assert health.breaker_counts.endswith(", 65, 12]]")  # 12 of 65, not 12 of 24


def test_half_failing_opens_the_breaker() -> None:
    health = turn(Watch(), HEALTHY, [sent("delivered"), sent("timeout")] * 12, NOW)
    assert health.breaker == "open"


def test_a_batch_whose_transaction_failed_is_counted_once_when_it_is_settled_again() -> None:
    watch = Watch()
    health = turn(watch, HEALTHY, [sent("delivered")], NOW)
    for _ in range(3):
        turn(watch, health, [sent("delivered")] * 5, NOW, commits=False)
    turn(watch, health, [sent("delivered")] * 5, NOW)
    health = turn(watch, health, [sent("delivered")], NOW + timedelta(seconds=2))
    assert health.breaker_counts is not None
    assert health.breaker_counts.endswith("7, 0]]")


def test_a_clock_put_back_does_not_silence_the_notes_of_success() -> None:
    watch = Watch()
    turn(watch, HEALTHY, [sent("delivered")], NOW)
    assert watch.due(1, NOW - timedelta(hours=1))
