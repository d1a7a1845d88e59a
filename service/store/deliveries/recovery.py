"""Recovery: what lost workers had on the wire is given to others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from service.store.database.record import Record
from service.store.schema.base import to_micros


@dataclass(frozen=True)
class Flying:
    """A delivery on the wire: its claim, and its worker's last heartbeat, in that worker's time; None: it is gone."""

    id: int
    attempts: int
    worker: str
    beat: int | None

    @property
    def key(self) -> tuple[int, int]:
        return self.id, self.attempts


def flying(record: Record) -> list[Flying]:
    """All that is on the wire. Who of their workers is dead is for the caller to judge (workers/lookout.py)."""
    query = text(
        "SELECT d.id, d.attempts, d.lease, w.seen_at FROM delivery d LEFT JOIN worker w ON w.name = d.lease"
        " WHERE d.state = 'sending'"
    )
    with record.reading() as connection:
        found = [Flying(*row) for row in connection.execute(query)]
    # Asked for an order, both databases would rather read all deliveries by their ids. Freed they are in this one.
    return sorted(found, key=lambda each: each.id)


# It may have arrived, so it counts as reached, and goes again under the same id.
_FREE = text(
    "UPDATE delivery SET state = 'waiting', reached = true, due_at = :now, lease = NULL, lease_until = NULL"
    " WHERE id = :id AND state = 'sending' AND attempts = :attempts AND lease = :worker"
)


_NOTE_LOST = text(
    "INSERT INTO attempt (delivery_id, number, started_at, outcome, words, worker)"
    " VALUES (:id, :attempts, :now, 'lost', 'the worker ended while sending; it may have arrived', :worker)"
)


# A statement of its own: it sees what was routed while the one before waited for a lock.
_SUPERSEDE_FREED = text(
    "UPDATE delivery SET state = 'superseded', settled_at = :now,"
    " superseded_by = (SELECT max(o.revision) FROM delivery o"
    " WHERE o.article_id = delivery.article_id AND o.endpoint_id = delivery.endpoint_id)"
    " WHERE id = :id AND state = 'waiting' AND NOT ordered AND EXISTS (SELECT 1 FROM delivery o"
    " WHERE o.article_id = delivery.article_id"
    " AND o.endpoint_id = delivery.endpoint_id AND o.revision > delivery.revision)"
)


def free(record: Record, lost: Iterable[Flying], now: datetime) -> int:
    """Gives back what nobody will settle; returns how much. What was settled or claimed again since stays."""
    freed = 0
    with record.writing() as connection:
        for each in lost:
            values: dict[str, Any] = {**asdict(each), "now": to_micros(now)}
            if connection.execute(_FREE, values).rowcount:
                connection.execute(_NOTE_LOST, values)
                connection.execute(_SUPERSEDE_FREED, values)
                freed += 1
    return freed


_DUE_STILL = text(
    "UPDATE delivery SET due_at = (SELECT CASE WHEN a.embargo_until > :now AND delivery.priority > 0"
    "  THEN a.embargo_until ELSE :now END FROM article a WHERE a.id = delivery.article_id)"
    " WHERE state = 'pending' AND due_at > :now AND due_at <= :was"
)


def clock_put_back(record: Record, was: datetime, now: datetime) -> int:
    """The time of day went from `was` back to `now`: news that was due is due still; embargoes keep their time."""
    with record.writing() as connection:
        return connection.execute(_DUE_STILL, {"was": to_micros(was), "now": to_micros(now)}).rowcount
