"""Events: what happened to articles, append-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store.content import canonical, glance
from service.store.database.joint_writes import Write
from service.store.database.sql import Statement, insert
from service.store.schema.articles import event
from service.store.schema.base import from_micros


@dataclass(frozen=True)
class NewEvent:
    """An event to write. `places` are the fields of the revision's content that name its feeds (kinds.FEED_FIELDS)."""

    public_id: str
    article_id: int | object  # or joint_writes.ID_OF_FIRST
    revision: int
    type: str
    occurred_at: datetime
    actor: str
    reason: str | None
    places: Mapping[str, Any]


def appended(new: NewEvent) -> Write:
    """The writing of the event, for the transaction of its revision."""
    return Write(_APPEND, {**vars(new), "places": canonical(dict(new.places))})


_APPEND = insert(event, "public_id article_id revision type occurred_at actor reason places")


@dataclass(frozen=True, slots=True)
class Event:
    """An event that is not routed yet, its revision, and its article as it is now. `source` is (slug, name)."""

    id: int
    article_id: int
    revision: int
    type: str
    places: Mapping[str, Any]  # the fields of its content that name its feeds, or all of the content
    embargo_until: datetime | None
    accepted_at: datetime
    newest: int
    newest_status: str
    newest_embargo: datetime | None  # holds for every revision
    expires_at: datetime | None
    source: tuple[str, str]


class _UnroutedRow(NamedTuple):
    """A row as the driver returns it: times are in microseconds."""

    id: int
    article_id: int
    revision: int
    type: str
    places: str
    embargo_until: int | None
    accepted_at: int
    newest: int
    newest_status: str
    newest_embargo: int | None
    expires_at: int | None
    source_slug: str
    source_name: str


_UNROUTED = Statement("""
    SELECT v.id, v.article_id, v.revision, v.type, coalesce(v.places, r.content),
        r.embargo_until, r.accepted_at, a.revision, a.status,
        a.embargo_until, a.expires_at, s.slug, s.name
    FROM event v JOIN revision r ON r.article_id = v.article_id AND r.number = v.revision
        JOIN article a ON a.id = v.article_id JOIN source s ON s.id = a.source_id
    WHERE v.routed_at IS NULL ORDER BY v.id LIMIT :limit""")


def unrouted(connection: Connection, limit: int) -> list[Event]:
    """The oldest of them, in the order in which they happened."""
    return [_event(_UnroutedRow._make(row)) for row in _UNROUTED.rows(connection, limit=limit)]


def _event(row: _UnroutedRow) -> Event:
    return Event(
        id=row.id,
        article_id=row.article_id,
        revision=row.revision,
        type=row.type,
        places=glance(row.places),
        embargo_until=None if row.embargo_until is None else from_micros(row.embargo_until),
        accepted_at=from_micros(row.accepted_at),
        newest=row.newest,
        newest_status=row.newest_status,
        newest_embargo=None if row.newest_embargo is None else from_micros(row.newest_embargo),
        expires_at=None if row.expires_at is None else from_micros(row.expires_at),
        source=(row.source_slug, row.source_name),
    )


def mark_routed(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """Notes that these events are routed: in the transaction that routes them."""
    _MARK_ROUTED.run(connection, {"ids": list(ids), "now": now})


_MARK_ROUTED = Statement("UPDATE event SET routed_at = :now WHERE id IN :ids[]")
