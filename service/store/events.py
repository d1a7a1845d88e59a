"""Events: what happened to articles, append-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from service.store.content import glance
from service.store.database.sql import Statement
from service.store.schema.base import from_micros


@dataclass(frozen=True, slots=True)
class Event:
    """An event that is not routed yet, its revision, and how its article stands now. `source` is (slug, name)."""

    id: int
    article_id: int
    revision: int
    type: str
    places: Mapping[str, Any]  # of its content what says where it stands (kinds.SAYS_WHERE), or all
    embargo_until: datetime | None
    accepted_at: datetime
    newest: int
    newest_status: str
    expires_at: datetime | None
    source: tuple[str, str]


_UNROUTED = Statement("""
    SELECT v.id, v.article_id, v.revision, v.type, coalesce(v.places, r.content),
        r.embargo_until, r.accepted_at, a.revision, a.status,
        a.expires_at, s.slug, s.name
    FROM event v JOIN revision r ON r.article_id = v.article_id AND r.number = v.revision
        JOIN article a ON a.id = v.article_id JOIN source s ON s.id = a.source_id
    WHERE v.routed_at IS NULL ORDER BY v.id LIMIT :limit""")


def unrouted(connection: Connection, limit: int) -> list[Event]:
    """The oldest of them, in the order in which they happened."""
    return [
        Event(
            id=number,
            article_id=article_id,
            revision=revision,
            type=kind,
            places=glance(places),
            embargo_until=None if embargo is None else from_micros(embargo),
            accepted_at=from_micros(accepted),
            newest=newest,
            newest_status=status,
            expires_at=None if expires is None else from_micros(expires),
            source=(slug, name),
        )
        for (
            number,
            article_id,
            revision,
            kind,
            places,
            embargo,
            accepted,
            newest,
            status,
            expires,
            slug,
            name,
        ) in _UNROUTED.rows(connection, limit=limit)
    ]
