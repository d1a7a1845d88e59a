"""Heartbeats: which workers are alive."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import text

from service.store.database.record import Record
from service.store.schema.base import to_micros

ALIVE = timedelta(
    seconds=4
)  # a worker not heard of for this long is taken for dead, and what it sent is sent again


FORGET = timedelta(hours=1)


_BEAT = text(
    "INSERT INTO worker (name, started_at, seen_at, broker) VALUES (:name, :now, :now, :broker)"
    " ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, broker = excluded.broker"
)


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
