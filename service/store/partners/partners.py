"""Partners: the outlets that republish, each with its API key."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.exc import IntegrityError

from service.store.access import replaced_keys
from service.store.access.replaced_keys import KeyOwner, ReplacedKey
from service.store.database.keyring import Keyring
from service.store.database.record import Record
from service.store.errors import AlreadyExists, NotFound, NotPossible
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


def partner_by_key(record: Record, key_id: str, now: datetime) -> tuple[Partner, str] | None:
    """The partner with this key id, the newest or a replaced one, and the hash that the caller compares."""
    with record.reading() as connection:
        row = connection.execute(select(partner).where(partner.c.key_id == key_id)).one_or_none()
        if row is not None:
            return None if row.removed_at else (Partner(row.id, row.slug, row.name), row.key_hash)
        old = replaced_keys.of_partner_key(connection, key_id, now)
        if old is None:
            return None
        row = connection.execute(select(partner).where(partner.c.id == old.owner)).one()
    return None if row.removed_at else (Partner(row.id, row.slug, row.name), old.key_hash)


def all_partners(record: Record) -> list[Partner]:
    """The partners in the order in which they were added, but for the removed."""
    query = select(partner.c.id, partner.c.slug, partner.c.name).where(partner.c.removed_at.is_(None))
    with record.reading() as connection:
        return [Partner(*row) for row in connection.execute(query.order_by(partner.c.id))]


@dataclass(frozen=True)
class NewKey:
    """A partner's new API key, and until when the old one works."""

    key_id: str
    key_hash: str = field(repr=False)
    old_until: datetime


def rotate(connection: Connection, keyring: Keyring, slug: str, new: NewKey, now: datetime) -> None:
    """Gives a partner a new key; all older ones end at the sooner of their time and `old_until`.

    Raises NotFound, NotPossible for a partner that was removed.
    """
    row = _locked(connection, slug)
    if row.removed_at is not None:
        raise NotPossible(f"the partner {slug!r} was removed and stays so; add one under another name")
    owner = KeyOwner(partner_id=row.id)
    replaced_keys.shorten(connection, owner, new.old_until, now)
    old = ReplacedKey(row.key_id, row.key_hash, keyring.seal(b""), new.old_until)
    replaced_keys.add(connection, owner, old, now)
    values = {"key_id": new.key_id, "key_hash": new.key_hash}
    connection.execute(update(partner).where(partner.c.id == row.id).values(values))


def remove(connection: Connection, slug: str, now: datetime) -> tuple[int, bool]:
    """Withdraws all keys of a partner for good; returns its row, and whether that is new. Raises NotFound."""
    row = _locked(connection, slug)
    replaced_keys.end_all(connection, KeyOwner(partner_id=row.id))
    if row.removed_at is None:
        values = {"key_hash": "", "removed_at": now}
        connection.execute(update(partner).where(partner.c.id == row.id).values(values))
    return int(row.id), row.removed_at is None


def require_present(connection: Connection, partner_id: int) -> None:
    """Raises NotPossible for a partner that was removed."""
    query = select(partner.c.slug, partner.c.removed_at).where(partner.c.id == partner_id)
    row = connection.execute(query).one()
    if row.removed_at is not None:
        raise NotPossible(f"the partner {row.slug!r} was removed and stays so; add one under another name")


def _locked(connection: Connection, slug: str) -> Row[Any]:
    query = select(partner).where(partner.c.slug == slug).with_for_update(key_share=True)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("partner", slug)
    return row
