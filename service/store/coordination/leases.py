"""Who is alive and who does what only one may do at a time. Leases end by themselves; nobody has to die politely."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from service.store.database.record import Record
from service.store.schema.base import to_micros

ALIVE = timedelta(
    seconds=4
)  # a worker not heard of for this long is taken for dead, and what it sent is sent again
FORGET = timedelta(hours=1)

_TAKE = text(
    "INSERT INTO lease (name, holder, until) VALUES (:name, :holder, :until)"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
    " WHERE lease.holder = excluded.holder OR lease.until < :now"
)
_TAKE_OVER = text(
    "UPDATE lease SET holder = :new, until = :ends WHERE name = :name AND holder = :holder AND until = :until"
)
_BEAT = text(
    "INSERT INTO worker (name, started_at, seen_at, broker) VALUES (:name, :now, :now, :broker)"
    " ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, broker = excluded.broker"
)


def take(record: Record, name: str, holder: str, *, now: datetime, lasts: timedelta) -> bool:
    """Takes or keeps the lease; False while another holds it, by this clock (workers/tenure.py)."""
    values = {"name": name, "holder": holder, "now": to_micros(now), "until": to_micros(now + lasts)}
    with record.writing() as connection:
        return connection.execute(_TAKE, values).rowcount == 1


@dataclass(frozen=True)
class Held:
    """A lease as it stands; `until` in its holder's time."""

    name: str
    holder: str
    until: int


def held(record: Record, name: str) -> Held | None:
    with record.reading() as connection:
        row = connection.execute(
            text("SELECT name, holder, until FROM lease WHERE name = :name"), {"name": name}
        ).one_or_none()
    return None if row is None else Held(*row)


def take_over(record: Record, dead: Held, holder: str, *, now: datetime, lasts: timedelta) -> bool:
    """Takes a lease whose holder is known to be dead; False if it has changed since it was read."""
    values = {**asdict(dead), "new": holder, "ends": to_micros(now + lasts)}
    with record.writing() as connection:
        return connection.execute(_TAKE_OVER, values).rowcount == 1


def beat(record: Record, worker: str, *, broker: str, now: datetime) -> None:
    """This worker is alive. `broker` is 'up', or in words why Redis cannot be used."""
    with record.writing() as connection:
        connection.execute(_BEAT, {"name": worker, "now": to_micros(now), "broker": broker})


def leave(record: Record, worker: str) -> None:
    """This worker ends in good order: what it still had on the wire is free at once."""
    with record.writing() as connection:
        connection.execute(text("DELETE FROM worker WHERE name = :name"), {"name": worker})
        connection.execute(text("DELETE FROM lease WHERE holder = :name"), {"name": worker})


def silent(record: Record, now: datetime) -> set[tuple[str, int]]:
    """Workers that seem silent for an hour, with their last heartbeats; or to have been seen in an hour from now."""
    query = text("SELECT name, seen_at FROM worker WHERE seen_at < :before OR seen_at > :after")
    with record.reading() as connection:
        rows = connection.execute(
            query, {"before": to_micros(now - FORGET), "after": to_micros(now + FORGET)}
        )
        return {(name, seen_at) for name, seen_at in rows}


def forget(record: Record, dead: Collection[tuple[str, int]]) -> int:
    """Removes these workers' rows, but for those heard of since; returns how many."""
    rows = [{"name": name, "seen_at": seen_at} for name, seen_at in dead]
    with record.writing() as connection:
        gone = text("DELETE FROM worker WHERE name = :name AND seen_at = :seen_at")
        return sum(connection.execute(gone, row).rowcount for row in rows)


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


def release(record: Record, name: str, holder: str) -> None:
    """Gives the lease back before its time."""
    with record.writing() as connection:
        connection.execute(
            text("DELETE FROM lease WHERE name = :name AND holder = :holder"),
            {"name": name, "holder": holder},
        )
