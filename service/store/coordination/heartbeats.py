"""Heartbeats: which workers are alive."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from service.store.coordination import leases
from service.store.database.record import Record
from service.store.database.sql import Statement

# A worker not heard of for this long counts as dead, and its claims are sent again.
ALIVE = timedelta(seconds=4)
STALE_AFTER = timedelta(hours=1)


def heartbeat(record: Record, worker: str, *, broker: str, now: datetime) -> None:
    """Notes that this worker is alive. `broker` is 'up', or says in words why Redis cannot be used."""
    with record.writing() as connection:
        _HEARTBEAT.run(connection, {"name": worker, "now": now, "broker": broker})


_HEARTBEAT = Statement("""
    INSERT INTO worker (name, started_at, seen_at, broker) VALUES (:name, :now, :now, :broker)
    ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, broker = excluded.broker""")


def leave(record: Record, worker: str) -> None:
    """Notes that this worker ends in good order: its claims and leases are free at once."""
    with record.writing() as connection:
        _LEAVE.run(connection, {"name": worker})
        leases.release_all(connection, worker)


_LEAVE = Statement("DELETE FROM worker WHERE name = :name")


def stale_workers(record: Record, now: datetime) -> set[tuple[str, int]]:
    """The workers not heard of for an hour, each with its last heartbeat; also those whose heartbeat is an hour ahead.

    By the record's times: clocks differ, so the caller looks twice before it deletes one.
    """
    with record.reading() as connection:
        rows = _STALE.rows(connection, before=now - STALE_AFTER, after=now + STALE_AFTER)
    return {(name, seen_at) for name, seen_at in rows}


_STALE = Statement("SELECT name, seen_at FROM worker WHERE seen_at < :before OR seen_at > :after")


def delete_stale(record: Record, workers: Collection[tuple[str, int]]) -> int:
    """Deletes these workers' rows, except of those heard of since; returns how many."""
    with record.writing() as connection:
        return sum(_DELETE.run(connection, {"name": name, "seen_at": seen_at}) for name, seen_at in workers)


_DELETE = Statement("DELETE FROM worker WHERE name = :name AND seen_at = :seen_at")
