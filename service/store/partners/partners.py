"""Partners: the outlets that republish, each with its API key."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from service.store.database.record import Record
from service.store.errors import AlreadyExists
from service.store.schema.partners import partner


@dataclass(frozen=True)
class Partner:
    id: int
    slug: str
    name: str


@dataclass(frozen=True)
class NewPartner:
    """A partner to be added. `key_hash` is the SHA-256 of its API key's secret part."""

    slug: str
    name: str
    key_id: str
    key_hash: str = field(repr=False)


def add(connection: Connection, new: NewPartner, now: datetime) -> Partner:
    """Adds a partner. Raises AlreadyExists."""
    row = {**vars(new), "created_at": now}
    try:
        number = connection.execute(partner.insert().returning(partner.c.id), row).scalar_one()
    except IntegrityError:
        raise AlreadyExists("partner", new.slug) from None
    return Partner(int(number), new.slug, new.name)


def partner_by_key(record: Record, key_id: str) -> tuple[Partner, str] | None:
    """The partner with this key id and the hash of its key, which the caller compares."""
    with record.reading() as connection:
        row = connection.execute(select(partner).where(partner.c.key_id == key_id)).one_or_none()
    return None if row is None else (Partner(row.id, row.slug, row.name), row.key_hash)


def all_partners(record: Record) -> list[Partner]:
    with record.reading() as connection:
        rows = connection.execute(select(partner.c.id, partner.c.slug, partner.c.name).order_by(partner.c.id))
        return [Partner(*row) for row in rows]
