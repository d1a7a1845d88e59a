"""Recovery: what lost workers had on the wire is given to others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.deliveries import attempts, due_times, state_writes


@dataclass(frozen=True)
class InFlight:
    """A delivery on the wire: its claim, and its worker's last heartbeat, in that worker's time; None: it is gone."""

    id: int
    attempts: int
    worker: str
    beat: int | None

    @property
    def key(self) -> tuple[int, int]:
        return self.id, self.attempts


_IN_FLIGHT = Query(
    InFlight,
    "SELECT d.id, d.attempts, d.lease, w.seen_at FROM delivery d LEFT JOIN worker w ON w.name = d.lease"
    " WHERE d.state = 'sending'",
)


def in_flight(record: Record) -> list[InFlight]:
    """All that is on the wire. The caller judges which of their workers are dead (workers/failure_detector.py)."""
    with record.reading() as connection:
        found = _IN_FLIGHT.all(connection)
    # Asked for an order, both databases would rather read all deliveries by their ids. They are freed in this one.
    return sorted(found, key=lambda each: each.id)


def recover(record: Record, lost: Iterable[InFlight], now: datetime) -> int:
    """Gives back what nobody will settle; returns how much. What was settled or claimed again since stays."""
    freed = 0
    with record.writing() as connection:
        for each in lost:
            if state_writes.recover(connection, each.id, each.attempts, each.worker, now):
                attempts.write_lost(connection, each.id, each.attempts, each.worker, now)
                state_writes.supersede_overtaken(connection, [each.id], now)
                due_times.respect_embargoes(connection, [each.id])
                freed += 1
    return freed


def clock_put_back(record: Record, was: datetime, now: datetime) -> int:
    """The time of day went from `was` back to `now`: news that was due is due still; embargoes keep their time."""
    with record.writing() as connection:
        return due_times.keep_due(connection, was, now)


def clock_was_ahead(record: Record, now: datetime) -> int:
    """Has sent now what a clock that was ahead put off, though nobody saw it go back; returns how much."""
    with record.writing() as connection:
        return due_times.release_late(connection, now)
