"""How an endpoint fares: breaker, failures in a row, what it asked of us. Read, decided and written under its lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from service.store import audit, notices, revivals
from service.store.schema import endpoint


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


_NAMES = tuple(each.name for each in fields(Health))


@dataclass(frozen=True)
class Turn:
    """A change worth telling an operator: `what` is endpoint.off, endpoint.breaker_opened or _closed."""

    endpoint_id: int
    what: str
    words: str


def update_health(
    connection: Connection, ids: Iterable[int], decide: Callable[[int, Health], Health], now: datetime
) -> list[Turn]:
    """Applies `decide(endpoint id, health)` to each endpoint, in the caller's transaction; notes what turned."""
    turns: list[Turn] = []
    well: list[dict[str, Any]] = []  # nothing to say of these but that they took something: one statement
    query = (
        select(endpoint.c.id, *(endpoint.c[name] for name in _NAMES))
        .where(endpoint.c.id.in_(sorted(ids)))
        .order_by(endpoint.c.id)
        .with_for_update(key_share=True)
    )
    for row in connection.execute(query).all():
        before = Health(*row[1:])
        after = decide(row.id, before)
        if after == before:
            continue
        if after == replace(before, last_success_at=now, breaker_counts=after.breaker_counts):
            well.append({"which": row.id, "counts": after.breaker_counts})
            continue
        changed = asdict(after)
        if after.state != before.state:
            changed["state_since"] = now
        connection.execute(update(endpoint).where(endpoint.c.id == row.id).values(**changed))
        turns += _turns(row.id, before, after, _welcome_back(connection, row.id, before, after, now))
    if well:
        values = {"last_success_at": now, "breaker_counts": bindparam("counts")}
        connection.execute(update(endpoint).where(endpoint.c.id == bindparam("which")).values(values), well)
    for turn in turns:
        detail = {"words": turn.words}
        target = str(turn.endpoint_id)
        audit.note(connection, actor="system", action=turn.what, target=target, detail=detail, now=now)
        notices.of_endpoint(connection, turn.what, turn.endpoint_id, turn.words, now)
    return turns


def _welcome_back(
    connection: Connection, endpoint_id: int, before: Health, after: Health, now: datetime
) -> str:
    """An endpoint whose breaker closes gets what it missed while it failed; returns what was done, in words."""
    if after.breaker != "closed" or before.breaker == "closed" or after.state == "off":
        return ""
    return revivals.revived_words(revivals.revive(connection, endpoint_id, before.failing_since or now, now))


def _turns(endpoint_id: int, before: Health, after: Health, revived: str) -> list[Turn]:
    turns: list[Turn] = []
    if after.state == "off" != before.state:
        turns.append(Turn(endpoint_id, "endpoint.off", after.state_reason or "switched off"))
    if after.breaker == "open" and before.breaker == "closed":
        turns.append(Turn(endpoint_id, "endpoint.breaker_opened", after.last_failure or "it keeps failing"))
    if after.breaker == "closed" != before.breaker:
        turns.append(Turn(endpoint_id, "endpoint.breaker_closed", f"it answers again{revived}"))
    return turns
