"""Documents: feeds as rendered, one in each format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store.database import locks
from service.store.database.record import Record
from service.store.database.sql import Query, Statement, insert
from service.store.feeds import feeds, kinds
from service.store.feeds.entries import NewEntry, store_entries
from service.store.feeds.feeds import FeedDue
from service.store.feeds.packing import pack, unpack
from service.store.schema.feeds import document

# Takedowns that go before all else; of more than so many at once, the newest do.
MOST_TAKEDOWNS_LOOKED_AT = 1_000


@dataclass(frozen=True)
class Document:
    """A feed in one format. `etag` is of the bytes, without quotes; `modified_at` in whole seconds."""

    body: bytes
    etag: str
    modified_at: datetime


@dataclass(frozen=True)
class Rendering:
    """A document as made. `etag` is of its bytes: equal bytes have equal ones.

    `stories`: the (article, revision) to be read in it. Each entry tells its revision's own time: equal bytes have
    equal stories.
    """

    body: bytes
    etag: str
    stories: tuple[tuple[int, int], ...] = ()


CLOCK_TOLERANCE = timedelta(seconds=60)


class Version(NamedTuple):
    """The version of a document, or of a page of an archive, that is stored."""

    format: str
    etag: str
    modified_at: datetime

    def next_modified(self, now: datetime) -> datetime:
        """Last-Modified of the version that follows it: in whole seconds, and always later, unless a clock that was
        ahead set this one: then it is now, for it must not be in the future."""
        this_second = now.replace(microsecond=0)
        if self.is_ahead(now):
            return this_second
        return max(this_second, self.modified_at + timedelta(seconds=1))

    def is_ahead(self, now: datetime) -> bool:
        """Whether a clock that was ahead set its Last-Modified. Versions in one second go ahead of it by as many."""
        return self.modified_at > now + CLOCK_TOLERANCE


def get_document(record: Record, slug: str, fmt: str) -> Document | None:
    """A public document; those of partners' own feeds are read by `service.store.feeds.fetches` alone."""
    if kinds.is_private(slug):
        return None
    with record.reading() as connection:
        stored = _GET.one(connection, feed=slug, format=fmt)
    return None if stored is None else Document(unpack(stored.body), stored.etag, stored.modified_at)


_GET = Query(Document, "SELECT body, etag, modified_at FROM document WHERE feed = :feed AND format = :format")


def listing(record: Record) -> dict[tuple[str, str], str]:
    """(feed, format) → ETag of every public document there is. Cheap: no body is touched."""
    with record.reading() as connection:
        return {(slug, fmt): etag for slug, fmt, etag in _LISTING.rows(connection)}


class ChangeState(NamedTuple):
    """Equal for as long as no document changes, is deleted, or moves to another address."""

    feeds: int
    closed: int
    built: int
    built_at: int
    archived: int
    moved_at: int


def change_state(record: Record) -> ChangeState:
    """Reads one row a feed and no document: to be asked several times a second.

    Each build that writes documents raises its feed's `built` in the same transaction, in every version of Dateline.
    """
    with record.reading() as connection:
        (row,) = _CHANGE_STATE.rows(connection)
    return ChangeState(*map(int, row))


_CHANGE_STATE = Statement("""
    SELECT count(*), count(closed_at), coalesce(sum(built), 0), coalesce(max(built_at), 0),
        coalesce(sum(archived), 0), (SELECT coalesce(sum(moved_at), 0) FROM moved)
    FROM feed""")


def feeds_with_takedowns(record: Record, since: datetime, limit: int = MOST_TAKEDOWNS_LOOKED_AT) -> set[str]:
    """The public feeds in which a story stood that was taken down since then; of many takedowns, the newest."""
    with record.reading() as connection:
        return {slug for (slug,) in _WITH_TAKEDOWNS.rows(connection, since=since, limit=limit)}


_WITH_TAKEDOWNS = Statement("""
    SELECT DISTINCT p.feed FROM (
        SELECT a.id FROM article a WHERE a.status <> 'usable' AND a.changed_at > :since
        ORDER BY a.changed_at DESC LIMIT :limit) t
    JOIN placement p ON p.article_id = t.id""")
