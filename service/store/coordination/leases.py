"""Who is alive and who does what only one may do at a time. Leases end by themselves; nobody has to die politely."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from service.store.database.record import Record
from service.store.schema.base import to_micros

_TAKE = text(
    "INSERT INTO lease (name, holder, until) VALUES (:name, :holder, :until)"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
    " WHERE lease.holder = excluded.holder OR lease.until < :now"
)
_TAKE_OVER = text(
    "UPDATE lease SET holder = :new, until = :ends WHERE name = :name AND holder = :holder AND until = :until"
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


def release(record: Record, name: str, holder: str) -> None:
    """Gives the lease back before its time."""
    with record.writing() as connection:
        connection.execute(
            text("DELETE FROM lease WHERE name = :name AND holder = :holder"),
            {"name": name, "holder": holder},
        )
