"""Sections: the desks that have a feed of their own. They can be renamed and closed; their old addresses tell so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.store.database import locks
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.errors import AlreadyExists, NotFound, NotPossible, UnknownSections
from service.store.feeds import archives, documents, feeds, kinds, placements, slugs
from service.store.feeds.feeds import make_feed, want
from service.store.feeds.kinds import ALL, Definition
from service.store.schema.articles import section
from service.store.schema.feeds import moved


@dataclass(frozen=True)
class Section:
    id: int
    slug: str
    title: str
    language: str | None


def add(connection: Connection, slug: str, title: str, language: str | None, now: datetime) -> Section:
    """Adds a section and asks for its feed to be built. Raises AlreadyExists, or NotPossible for a taken name."""
    _check_name(connection, slug)
    row = {"slug": slug, "title": title, "language": language, "created_at": now}
    try:
        number = connection.execute(section.insert().returning(section.c.id), row).scalar_one()
    except IntegrityError:
        raise AlreadyExists("section", slug) from None
    make_feed(connection, Definition(slug), now)
    make_feed(connection, Definition(ALL, "All sections"), now)
    return Section(int(number), slug, title, language)


def rename(connection: Connection, slug: str, new: str, now: datetime) -> None:
    """Gives a section another slug. Its stories and its id stay; its old addresses lead to the new ones for ever.

    Sources may go on using the old name. Raises NotFound, AlreadyExists, or NotPossible for a taken name.
    """
    locks.lock_documents(connection)
    _find(connection, slug)
    _check_name(connection, new, of=slug)
    try:
        connection.execute(update(section).where(section.c.slug == slug).values(slug=new))
        _rename_feed(connection, slug, new, now)
    except IntegrityError:
        raise AlreadyExists("section", new) from None
    want(connection, [ALL, new], now)


def close(connection: Connection, slug: str, now: datetime) -> bool:
    """Ends a section's feed: its addresses answer 410. Articles may still name it, for other feeds.

    Returns False if it was closed already, and then changes nothing. Raises NotFound.
    """
    locks.lock_documents(connection)
    if _find(connection, slug) is not None:
        return False
    connection.execute(update(section).where(section.c.slug == slug).values(closed_at=now))
    feeds.close_feed(connection, slug, now)
    documents.delete_documents(connection, slug)
    archives.delete_pages(connection, slug)
    want(connection, [slug], now)  # partners that read it
    return True


def all_sections(record: Record) -> list[Section]:
    """All open sections, in the order in which they were added."""
    with record.reading() as connection:
        rows = connection.execute(
            select(section.c.id, section.c.slug, section.c.title, section.c.language)
            .where(section.c.closed_at.is_(None))
            .order_by(section.c.id)
        )
        return [Section(*row) for row in rows]


def titles(record: Record, *, until: datetime | None = None) -> dict[str, tuple[str, str]]:
    """From every name that any section has or had, closed ones too, to (slug, title) as they are now; `until`: only
    of sections that were there then."""
    with record.reading() as connection:
        return titles_within(connection, until)


def titles_within(connection: Connection, until: datetime | None = None) -> dict[str, tuple[str, str]]:
    """The same in a transaction of the caller's."""
    rows = _TITLES.rows(connection, until=until or datetime.max.replace(tzinfo=UTC))
    return {name: (slug, title) for name, slug, title in rows}


_TITLES = Statement("""
    SELECT slug, slug, title FROM section WHERE created_at <= :until
    UNION ALL SELECT m.slug, s.slug, s.title FROM moved m JOIN section s ON s.slug = m.feed
    WHERE s.created_at <= :until""")
# Every name under which an article may be posted: those of all sections, and those they had.
NAMES = "SELECT slug FROM section UNION ALL SELECT slug FROM moved"


def ids_of(connection: Connection, slugs: Sequence[str] | None) -> list[int]:
    """Of the sections of these names, for a subscription; none for None. Raises UnknownSections."""
    if slugs is None:
        return []
    known = {row.slug: row.id for row in connection.execute(select(section.c.slug, section.c.id))}
    if unknown := [slug for slug in slugs if slug not in known]:
        raise UnknownSections(unknown, sorted(known))
    return [known[slug] for slug in dict.fromkeys(slugs)]


def add_package(connection: Connection, name: str, title: str, now: datetime) -> str:
    """Gives a package's feed a title, and makes it if no article has yet; returns its slug."""
    definition = kinds.package(name, title)
    make_feed(connection, definition, now)
    feeds.set_title(connection, definition.slug, title)
    want(connection, [definition.slug], now)
    return definition.slug


def _check_name(connection: Connection, slug: str, *, of: str | None = None) -> None:
    reason = slugs.fault(slug) if slug == slugs.fold(slug) else f"its one form is {slugs.fold(slug)!r}"
    if reason is not None:
        raise NotPossible(f"{slug!r} does not work as the name of a section: {reason}")
    if slug == ALL:
        raise NotPossible("the name 'all' belongs to the feed of all sections: choose another")
    if slug in kinds.RESERVED:
        raise NotPossible(f"the name {slug!r} belongs to the feeds of every {slug}: choose another")
    leads_to = connection.execute(select(moved.c.feed).where(moved.c.slug == slug)).scalar()
    if leads_to is not None and leads_to != of:
        raise NotPossible(
            f"the name {slug!r} was that of the section {leads_to!r}, to which it leads: choose another"
        )
    _check_likeness(connection, slug, of)


def _check_likeness(connection: Connection, slug: str, of: str | None) -> None:
    """Two names that a file system takes for one would have one file between them in the export."""
    known = [(each, each) for (each,) in connection.execute(select(section.c.slug))]
    known += [(each.slug, each.feed) for each in connection.execute(select(moved.c.slug, moved.c.feed))]
    known += [(each, each) for each in kinds.RESERVED]
    if (slug, slug) in known:
        return  # it is not like another's: it is another's
    like = slugs.likeness(slug)
    for name, feed in known:
        if feed != of and slugs.likeness(name) == like:
            raise NotPossible(f"the name {slug!r} is too like {name!r}, which is taken: choose another")


def _find(connection: Connection, slug: str) -> datetime | None:
    """When it was closed, or None. Raises NotFound."""
    row = connection.execute(
        select(section.c.closed_at).where(section.c.slug == slug).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound("section", slug)
    moment: datetime | None = row.closed_at
    return moment


def _rename_feed(connection: Connection, slug: str, new: str, now: datetime) -> None:
    """Puts a copy of the feed, with its id, under the new slug; what belonged to the old one follows."""
    feeds.copy_feed(connection, slug, new, now)
    documents.delete_documents(connection, slug)  # their own addresses are in them: they are made anew
    archives.move_pages(connection, slug, new, now)
    connection.execute(delete(moved).where(moved.c.slug == new))
    placements.move(connection, slug, new)
    connection.execute(update(moved).where(moved.c.feed == slug).values(feed=new))
    feeds.delete_feed(connection, slug)
    connection.execute(insert(moved).values(slug=slug, feed=new, moved_at=now))
