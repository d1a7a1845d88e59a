"""Sections: the desks that have a feed of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from service.store import audit
from service.store.errors import AlreadyExists, NotPossible
from service.store.record import Record
from service.store.schema import feed, section

ALL = "all"  # the feed of everything; no section may take its name


@dataclass(frozen=True)
class Section:
    id: int
    slug: str
    title: str
    language: str | None


def add(
    record: Record, slug: str, title: str, language: str | None, now: datetime, *, actor: str = "operator"
) -> Section:
    """Adds a section and asks for its feed to be built. Raises AlreadyExists, or NotPossible for `all`."""
    if slug == ALL:
        raise NotPossible("the name 'all' belongs to the feed of all sections: choose another")
    row = {"slug": slug, "title": title, "language": language, "created_at": now}
    try:
        with record.writing() as connection:
            number = connection.execute(section.insert().returning(section.c.id), row).scalar_one()
            for name in (slug, ALL):
                _want_feed(connection, name, now)
            detail = {"title": title, "language": language}
            audit.note(connection, actor=actor, action="section.added", target=slug, detail=detail, now=now)
    except IntegrityError:
        raise AlreadyExists("section", slug) from None
    return Section(int(number), slug, title, language)


def all_sections(record: Record) -> list[Section]:
    """All sections, in the order in which they were added."""
    with record.reading() as connection:
        rows = connection.execute(
            select(section.c.id, section.c.slug, section.c.title, section.c.language).order_by(section.c.id)
        )
        return [Section(*row) for row in rows]


def _want_feed(connection: Connection, slug: str, now: datetime) -> None:
    held = connection.execute(select(feed.c.slug).where(feed.c.slug == slug)).one_or_none()
    if held is None:
        connection.execute(feed.insert(), {"slug": slug, "wanted": 1, "built": 0, "wanted_at": now})
