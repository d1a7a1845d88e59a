"""What tells whether all is well: workers seen, work overdue, what gave up, endpoints that get nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from service.store.database.record import Record
from service.store.schema.articles import event
from service.store.schema.deliveries import delivery
from service.store.schema.operations import worker
from service.store.schema.partners import endpoint, partner


@dataclass(frozen=True)
class Beat:
    """A worker's last sign of life. `broker`: 'up', or in words why it cannot use Redis."""

    name: str
    started_at: datetime
    seen_at: datetime
    broker: str


@dataclass(frozen=True)
class Backlog:
    """What waits: how much, and since when the oldest. `overdue`: due deliveries whose endpoint is well."""

    unrouted: int
    unrouted_since: datetime | None
    overdue: int
    overdue_since: datetime | None


@dataclass(frozen=True)
class Trouble:
    """An endpoint that gets nothing, fails now, or has deliveries that were given up."""

    endpoint: int
    partner: str
    state: str
    reason: str | None
    dead: int
    failures: int  # in a row, up to now
    last_failure: str | None


def beats(record: Record) -> list[Beat]:
    """The workers' signs of life, the latest first."""
    columns = (worker.c.name, worker.c.started_at, worker.c.seen_at, worker.c.broker)
    with record.reading() as connection:
        return [Beat(*row) for row in connection.execute(select(*columns).order_by(worker.c.seen_at.desc()))]


def backlog(record: Record, now: datetime) -> Backlog:
    waiting = delivery.c.state.in_(("pending", "waiting")) & (delivery.c.due_at <= now)
    flowing = (endpoint.c.state == "live") & (endpoint.c.breaker == "closed")
    free = endpoint.c.not_before.is_(None) | (endpoint.c.not_before <= now)
    with record.reading() as connection:
        unrouted = connection.execute(
            select(func.count(), func.min(event.c.occurred_at)).where(event.c.routed_at.is_(None))
        ).one()
        overdue = connection.execute(
            select(func.count(), func.min(delivery.c.due_at)).join(endpoint).where(waiting & flowing & free)
        ).one()
    return Backlog(*unrouted, *overdue)


def troubles(record: Record) -> list[Trouble]:
    """The endpoints that need an operator, in the order in which they were added."""
    dead = (
        select(func.count())
        .where((delivery.c.endpoint_id == endpoint.c.id) & (delivery.c.state == "dead"))
        .scalar_subquery()
    )
    query = (
        select(
            endpoint.c.id,
            partner.c.slug,
            endpoint.c.state,
            endpoint.c.state_reason,
            dead,
            endpoint.c.failures,
            endpoint.c.last_failure,
        )
        .join(partner)
        .where((endpoint.c.state != "live") | (dead > 0) | (endpoint.c.failures > 0))
        .order_by(endpoint.c.id)
    )
    with record.reading() as connection:
        return [Trouble(*row) for row in connection.execute(query)]
