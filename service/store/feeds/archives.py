"""The archives of feeds (RFC 5005): pages of a fixed number of stories, in the order in which they became public."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store.database.record import Record
from service.store.database.sql import Query, Statement, insert
from service.store.feeds import feeds
from service.store.feeds.documents import (
    Document,
    Overtaken,
    Rendering,
    Version,
    begin,
)
from service.store.feeds.entries import NewEntry, store_entries
from service.store.feeds.feeds import ARCHIVE_PAGE, FeedDue
from service.store.feeds.packing import pack, unpack
from service.store.schema.base import from_micros
from service.store.schema.feeds import archive

# Pages of takedowns are due since so long before they are asked for: they go first.
BEFORE_ALL_OTHERS = timedelta(days=3650)
# So is one that a correction asks for, less far: a clock that is ahead puts it off no further than that.
BEFORE_EMBARGOES = timedelta(days=1000)
# Complete pages of one feed that are made between two looks at what is due.
FIRST_PAGES_AT_ONCE = 5


@dataclass(frozen=True)
class PageDue:
    """A page to make. `due_at` is None for one that was never made; else the time for which it was asked for.

    `revisions` is the sum of those of its stories when it was read: it grows with each change of any of them.
    """

    feed: str
    page: int
    due_at: datetime | None
    revisions: int | None = None


def get_page(record: Record, slug: str, page: int, fmt: str) -> Document | None:
    with record.reading() as connection:
        stored = _GET.one(connection, feed=slug, page=page, format=fmt)
    return None if stored is None else Document(unpack(stored.body), stored.etag, stored.modified_at)


_GET = Query(
    Document,
    "SELECT body, etag, modified_at FROM archive WHERE feed = :feed AND page = :page AND format = :format",
)


def due_takedowns(record: Record, now: datetime, limit: int = 20) -> list[PageDue]:
    """Pages that a takedown asks for."""
    before = now - BEFORE_ALL_OTHERS / 2
    with record.reading() as connection:
        again = {(each.feed, each.page): each for each in _AGAIN.all(connection, now=before, limit=limit)}
    return [PageDue(*each) for each in again.values()]


def due_pages(record: Record, now: datetime, limit: int = 20) -> list[PageDue]:
    """Pages to make: first those that a takedown or an embargo asks for, then those just complete, in order."""
    with record.reading() as connection:
        # A page is due in all its formats at once.
        again = {(each.feed, each.page): each for each in _AGAIN.all(connection, now=now, limit=limit)}
        complete = _COMPLETE.rows(connection, limit=limit)
        first = [PageDue(slug, page, None, _revisions(connection, slug, page)) for slug, page in complete]
    return [PageDue(*each) for each in again.values()] + first


def next_page(record: Record, due: FeedDue) -> PageDue:
    """The first page of this feed that is not made yet."""
    page = due.archived + 1
    with record.reading() as connection:
        return PageDue(due.slug, page, None, _revisions(connection, due.slug, page))


class _PageAgain(NamedTuple):
    feed: str
    page: int
    due_at: datetime


_AGAIN = Query(
    _PageAgain,
    "SELECT feed, page, due_at FROM archive WHERE due_at <= :now ORDER BY due_at, feed, page LIMIT :limit",
)
# The first page of each feed before the second of any.
_COMPLETE = Statement(
    f"SELECT f.slug, f.archived + n.number FROM feed f JOIN"
    f" ({' UNION ALL '.join(f'SELECT {each} AS number' for each in range(1, FIRST_PAGES_AT_ONCE + 1))}) n"
    f" ON f.sequence >= (f.archived + n.number) * {ARCHIVE_PAGE}"
    f" WHERE f.sequence >= (f.archived + 1) * {ARCHIVE_PAGE} AND f.closed_at IS NULL"
    " ORDER BY n.number, f.slug LIMIT :limit"
)
_ON_PAGE = "p.feed = :feed AND p.sequence > :first AND p.sequence <= :last"


def span(page: int) -> dict[str, int]:
    """The numbers of the stories on a page: after `first`, up to `last`."""
    return {"first": (page - 1) * ARCHIVE_PAGE, "last": page * ARCHIVE_PAGE}


def _revisions(connection: Connection, slug: str, page: int) -> int:
    return int(_REVISIONS.value(connection, feed=slug, **span(page)) or 0)


_REVISIONS = Statement(
    f"SELECT sum(a.revision) FROM article a JOIN placement p ON p.article_id = a.id WHERE {_ON_PAGE}"
)


def opens_at(record: Record, slug: str, page: int, now: datetime) -> datetime | None:
    """When the next story of this page that is under a new embargo comes out again."""
    with record.reading() as connection:
        moment = _OPENS.value(connection, feed=slug, now=now, **span(page))
    return None if moment is None else from_micros(moment)


_OPENS = Statement(
    f"SELECT a.embargo_until FROM article a JOIN placement p ON p.article_id = a.id WHERE {_ON_PAGE}"
    " AND a.status = 'usable' AND a.embargo_until > :now ORDER BY a.embargo_until LIMIT 1"
)


def store_page(
    record: Record,
    due: PageDue,
    renderings: Mapping[Any, Rendering],
    *,
    due_at: datetime | None,
    now: datetime,
    made: Sequence[NewEntry] = (),
) -> bool:
    """Writes a page; False if it was made of an older state: then it stays as it is, and due.

    That is, if it was asked for again or made by another process since `due` was read; or, the first time, a story on
    it has changed since: a takedown cannot ask again for a page that is not there. ETag and Last-Modified move only
    when its bytes do.
    """
    packed = {each.etag: pack(each.body) for each in renderings.values()}
    key = {"feed": due.feed, "page": due.page}
    with suppress(Overtaken), record.writing() as connection:
        begin(connection, due.feed)
        store_entries(connection, made, now)
        # A request for it from now on waits for what is written here, and counts after it.
        stored = {each.version.format: each for each in map(_stored, _STORED.rows(connection, **key))}
        if due.due_at is not None and {each.due_at for each in stored.values()} != {due.due_at}:
            raise Overtaken  # or closed or renamed meanwhile
        for fmt, each in renderings.items():
            values = {**key, "format": fmt, "body": packed[each.etag], "etag": each.etag}
            if fmt not in stored:
                first = {"modified_at": now.replace(microsecond=0), "due_at": due_at}
                _INSERT.run(connection, {**values, **first})
            elif stored[fmt].version.etag != each.etag or stored[fmt].version.is_ahead(now):
                modified_at = stored[fmt].version.next_modified(now)
                _UPDATE.run(connection, {**values, "modified_at": modified_at})
        _SET_DUE.run(connection, {**key, "due_at": due_at})
        if due.due_at is None:
            _count(connection, due, now)
        return True
    return False


class _StoredPage(NamedTuple):
    version: Version
    due_at: datetime | None


def _stored(row: Sequence[Any]) -> _StoredPage:
    fmt, etag, modified_at, due_at = row
    version = Version(fmt, etag, from_micros(modified_at))
    return _StoredPage(version, None if due_at is None else from_micros(due_at))


_STORED = Statement(
    "SELECT format, etag, modified_at, due_at FROM archive WHERE feed = :feed AND page = :page",
    locking=" FOR UPDATE",
)
_INSERT = insert(archive, "feed page format body etag modified_at due_at")
_UPDATE = Statement(
    "UPDATE archive SET body = :body, etag = :etag, modified_at = :modified_at"
    " WHERE feed = :feed AND page = :page AND format = :format"
)
_SET_DUE = Statement("UPDATE archive SET due_at = :due_at WHERE feed = :feed AND page = :page")


def _count(connection: Connection, due: PageDue, now: datetime) -> None:
    """Counts a new page. Last, as in `documents.store_documents`; from here on nothing is routed to the feed."""
    if not feeds.note_archived(connection, due.feed, due.page, now):
        raise Overtaken
    if _revisions(connection, due.feed, due.page) != due.revisions:
        raise Overtaken


def make_again(
    connection: Connection, articles: Iterable[int], now: datetime, *, first: Collection[int] = ()
) -> None:
    """Asks for the pages on which these articles are to be made again: those of the `first` before all others.

    Each request changes `due_at`: a page made meanwhile, of an older state, is not stored.
    """
    _MAKE_AGAIN.run_all(
        connection,
        [
            {"article": each, "due_at": now - (BEFORE_ALL_OTHERS if each in first else BEFORE_EMBARGOES)}
            for each in sorted(articles)
        ],
    )


# A page that is due is asked for again by the next microsecond, and keeps its place in the order.
_MAKE_AGAIN = Statement(
    "UPDATE archive SET due_at = CASE WHEN due_at <= :due_at THEN due_at + 1 ELSE :due_at END"
    " WHERE EXISTS (SELECT 1 FROM placement p WHERE p.article_id = :article"
    f" AND p.feed = archive.feed AND p.sequence > (archive.page - 1) * {ARCHIVE_PAGE}"
    f" AND p.sequence <= archive.page * {ARCHIVE_PAGE})"
)


def make_next_again(
    connection: Connection, after: tuple[str, int], limit: int, now: datetime
) -> tuple[str, int] | None:
    """Asks for the next pages after this one, of whichever feed, to be made again; returns the last of them."""
    pages = _NEXT_PAGES.rows(connection, feed=after[0], page=after[1], limit=limit)
    _MAKE_PAGE_AGAIN.run_all(connection, [{"feed": slug, "page": page, "now": now} for slug, page in pages])
    return (pages[-1][0], pages[-1][1]) if pages else None


_NEXT_PAGES = Statement(
    "SELECT DISTINCT feed, page FROM archive WHERE feed > :feed OR (feed = :feed AND page > :page)"
    " ORDER BY feed, page LIMIT :limit"
)
_MAKE_PAGE_AGAIN = Statement(
    "UPDATE archive SET due_at = :now WHERE feed = :feed AND page = :page AND (due_at IS NULL OR due_at > :now)"
)


def move_pages(connection: Connection, slug: str, new: str, now: datetime) -> None:
    """Gives the pages of a feed to another, which took over from it; they are asked for again, with its address."""
    _MOVE.run(connection, {"slug": slug, "new": new, "now": now})


_MOVE = Statement(
    "UPDATE archive SET feed = :new, due_at = CASE WHEN due_at <= :now THEN due_at + 1 ELSE :now END"
    " WHERE feed = :slug"
)


def delete_pages(connection: Connection, slug: str) -> None:
    """Deletes all pages of a feed's archive."""
    _DELETE.run(connection, {"feed": slug})


_DELETE = Statement("DELETE FROM archive WHERE feed = :feed")
