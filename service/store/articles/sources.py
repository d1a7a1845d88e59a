"""Sources: the content systems that may send articles, with their keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import IntegrityError

from service.store.database.keyring import Keyring
from service.store.database.record import Record
from service.store.errors import AlreadyExists, NotFound
from service.store.schema.articles import source


@dataclass(frozen=True)
class Source:
    """`secret` is the signing secret in the clear: keep it out of logs. `key_hash`: SHA-256 of the API key's secret."""

    id: int
    slug: str
    name: str
    adapter: str
    key_id: str
    key_hash: str
    secret: str

    def __repr__(self) -> str:
        return f"Source({self.slug!r})"


@dataclass(frozen=True)
class NewSource:
    """A source to be added. `secret` is its signing secret in the clear, `key_hash` the SHA-256 of its API key's."""

    slug: str
    name: str
    adapter: str
    key_id: str
    key_hash: str = field(repr=False)
    secret: str = field(repr=False)


def add(connection: Connection, keyring: Keyring, new: NewSource, now: datetime) -> Source:
    """Adds a source, its secret sealed. Raises AlreadyExists."""
    row = {
        "slug": new.slug,
        "name": new.name,
        "adapter": new.adapter,
        "key_id": new.key_id,
        "key_hash": new.key_hash,
        "secret_sealed": keyring.seal(new.secret.encode()),
        "created_at": now,
    }
    try:
        number = connection.execute(source.insert().returning(source.c.id), row).scalar_one()
    except IntegrityError:
        raise AlreadyExists("source", new.slug) from None
    return Source(int(number), **vars(new))


def by_slug(record: Record, slug: str) -> Source:
    """Raises NotFound."""
    found = _where(record, source.c.slug == slug)
    if not found:
        raise NotFound("source", slug)
    return found[0]


def by_key(record: Record, key_id: str) -> Source | None:
    """The active source with this key id; the caller compares the hash."""
    found = _where(record, (source.c.key_id == key_id) & source.c.active)
    return found[0] if found else None


def active(record: Record) -> list[Source]:
    """All sources that may post, in the order in which they were added."""
    return _where(record, source.c.active)


def _where(record: Record, condition: Any) -> list[Source]:
    with record.reading() as connection:
        rows = connection.execute(select(source).where(condition).order_by(source.c.id)).all()
    return [_source(record, row) for row in rows]


def _source(record: Record, row: Row[Any]) -> Source:
    secret = record.keyring.open(row.secret_sealed).decode()
    return Source(row.id, row.slug, row.name, row.adapter, row.key_id, row.key_hash, secret)
