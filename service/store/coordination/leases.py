"""Leases: one holder at a time does what only one may do. They end by themselves; nobody has to die politely."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.schema.base import to_micros


@dataclass(frozen=True)
class Lease:
    """A lease as it stands; `until` is in microseconds of its holder's clock."""

    name: str
    holder: str
    until: int


def acquire(record: Record, name: str, holder: str, *, now: datetime, lasts: timedelta) -> bool:
    """Takes or renews the lease; False while another holds it, by this clock (workers/leader.py)."""
    with record.writing() as connection:
        return (
            _ACQUIRE.run(connection, {"name": name, "holder": holder, "now": now, "until": now + lasts}) == 1
        )


_ACQUIRE = Statement("""
    INSERT INTO lease (name, holder, until) VALUES (:name, :holder, :until)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE lease.holder = excluded.holder OR lease.until < :now""")


def find(record: Record, name: str) -> Lease | None:
    """The lease of this name, None if nobody has it."""
    with record.reading() as connection:
        return _FIND.one(connection, name=name)


_FIND = Query(Lease, "SELECT name, holder, until FROM lease WHERE name = :name")


def take_over(record: Record, dead: Lease, holder: str, *, now: datetime, lasts: timedelta) -> bool:
    """Takes a lease whose holder is known to be dead; False if it has changed since it was read."""
    values = {**asdict(dead), "new": holder, "ends": to_micros(now + lasts)}
    with record.writing() as connection:
        return _TAKE_OVER.run(connection, values) == 1


_TAKE_OVER = Statement("""
    UPDATE lease SET holder = :new, until = :ends
    WHERE name = :name AND holder = :holder AND until = :until""")


def release(record: Record, name: str, holder: str) -> None:
    """Gives the lease back before its time."""
    with record.writing() as connection:
        _RELEASE.run(connection, {"name": name, "holder": holder})


_RELEASE = Statement("DELETE FROM lease WHERE name = :name AND holder = :holder")


def release_all(connection: Connection, holder: str) -> None:
    """Gives back all leases of this holder."""
    _RELEASE_ALL.run(connection, {"holder": holder})


_RELEASE_ALL = Statement("DELETE FROM lease WHERE holder = :holder")
