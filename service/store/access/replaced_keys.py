"""Keys of sources and partners that were rotated: each works on until its overlap is over, then it is deleted.

The newest key stands with its source or partner. Whoever withdraws a key deletes it here, in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.database.sql import Query, Statement, insert
from service.store.schema.partners import replaced_key

OVERLAP = timedelta(hours=24)
KEYS_KEPT = 20  # of one source or partner: who rotates more often within the overlap ends the oldest


@dataclass(frozen=True)
class KeyOwner:
    """A source or a partner, by its row."""

    source_id: int | None = None
    partner_id: int | None = None


@dataclass(frozen=True)
class ReplacedKey:
    """`secret_sealed` is the source's signing secret of that time, sealed; an empty one for a partner."""

    key_id: str
    key_hash: str = field(repr=False)
    secret_sealed: bytes = field(repr=False)
    until: datetime


class OwnedKey(NamedTuple):
    """A replaced key with the row of its source or partner."""

    owner: int
    key_id: str
    key_hash: str
    secret_sealed: bytes
    until: datetime


def add(connection: Connection, owner: KeyOwner, key: ReplacedKey, now: datetime) -> None:
    """Keeps a key that was replaced just now. Without an overlap nothing is kept."""
    _DELETE_OVER.run(connection, {"now": now})
    if key.until > now:
        _ADD.run(connection, {**vars(owner), **vars(key)})
        _DELETE_OLDEST.run(connection, {**_ids(owner), "kept": KEYS_KEPT})


def shorten(connection: Connection, owner: KeyOwner, until: datetime, now: datetime) -> None:
    """Ends the replaced keys of a source or partner no later than this; at once if that is now."""
    _SHORTEN.run(connection, {**_ids(owner), "until": until})
    _DELETE_OVER.run(connection, {"now": now})


def end_all(connection: Connection, owner: KeyOwner) -> int:
    """Withdraws every replaced key of a source or partner at once; returns how many."""
    return _END.run(connection, _ids(owner))


def of_sources(connection: Connection, now: datetime) -> list[OwnedKey]:
    """The replaced keys of sources that still work."""
    return _OF_SOURCES.all(connection, now=now)


def of_partner_key(connection: Connection, key_id: str, now: datetime) -> OwnedKey | None:
    """The partner's replaced key with this id, if it still works."""
    return _OF_PARTNER.one(connection, key_id=key_id, now=now)


def ends(connection: Connection, owner: KeyOwner, now: datetime) -> list[datetime]:
    """Until when each replaced key of a source or partner works, the soonest first."""
    return [each.until for each in _ENDS.all(connection, now=now, **_ids(owner))]


def _ids(owner: KeyOwner) -> dict[str, int]:
    return {"source_id": owner.source_id or 0, "partner_id": owner.partner_id or 0}


@dataclass(frozen=True)
class _End:
    until: datetime


_OWNED = "coalesce(source_id, 0) = :source_id AND coalesce(partner_id, 0) = :partner_id"
_ADD = insert(replaced_key, "source_id partner_id key_id key_hash secret_sealed until")
_DELETE_OVER = Statement("DELETE FROM replaced_key WHERE until <= :now")
_DELETE_OLDEST = Statement(
    f"DELETE FROM replaced_key WHERE {_OWNED}"
    f" AND id NOT IN (SELECT id FROM replaced_key WHERE {_OWNED} ORDER BY id DESC LIMIT :kept)"
)
_SHORTEN = Statement(f"UPDATE replaced_key SET until = :until WHERE {_OWNED} AND until > :until")
_END = Statement(f"DELETE FROM replaced_key WHERE {_OWNED}")
_COLUMNS = "key_id, key_hash, secret_sealed, until"
_OF_SOURCES = Query(
    OwnedKey,
    f"SELECT source_id, {_COLUMNS} FROM replaced_key WHERE source_id IS NOT NULL AND until > :now ORDER BY id DESC",
)
_OF_PARTNER = Query(
    OwnedKey,
    f"SELECT partner_id, {_COLUMNS} FROM replaced_key"
    " WHERE key_id = :key_id AND partner_id IS NOT NULL AND until > :now",
)
_ENDS = Query(_End, f"SELECT until FROM replaced_key WHERE {_OWNED} AND until > :now ORDER BY until")
