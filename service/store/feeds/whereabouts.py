"""Whereabouts of a feed: its slug and title now, whether it was closed, and its archive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.feeds.feeds import ARCHIVE_PAGE, VISIBLE, pages


@dataclass(frozen=True)
class Whereabouts:
    """The slug and title of a feed now, whether it was closed, how many pages of its archive are made, and complete."""

    slug: str
    title: str
    closed: bool
    pages: int
    complete: int


def whereabouts(record: Record, slug: str) -> Whereabouts | None:
    """The feed of this slug, which it may have had long ago; None if there never was one that anybody may know of."""
    with record.reading() as connection:
        row = _HERE.one(connection, slug=slug) or _MOVED.one(connection, slug=slug)
    if row is None:
        return None
    return Whereabouts(
        row.slug, row.title, row.closed, pages(row.sequence, row.archived), row.sequence // ARCHIVE_PAGE
    )


class _WhereaboutsRow(NamedTuple):
    slug: str
    title: str
    closed: bool
    sequence: int
    archived: int


_SELECT = """
    SELECT f.slug, coalesce(s.title, f.title, f.slug), f.closed_at IS NOT NULL, f.sequence, f.archived FROM feed f"""


_HERE = Query(
    _WhereaboutsRow, f"{_SELECT} LEFT JOIN section s ON s.slug = f.slug WHERE f.slug = :slug AND {VISIBLE}"
)


_MOVED = Query(
    _WhereaboutsRow,
    f"{_SELECT} LEFT JOIN section s ON s.slug = f.slug JOIN moved m ON m.feed = f.slug WHERE m.slug = :slug",
)
