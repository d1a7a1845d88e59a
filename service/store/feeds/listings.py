"""Lists of the public documents and pages that there are, with their versions, for who keeps copies of them."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.feeds import kinds
from service.store.feeds.documents import MOST_TAKEDOWNS_LOOKED_AT
from service.store.feeds.feeds import ARCHIVE_PAGE


class Listing(NamedTuple):
    """A document or, with `page`, a page of an archive, and its version."""

    feed: str
    page: int | None
    format: str
    etag: str


def listing(record: Record) -> list[Listing]:
    """All public documents and pages there are, without their bodies."""
    with record.reading() as connection:
        return [*_DOCUMENTS.all(connection), *_PAGES.all(connection)]


_DOCUMENTS = Query(
    Listing, f"SELECT feed, NULL, format, etag FROM document WHERE feed NOT LIKE '{kinds.PRIVATE_SLUGS}'"
)
_PAGES = Query(Listing, "SELECT feed, page, format, etag FROM archive")


def takedown_listing(record: Record, since: datetime, limit: int = MOST_TAKEDOWNS_LOOKED_AT) -> list[Listing]:
    """The public documents, and the pages, in which a story stood that was taken down since then."""
    with record.reading() as connection:
        return [
            *_TAKEDOWN_DOCUMENTS.all(connection, since=since, limit=limit),
            *_TAKEDOWN_PAGES.all(connection, since=since, limit=limit),
        ]


_TAKEN_DOWN = f"""
    SELECT DISTINCT p.feed AS feed, (p.sequence - 1) / {ARCHIVE_PAGE} + 1 AS page FROM (
        SELECT a.id FROM article a WHERE a.status <> 'usable' AND a.changed_at > :since
        ORDER BY a.changed_at DESC LIMIT :limit) t
    JOIN placement p ON p.article_id = t.id"""
_TAKEDOWN_DOCUMENTS = Query(
    Listing,
    f"SELECT DISTINCT d.feed, NULL, d.format, d.etag FROM ({_TAKEN_DOWN}) f JOIN document d ON d.feed = f.feed",
)
_TAKEDOWN_PAGES = Query(
    Listing,
    f"SELECT a.feed, a.page, a.format, a.etag FROM ({_TAKEN_DOWN}) f"
    " JOIN archive a ON a.feed = f.feed AND a.page = f.page",
)
