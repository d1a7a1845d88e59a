"""The archives of feeds (RFC 5005): pages of a fixed number of stories, in the order in which they became public."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, update

from service.store.database.record import Record
from service.store.feeds import kinds
from service.store.feeds.documents import Document, Overtaken, Rendered, begin
from service.store.feeds.entries import NewEntry, keep
from service.store.feeds.packing import pack, unpack
from service.store.feeds.placements import PAGE
from service.store.schema.articles import article
from service.store.schema.feeds import archive, document, feed, placement


@dataclass(frozen=True)
class PageDue:
    """A page to make. `due_at` is None for one that was never made; else what asked for it.

    `revisions` is the sum of those of its stories when it was read: it grows with each change of any of them.
    """

    feed: str
    page: int
    due_at: datetime | None
    revisions: int | None = None


def get_page(record: Record, slug: str, page: int, fmt: str) -> Document | None:
    with record.reading() as connection:
        row = connection.execute(
            archive.select().where(archive.c.feed == slug, archive.c.page == page, archive.c.format == fmt)
        ).one_or_none()
    return None if row is None else Document(unpack(row.body), row.etag, row.modified_at)


@dataclass(frozen=True)
class Listed:
    """A document or, with `page`, a page of an archive, and in which state it is."""

    feed: str
    page: int | None
    format: str
    etag: str


def listing(record: Record) -> list[Listed]:
    """All public documents and pages there are, without their bodies."""
    all_documents = select(document.c.feed, document.c.format, document.c.etag).where(
        document.c.feed.not_like(kinds.PRIVATE)
    )
    all_pages = select(archive.c.feed, archive.c.page, archive.c.format, archive.c.etag)
    with record.reading() as connection:
        found = [Listed(row.feed, None, row.format, row.etag) for row in connection.execute(all_documents)]
        return found + [Listed(*row) for row in connection.execute(all_pages)]


def due_pages(record: Record, now: datetime, limit: int = 20) -> list[PageDue]:
    """Pages to make: first those that a takedown or an embargo asks for, then those just complete, in order."""
    again = (
        select(archive.c.feed, archive.c.page, archive.c.due_at)
        .where(archive.c.due_at <= now)
        .order_by(archive.c.due_at, archive.c.feed, archive.c.page)
        .limit(limit)
    )
    new = (
        select(feed.c.slug, feed.c.archived)
        .where(feed.c.sequence >= (feed.c.archived + 1) * PAGE, feed.c.closed_at.is_(None))
        .order_by(feed.c.slug)
        .limit(limit)
    )
    with record.reading() as connection:
        found = {(row.feed, row.page): row.due_at for row in connection.execute(again)}
        due = [PageDue(slug, page, due_at) for (slug, page), due_at in found.items()]
        first = [(row.slug, row.archived + 1) for row in connection.execute(new)]
        return due + [PageDue(slug, page, None, _revisions(connection, slug, page)) for slug, page in first]


def _revisions(connection: Connection, slug: str, page: int) -> int:
    query = (
        select(func.sum(article.c.revision))
        .join(placement, placement.c.article_id == article.c.id)
        .where(
            placement.c.feed == slug,
            placement.c.sequence > (page - 1) * PAGE,
            placement.c.sequence <= page * PAGE,
        )
    )
    return int(connection.execute(query).scalar() or 0)


def opens_at(record: Record, slug: str, page: int, now: datetime) -> datetime | None:
    """When the next story of this page that is under a new embargo comes out again."""
    query = (
        select(article.c.embargo_until)
        .join(placement, placement.c.article_id == article.c.id)
        .where(
            placement.c.feed == slug,
            placement.c.sequence > (page - 1) * PAGE,
            placement.c.sequence <= page * PAGE,
            article.c.status == "usable",
            article.c.embargo_until > now,
        )
        .order_by(article.c.embargo_until)
        .limit(1)
    )
    with record.reading() as connection:
        moment: datetime | None = connection.execute(query).scalar()
    return moment


def store_page(
    record: Record,
    due: PageDue,
    bodies: Mapping[Any, Rendered],
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
    packed = {each.etag: pack(each.body) for each in bodies.values()}
    with suppress(Overtaken), record.writing() as connection:
        begin(connection, due.feed)
        keep(connection, made, now)
        this = (archive.c.feed == due.feed) & (archive.c.page == due.page)
        query = select(archive.c.format, archive.c.etag, archive.c.modified_at, archive.c.due_at).where(this)
        # Whoever asks for it again now waits for what is written here, and is heard after it.
        held = {row.format: row for row in connection.execute(query.with_for_update())}
        if due.due_at is not None and {row.due_at for row in held.values()} != {due.due_at}:
            raise Overtaken  # or closed or renamed meanwhile
        for fmt, rendered in bodies.items():
            values = {
                "body": packed[rendered.etag],
                "etag": rendered.etag,
                "modified_at": now.replace(microsecond=0),
            }
            if fmt not in held:
                row = {"feed": due.feed, "page": due.page, "format": fmt, "due_at": due_at, **values}
                connection.execute(archive.insert(), row)
                continue
            former = held[fmt]
            if former.etag != rendered.etag:
                values["modified_at"] = max(values["modified_at"], former.modified_at + timedelta(seconds=1))
                connection.execute(update(archive).where(this, archive.c.format == fmt).values(**values))
        connection.execute(update(archive).where(this).values(due_at=due_at))
        if due.due_at is None:
            _count(connection, due)
        return True
    return False


def _count(connection: Connection, due: PageDue) -> None:
    """Of a new page. Last, as in `documents.store_documents`; from here on nothing is routed to the feed."""
    mine = update(feed).where(
        feed.c.slug == due.feed, feed.c.archived == due.page - 1, feed.c.closed_at.is_(None)
    )
    if connection.execute(mine.values(archived=due.page)).rowcount != 1:
        raise Overtaken
    if _revisions(connection, due.feed, due.page) != due.revisions:
        raise Overtaken
