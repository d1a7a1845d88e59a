"""Health of an endpoint: breaker, failures in a row, requests to wait. Read, decided and written under its lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, update

from service.store import audit, notices
from service.store.database.sql import Statement
from service.store.deliveries import due_times, resumption
from service.store.redirect_words import with_host_alone
from service.store.schema.base import Instant, from_micros
from service.store.schema.partners import endpoint


@dataclass(frozen=True)
class Health:
    """`state` off with `state_reason` switches the endpoint off; the rest are its columns of the same names."""

    state: str
    state_reason: str | None
    breaker: str
    breaker_until: datetime | None
    breaker_opened: int
    failures: int
    breaker_counts: str | None
    slow_start: int | None
    not_before: datetime | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_failure: str | None
    failing_since: datetime | None
    failing_seconds: float | None = None
    refused: str | None = None


_NAMES = tuple(each.name for each in fields(Health))


@dataclass(frozen=True)
class HealthChange:
    """A change worth telling an operator: `what` is endpoint.off, endpoint.breaker_opened or _closed."""

    endpoint_id: int
    what: str
    words: str


def update_health(
    connection: Connection, ids: Iterable[int], decide: Callable[[int, Health], Health], now: datetime
) -> list[HealthChange]:
    """Applies `decide(endpoint id, health)` to each endpoint, in the caller's transaction. Notes changes."""
    changes: list[HealthChange] = []
    successes: list[dict[str, Any]] = []  # nothing changed of these but their last success: one statement
    for number, *columns in _READ.rows(connection, ids=sorted(ids)):
        before = _health(columns)
        after = _lasting(decide(number, before))
        if after == before:
            continue
        if after == replace(before, last_success_at=now, breaker_counts=after.breaker_counts):
            successes.append({"which": number, "counts": after.breaker_counts, "now": now})
            continue
        changed = asdict(after)
        if after.state != before.state:
            changed["state_since"] = now
        connection.execute(update(endpoint).where(endpoint.c.id == number).values(**changed))
        changes += _changes(
            number, before, after, _resume_after_outage(connection, number, before, after, now)
        )
        if before.failing_since is not None and after.last_success_at != before.last_success_at:
            due_times.hasten_takedowns(connection, number, now, failed_since=before.last_success_at)
    _SUCCEEDED.run_all(connection, successes)
    for change in changes:
        detail = {"words": change.words}
        target = str(change.endpoint_id)
        audit.note(connection, actor="system", action=change.what, target=target, detail=detail, now=now)
        notices.of_endpoint(connection, change.what, change.endpoint_id, change.words, now)
    return changes


def _lasting(health: Health) -> Health:
    """The same in words that may outlive the story which the endpoint was pushed."""
    failure, reason = health.last_failure, health.state_reason
    return replace(
        health,
        last_failure=failure and with_host_alone(failure),
        state_reason=reason and with_host_alone(reason),
    )


_READ = Statement(
    f"SELECT id, {', '.join(_NAMES)} FROM endpoint WHERE id IN :ids[] ORDER BY id",
    locking=" FOR NO KEY UPDATE",
)
_SUCCEEDED = Statement(
    "UPDATE endpoint SET last_success_at = :now, breaker_counts = :counts WHERE id = :which"
)
_MOMENTS = frozenset(name for name in _NAMES if isinstance(endpoint.c[name].type, Instant))


def _health(columns: Sequence[Any]) -> Health:
    values = dict(zip(_NAMES, columns, strict=True))
    return Health(
        **values | {each: from_micros(values[each]) for each in _MOMENTS if values[each] is not None}
    )


def _resume_after_outage(
    connection: Connection, endpoint_id: int, before: Health, after: Health, now: datetime
) -> str:
    """An endpoint whose breaker closes gets what it missed while it failed; returns words for it."""
    if after.breaker != "closed" or before.breaker == "closed" or after.state == "off":
        return ""
    since = before.failing_since or now
    refused = before.refused is not None
    return resumption.revived_words(resumption.revive(connection, endpoint_id, since, now, refused=refused))


def _changes(endpoint_id: int, before: Health, after: Health, revived: str) -> list[HealthChange]:
    changes: list[HealthChange] = []
    if after.state == "off" != before.state:
        changes.append(HealthChange(endpoint_id, "endpoint.off", after.state_reason or "switched off"))
    if after.breaker == "open" and before.breaker == "closed":
        changes.append(
            HealthChange(endpoint_id, "endpoint.breaker_opened", after.last_failure or "it keeps failing")
        )
    if after.breaker == "closed" != before.breaker:
        changes.append(HealthChange(endpoint_id, "endpoint.breaker_closed", f"it answers again{revived}"))
    return changes


def probe_now(connection: Connection, endpoint_id: int, now: datetime) -> bool:
    """Has an open circuit let one push through at once, and no Retry-After hold the endpoint; False if there is none.

    Locks the endpoint.
    """
    return _PROBE_NOW.run(connection, {"endpoint": endpoint_id, "now": now}) == 1


_PROBE_NOW = Statement("""
    UPDATE endpoint SET not_before = NULL, breaker_until = CASE WHEN breaker = 'open' THEN :now ELSE breaker_until END
    WHERE id = :endpoint""")


def reword_failure(connection: Connection, endpoint_id: int, words: Mapping[str, str]) -> None:
    """Replaces words in what an endpoint failed of last, and in the reason why it stands still. Locks it."""
    row = _FAILURE.row(connection, endpoint=endpoint_id)
    if row is None:
        return
    values = {"endpoint": endpoint_id, "failure": row[0], "reason": row[1]}
    for name in ("failure", "reason"):
        for old, new in words.items():
            values[name] = values[name] and values[name].replace(old, new)
    _REWORD.run(connection, values)


_FAILURE = Statement(
    "SELECT last_failure, state_reason FROM endpoint WHERE id = :endpoint", locking=" FOR NO KEY UPDATE"
)
_REWORD = Statement(
    "UPDATE endpoint SET last_failure = :failure, state_reason = :reason WHERE id = :endpoint"
)
