"""Who is alive and who does what only one may do at a time. Leases end by themselves; nobody has to die politely."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from service.store.record import Record
from service.store.schema import to_micros

ALIVE = timedelta(
    seconds=4
)  # a worker not heard of for this long is taken for dead, and what it sent is sent again
FORGET = timedelta(hours=1)

_TAKE = text(
    "INSERT INTO lease (name, holder, until) VALUES (:name, :holder, :until)"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
    " WHERE lease.holder = excluded.holder OR lease.until < :now"
)
_BEAT = text(
    "INSERT INTO worker (name, started_at, seen_at, broker) VALUES (:name, :now, :now, :broker)"
    " ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, broker = excluded.broker"
)


def take(record: Record, name: str, holder: str, *, now: datetime, lasts: timedelta) -> bool:
    """Takes or keeps the lease; False while another holds it."""
    values = {"name": name, "holder": holder, "now": to_micros(now), "until": to_micros(now + lasts)}
    with record.writing() as connection:
        return connection.execute(_TAKE, values).rowcount == 1


def beat(record: Record, worker: str, *, broker: str, now: datetime) -> None:
    """This worker is alive. `broker` is 'up', or in words why Redis cannot be used."""
    with record.writing() as connection:
        connection.execute(_BEAT, {"name": worker, "now": to_micros(now), "broker": broker})


def leave(record: Record, worker: str) -> None:
    """This worker ends in good order: what it still had on the wire is free at once."""
    with record.writing() as connection:
        connection.execute(text("DELETE FROM worker WHERE name = :name"), {"name": worker})
        connection.execute(text("DELETE FROM lease WHERE holder = :name"), {"name": worker})


def forget_dead(record: Record, now: datetime) -> None:
    """Removes the rows of workers that have been silent for an hour."""
    with record.writing() as connection:
        connection.execute(
            text("DELETE FROM worker WHERE seen_at < :before"), {"before": to_micros(now - FORGET)}
        )


# What a dead worker had on the wire. It may have arrived, so it counts as reached, and goes again under the same id.
LOST = (
    "state = 'sending' AND (lease_until < :now OR NOT EXISTS"
    " (SELECT 1 FROM worker w WHERE w.name = delivery.lease AND w.seen_at >= :alive))"
)
_NEWER = (
    "EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = delivery.article_id"
    " AND o.endpoint_id = delivery.endpoint_id AND o.revision > delivery.revision)"
)
_NOTE_LOST = text(
    "INSERT INTO attempt (delivery_id, number, started_at, outcome, words, worker)"
    " SELECT id, attempts, :now, 'lost', 'the worker ended while sending; it may have arrived', lease"
    f" FROM delivery WHERE {LOST}"
)
_FREE = text(
    "UPDATE delivery SET state = 'waiting', reached = true, due_at = :now, lease = NULL, lease_until = NULL"
    f" WHERE {LOST} RETURNING id"
)
# A statement of its own: it sees what was routed while the one before waited for a lock.
_SUPERSEDE_FREED = text(
    "UPDATE delivery SET state = 'superseded', settled_at = :now,"
    " superseded_by = (SELECT max(o.revision) FROM delivery o"
    " WHERE o.article_id = delivery.article_id AND o.endpoint_id = delivery.endpoint_id)"
    f" WHERE id = :id AND state = 'waiting' AND NOT ordered AND {_NEWER}"
)


def free_lost(record: Record, now: datetime) -> int:
    """Gives back what workers had claimed that are dead, or whose lease ran out; returns how many."""
    values: dict[str, Any] = {"now": to_micros(now), "alive": to_micros(now - ALIVE)}
    with record.writing() as connection:
        if not connection.execute(_NOTE_LOST, values).rowcount:
            return 0
        freed = connection.execute(_FREE, values).scalars().all()
        if freed:
            connection.execute(_SUPERSEDE_FREED, [{"id": each, "now": values["now"]} for each in freed])
        return len(freed)


def release(record: Record, name: str, holder: str) -> None:
    """Gives the lease back before its time."""
    with record.writing() as connection:
        connection.execute(
            text("DELETE FROM lease WHERE name = :name AND holder = :holder"),
            {"name": name, "holder": holder},
        )