_LISTING = Statement(f"SELECT feed, format, etag FROM document WHERE feed NOT LIKE '{kinds.PRIVATE_SLUGS}'")


def keep_hidden(record: Record, due: FeedDue, *, due_at: datetime | None, now: datetime) -> None:
    """Notes that a feed which nobody may know of was looked at: it has no documents until `due_at` at the least."""
    with record.writing() as connection:
        feeds.note_built(connection, due, due_at, now)


def store_documents(
    record: Record,
    due: FeedDue,
    renderings: Mapping[Any, Rendering],
    *,
    due_at: datetime | None,
    now: datetime,
    made: Sequence[NewEntry] = (),
) -> Sequence[str] | None:
    """Writes what was rendered; returns the formats whose bytes changed, or None when a later build was there first.

    ETag and Last-Modified move only when the bytes do; two changes within one second still move the latter.
    `made` are entries to store for the builds to come.
    """
    packed = _packed(record, due.slug, renderings)
    with suppress(Overtaken), record.writing() as connection:
        begin(connection, due.slug)
        store_entries(connection, made, now)
        versions = _versions(connection, due.slug)
        changed = {
            fmt: each
            for fmt, each in renderings.items()
            if fmt not in versions or versions[fmt].etag != each.etag or versions[fmt].is_ahead(now)
        }
        for fmt, each in changed.items():
            body = packed[each.etag] if each.etag in packed else pack(each.body)
            stored = versions.get(fmt)
            modified_at = stored.next_modified(now) if stored else now.replace(microsecond=0)
            stories = json.dumps(each.stories) if due.private else None
            values = {"body": body, "etag": each.etag, "modified_at": modified_at, "stories": stories}
            (_UPDATE if stored else _INSERT).run(connection, {"feed": due.slug, "format": fmt, **values})
        # Last, for routing locks the feed as well: it must not wait for the documents, nor the pushes with it.
        if not feeds.note_built(connection, due, due_at, now):
            raise Overtaken
        return list(changed)
    return None


_INSERT = insert(document, "feed format body etag modified_at stories")
_UPDATE = Statement(
    "UPDATE document SET body = :body, etag = :etag, modified_at = :modified_at, stories = :stories"
    " WHERE feed = :feed AND format = :format"
)


class Overtaken(Exception):
    """A later build was there first, or the feed was closed or renamed: nothing of this one is stored."""


def begin(connection: Connection, slug: str) -> None:
    """Begins to write documents, or pages, of this feed. Raises Overtaken if it is closed or not there any more."""
    locks.lock_documents(connection)
    if not feeds.is_open(connection, slug):
        raise Overtaken


def _packed(record: Record, slug: str, renderings: Mapping[Any, Rendering]) -> dict[str, bytes]:
    """The new bodies by ETag, packed before the transaction, in which others wait."""
    with record.reading() as connection:
        stored = {each.etag for each in _versions(connection, slug).values()}
    return {each.etag: pack(each.body) for each in renderings.values() if each.etag not in stored}


def _versions(connection: Connection, slug: str) -> dict[str, Version]:
    return {each.format: each for each in _VERSIONS.all(connection, feed=slug)}


_VERSIONS = Query(Version, "SELECT format, etag, modified_at FROM document WHERE feed = :feed")


def mark_noted(connection: Connection, slug: str, fmt: str, etag: str) -> None:
    """Notes that the receipts of this version are written; nothing if the document is another version by now."""
    _MARK_NOTED.run(connection, {"feed": slug, "format": fmt, "etag": etag})


_MARK_NOTED = Statement(
    "UPDATE document SET noted = :etag WHERE feed = :feed AND format = :format AND etag = :etag"
)


def delete_documents(connection: Connection, slug: str) -> None:
    """Deletes all documents of a feed."""
    _DELETE.run(connection, {"feed": slug})


_DELETE = Statement("DELETE FROM document WHERE feed = :feed")
