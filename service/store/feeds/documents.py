"""Feeds in the record: which there are, which are due, and their rendered documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, text, update

from service.store.database import locks
from service.store.database.record import Record
from service.store.feeds import kinds
from service.store.feeds.entries import NewEntry, keep
from service.store.feeds.packing import pack, unpack
from service.store.feeds.placements import PAGE
from service.store.schema.articles import section
from service.store.schema.base import from_micros
from service.store.schema.feeds import document, feed, moved


@dataclass(frozen=True)
class Document:
    """A feed in one format. `etag` is of the bytes, without quotes; `modified_at` in whole seconds."""

    body: bytes
    etag: str
    modified_at: datetime


@dataclass(frozen=True)
class Rendered:
    """A document as made. `etag` is of its bytes: equal bytes have equal ones.

    `stories`: the (article, revision) to be read in it. Each entry tells its revision's own time: equal bytes have
    equal stories.
    """

    body: bytes
    etag: str
    stories: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class FeedDue:
    """A feed to build. `wanted` is what was asked for when it was read: what comes later asks again.

    `born` is the slug it was made with, `pages` the number of complete pages of its archive.
    """

    slug: str
    born: str
    title: str
    language: str | None
    made_at: datetime
    wanted: int
    sequence: int

    @property
    def pages(self) -> int:
        return self.sequence // PAGE

    @property
    def private(self) -> bool:
        """A partner's own."""
        return kinds.is_private(self.slug)


@dataclass(frozen=True)
class Whereabouts:
    """What became of a feed: slug and title that it has now, whether it was closed, how many pages its archive has."""

    slug: str
    title: str
    closed: bool
    pages: int


def get_document(record: Record, slug: str, fmt: str) -> Document | None:
    """A public document; those of partners' own feeds are read by `service.store.feeds.fetches` alone."""
    if kinds.is_private(slug):
        return None
    with record.reading() as connection:
        row = connection.execute(
            document.select().where(document.c.feed == slug, document.c.format == fmt)
        ).one_or_none()
    return None if row is None else Document(unpack(row.body), row.etag, row.modified_at)


def listing(record: Record) -> dict[tuple[str, str], str]:
    """(feed, format) → ETag of every public document there is. Cheap: no body is touched."""
    query = text(f"SELECT feed, format, etag FROM document WHERE feed NOT LIKE '{kinds.PRIVATE}'")
    with record.reading() as connection:
        return {(slug, fmt): etag for slug, fmt, etag in connection.execute(query).all()}


def wake_feeds(record: Record, now: datetime) -> int:
    """Asks for the feeds in which an embargo, or the time of a notice, has just ended; returns how many."""
    with record.writing() as connection:
        due = update(feed).where(feed.c.due_at <= now, feed.c.closed_at.is_(None))
        return connection.execute(due.values(wanted=feed.c.wanted + 1, wanted_at=now, due_at=None)).rowcount


