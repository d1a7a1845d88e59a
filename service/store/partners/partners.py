"""Partners and their endpoints: who republishes, where pushes go, what each wants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from service.store import audit
from service.store.database.record import Record
from service.store.errors import AlreadyExists
from service.store.schema.partners import partner


@dataclass(frozen=True)
class Partner:
    id: int
    slug: str
    name: str


def add_partner(
    record: Record,
    slug: str,
    name: str,
    *,
    key_id: str,
    key_hash: str,
    now: datetime,
    actor: str = "operator",
) -> Partner:
    """Adds a partner. Raises AlreadyExists."""
    row = {"slug": slug, "name": name, "key_id": key_id, "key_hash": key_hash, "created_at": now}
    try:
        with record.writing() as connection:
            number = connection.execute(partner.insert().returning(partner.c.id), row).scalar_one()
            audit.note(
                connection, actor=actor, action="partner.added", target=slug, detail={"name": name}, now=now
            )
    except IntegrityError:
        raise AlreadyExists("partner", slug) from None
    return Partner(int(number), slug, name)


def partner_by_key(record: Record, key_id: str) -> tuple[Partner, str] | None:
    """The partner with this key id and the hash of its key, which the caller compares."""
    with record.reading() as connection:
        row = connection.execute(select(partner).where(partner.c.key_id == key_id)).one_or_none()
    return None if row is None else (Partner(row.id, row.slug, row.name), row.key_hash)


def all_partners(record: Record) -> list[Partner]:
    with record.reading() as connection:
        rows = connection.execute(select(partner.c.id, partner.c.slug, partner.c.name).order_by(partner.c.id))
        return [Partner(*row) for row in rows]
