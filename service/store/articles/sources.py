"""Sources: the content systems that may send articles, with their keys."""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.exc import IntegrityError

from service.store.access import replaced_keys
from service.store.access.replaced_keys import KeyOwner, ReplacedKey
from service.store.articles.refusals import TAKEN_AT
from service.store.database.keyring import Keyring
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.errors import AlreadyExists, NotFound, NotPossible
from service.store.schema.articles import source
from service.store.schema.base import from_micros


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


def by_key(record: Record, key_id: str, now: datetime) -> Source | None:
    """The active source with this key id, the newest or a replaced one; the caller compares the hash."""
    return next((each for each in with_keys(record, now) if each.key_id == key_id), None)


def with_keys(record: Record, now: datetime) -> list[Source]:
    """The active sources, each once for every key and secret that works now: the newest, then the replaced ones."""
    newest = active(record)
    by_id = {each.id: each for each in newest}
    with record.reading() as connection:
        replaced = replaced_keys.of_sources(connection, now)
    older = [
        dataclasses.replace(
            by_id[each.owner],
            key_id=each.key_id,
            key_hash=each.key_hash,
            secret=record.keyring.open(each.secret_sealed).decode(),
        )
        for each in replaced
        if each.owner in by_id
    ]
    return [*newest, *older]


@dataclass(frozen=True)
class NewSourceKeys:
    """A source's new API key and signing secret, and until when the old ones work."""

    key_id: str
    key_hash: str = field(repr=False)
    secret: str = field(repr=False)
    old_until: datetime


def rotate(connection: Connection, keyring: Keyring, slug: str, new: NewSourceKeys, now: datetime) -> None:
    """Gives a source a new key and secret; all older ones end at the sooner of their time and `old_until`.

    Raises NotFound, NotPossible for a source that was removed.
    """
    row = _locked(connection, slug)
    if not row.active:
        raise NotPossible(f"the source {slug!r} was removed and stays so; add one under another name")
    owner = KeyOwner(source_id=row.id)
    old = ReplacedKey(row.key_id, row.key_hash, row.secret_sealed, new.old_until)
    replaced_keys.shorten(connection, owner, new.old_until, now)
    replaced_keys.add(connection, owner, old, now)
    sealed = keyring.seal(new.secret.encode())
    values = {"key_id": new.key_id, "key_hash": new.key_hash, "secret_sealed": sealed}
    connection.execute(update(source).where(source.c.id == row.id).values(values))


def set_secret(
    connection: Connection, keyring: Keyring, slug: str, new: tuple[str, datetime], now: datetime
) -> None:
    """Gives a source another secret, and leaves its key; the secrets before it work until the time beside it.

    Raises NotFound, NotPossible for a source that was removed.
    """
    row = _locked(connection, slug)
    if not row.active:
        raise NotPossible(f"the source {slug!r} was removed and stays so; add one under another name")
    secret, old_until = new
    owner = KeyOwner(source_id=row.id)
    no_key = f"secret-{secrets.token_hex(8)}"  # the old secret works on, and no key with it
    replaced_keys.shorten(connection, owner, old_until, now)
    replaced_keys.add(connection, owner, ReplacedKey(no_key, "", row.secret_sealed, old_until), now)
    sealed = keyring.seal(secret.encode())
    connection.execute(update(source).where(source.c.id == row.id).values(secret_sealed=sealed))


def set_name(connection: Connection, source_id: int, name: str) -> None:
    """Gives a source another name for people."""
    connection.execute(update(source).where(source.c.id == source_id).values(name=name))


def remove(connection: Connection, slug: str) -> bool:
    """Withdraws all keys of a source at once and for good; whether that is new. Its articles stay. Raises NotFound."""
    row = _locked(connection, slug)
    replaced_keys.end_all(connection, KeyOwner(source_id=row.id))
    connection.execute(update(source).where(source.c.id == row.id).values(active=False, key_hash=""))
    return bool(row.active)


def _locked(connection: Connection, slug: str) -> Row[Any]:
    query = select(source).where(source.c.slug == slug).with_for_update(key_share=True)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("source", slug)
    return row


def active(record: Record) -> list[Source]:
    """All sources that may post, in the order in which they were added."""
    return _where(record, source.c.active)


def activity(record: Record, source_id: int) -> datetime | None:
    """When a source last sent something that was kept, changed an article, or was a repeat."""
    with record.surveying() as connection:
        found = [
            _ACTIVITY_OF_HOOKS.value(connection, source=source_id),
            _ACTIVITY_OF_ARTICLES.value(connection, source=source_id),
            _ACTIVITY_OF_POSTS.value(connection, source=source_id),
        ]
    return max((from_micros(int(each)) for each in found if each is not None), default=None)


_ACTIVITY_OF_HOOKS = Statement("SELECT max(last_received_at) FROM hook WHERE source_id = :source")
_ACTIVITY_OF_ARTICLES = Statement("SELECT max(changed_at) FROM article WHERE source_id = :source")

_ACTIVITY_OF_POSTS = Statement(f"SELECT {TAKEN_AT} FROM source s WHERE s.id = :source")


def _where(record: Record, condition: Any) -> list[Source]:
    with record.reading() as connection:
        rows = connection.execute(select(source).where(condition).order_by(source.c.id)).all()
    return [_source(record, row) for row in rows]


def _source(record: Record, row: Row[Any]) -> Source:
    secret = record.keyring.open(row.secret_sealed).decode()
    return Source(row.id, row.slug, row.name, row.adapter, row.key_id, row.key_hash, secret)