def whereabouts(record: Record, slug: str) -> Whereabouts | None:
    """Where the feed of this slug is, which it may have had long ago; None if there never was one."""
    title = func.coalesce(section.c.title, feed.c.title, feed.c.slug).label("title")
    named = feed.outerjoin(section, section.c.slug == feed.c.slug)
    here = select(feed.c.slug, title, feed.c.closed_at, feed.c.sequence)
    with record.reading() as connection:
        row = connection.execute(here.select_from(named).where(feed.c.slug == slug)).one_or_none()
        if row is None:
            former = here.select_from(named.join(moved, moved.c.feed == feed.c.slug)).where(
                moved.c.slug == slug
            )
            row = connection.execute(former).one_or_none()
    if row is None:
        return None
    return Whereabouts(row.slug, row.title, row.closed_at is not None, row.sequence // PAGE)


_FEED = """
    SELECT f.slug, f.born, coalesce(s.title, f.title, f.slug) AS title, coalesce(s.language, f.language) AS language,
        f.created_at, f.wanted, f.sequence
    FROM feed f LEFT JOIN section s ON s.slug = f.slug WHERE f.closed_at IS NULL AND """
_DUE = text(_FEED + "f.wanted > f.built ORDER BY f.wanted_at, f.slug")
_OPEN = text(_FEED + f"f.slug NOT LIKE '{kinds.PRIVATE}' ORDER BY s.id IS NULL, s.id")


def due_feeds(record: Record) -> list[FeedDue]:
    """Feeds asked for and not yet built, the longest waiting first."""
    return _feeds(record, _DUE)


def open_feeds(record: Record) -> list[FeedDue]:
    """All public feeds that are not closed: sections in the order they were added, then the rest by slug."""
    # By Python, for databases do not agree on the order of texts; it leaves the sections' as it is.
    return sorted(_feeds(record, _OPEN), key=lambda each: each.slug if "/" in each.slug else "")


def _feeds(record: Record, query: Any) -> list[FeedDue]:
    with record.reading() as connection:
        rows = connection.execute(query).all()
    return [
        FeedDue(
            row.slug, row.born, row.title, row.language, from_micros(row.created_at), row.wanted, row.sequence
        )
        for row in rows
    ]


def store_documents(
    record: Record,
    due: FeedDue,
    bodies: Mapping[Any, Rendered],
    *,
    due_at: datetime | None,
    now: datetime,
    made: Sequence[NewEntry] = (),
) -> Sequence[str] | None:
    """Writes what was rendered; returns the formats whose bytes changed, or None when a later build was there first.

    ETag and Last-Modified move only when the bytes do; two changes within one second still move the latter.
    `made` are entries to keep for the builds to come.
    """
    packed = _packed(record, due.slug, bodies)
    with suppress(Overtaken), record.writing() as connection:
        begin(connection, due.slug)
        keep(connection, made, now)
        held = _held(connection, due.slug)
        changed = [
            fmt
            for fmt, rendered in bodies.items()
            if _store(connection, due.slug, fmt, rendered, packed, held.get(fmt), now)
        ]
        # Last, for routing locks the feed as well: it must not wait for the documents, nor the pushes with it.
        values = {"which": due.slug, "wanted_then": due.wanted, "now": now, "due": due_at}
        if connection.execute(_MINE, values).rowcount != 1:
            raise Overtaken
        return changed
    return None


class Overtaken(Exception):
    """A later build was there first, or the feed was closed or renamed: nothing of this one is kept."""


def begin(connection: Connection, slug: str) -> None:
    """Begins to write documents, or pages, of this feed. Raises Overtaken if it is closed or not there any more."""
    locks.lock_documents(connection)
    if connection.execute(_OPEN_STILL, {"which": slug}).first() is None:
        raise Overtaken


def _packed(record: Record, slug: str, bodies: Mapping[Any, Rendered]) -> dict[str, bytes]:
    """By ETag, what of these is new: made before the transaction, in which others wait."""
    with record.reading() as connection:
        held = {etag for etag, _ in _held(connection, slug).values()}
    return {each.etag: pack(each.body) for each in bodies.values() if each.etag not in held}


def _held(connection: Connection, slug: str) -> dict[str, tuple[str, datetime]]:
    rows = connection.execute(_HELD, {"which": slug})
    return {row.format: (row.etag, row.modified_at) for row in rows}


# Made once: to put them together and read their parameters takes longer than to run them.
_MINE = (
    update(feed)
    .where(
        feed.c.slug == bindparam("which"), feed.c.built < bindparam("wanted_then"), feed.c.closed_at.is_(None)
    )
    .values(built=bindparam("wanted_then"), built_at=bindparam("now"), due_at=bindparam("due"))
)
_HELD = select(document.c.format, document.c.etag, document.c.modified_at).where(
    document.c.feed == bindparam("which")
)
_OPEN_STILL = select(feed.c.slug).where(feed.c.slug == bindparam("which"), feed.c.closed_at.is_(None))
_INSERT = document.insert()
_UPDATE = (
    update(document)
    .where(document.c.feed == bindparam("which"), document.c.format == bindparam("fmt"))
    .values(
        body=bindparam("new_body"),
        etag=bindparam("new_etag"),
        modified_at=bindparam("now"),
        stories=bindparam("new_stories"),
    )
)


def _store(
    connection: Connection,
    slug: str,
    fmt: str,
    rendered: Rendered,
    packed: Mapping[str, bytes],
    held: tuple[str, datetime] | None,
    now: datetime,
) -> bool:
    if held is not None and held[0] == rendered.etag:
        return False
    body = packed[rendered.etag] if rendered.etag in packed else pack(rendered.body)
    second = now.replace(microsecond=0)
    stories = json.dumps(rendered.stories) if kinds.is_private(slug) else None
    if held is None:
        values = {"body": body, "etag": rendered.etag, "modified_at": second, "stories": stories}
        connection.execute(_INSERT, {"feed": slug, "format": fmt, **values})
        return True
    moved_at = max(second, held[1] + timedelta(seconds=1))
    values = {"new_body": body, "new_etag": rendered.etag, "now": moved_at, "new_stories": stories}
    connection.execute(_UPDATE, {"which": slug, "fmt": fmt, **values})
    return True
