"""Feeds in the record: which are due, what stands in them, and their rendered documents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text, update

from service.store.record import Record
from service.store.schema import document, feed, from_micros, to_micros
from service.store.sections import ALL

WITHDRAWN_STAYS = timedelta(days=14)  # a story taken down keeps its place, as a notice, for this long
NEWEST = 60


@dataclass(frozen=True)
class Document:
    """A feed in one format. `etag` is of the bytes, without quotes; `modified_at` in whole seconds."""

    body: bytes
    etag: str
    modified_at: datetime


@dataclass(frozen=True)
class FeedDue:
    """A feed to build. `wanted` is what was asked for when it was read: what comes later asks again."""

    slug: str
    title: str
    language: str | None
    made_at: datetime
    wanted: int


@dataclass(frozen=True)
class Story:
    """An article as it stands now, for a feed. `status` other than usable: only its notice may be shown."""

    article_id: int
    public_id: str
    revision: int
    status: str
    content: dict[str, Any]
    first_published_at: datetime
    changed_at: datetime
    source_name: str


def get_document(record: Record, slug: str, fmt: str) -> Document | None:
    with record.reading() as connection:
        row = connection.execute(
            document.select().where(document.c.feed == slug, document.c.format == fmt)
        ).one_or_none()
    return None if row is None else Document(bytes(row.body), row.etag, row.modified_at)


def listing(record: Record) -> dict[tuple[str, str], str]:
    """(feed, format) → ETag of every document there is. Cheap: no body is touched."""
    query = text("SELECT feed, format, etag FROM document")
    with record.reading() as connection:
        return {(slug, fmt): etag for slug, fmt, etag in connection.execute(query).all()}


def wake_feeds(record: Record, now: datetime) -> int:
    """Asks for the feeds in which an embargo has just ended; returns how many."""
    with record.writing() as connection:
        due = update(feed).where(feed.c.due_at <= now)
        return connection.execute(due.values(wanted=feed.c.wanted + 1, wanted_at=now, due_at=None)).rowcount


def due_feeds(record: Record) -> list[FeedDue]:
    """Feeds asked for and not yet built, the longest waiting first."""
    query = text(
        "SELECT f.slug, s.title, s.language, f.wanted,"
        " coalesce(s.created_at, (SELECT min(created_at) FROM section)) AS made_at"
        " FROM feed f LEFT JOIN section s ON s.slug = f.slug"
        " WHERE f.wanted > f.built ORDER BY f.wanted_at, f.slug"
    )
    with record.reading() as connection:
        rows = connection.execute(query).all()
    return [
        FeedDue(row.slug, row.title or "All sections", row.language, from_micros(row.made_at), row.wanted)
        for row in rows
    ]


# In a feed stands what is public now; and what was public and was taken down, as a notice, for a time. What was
# taken down before its embargo ended was never public: not even its id is shown.
_PUBLIC = """
    (a.status = 'usable' AND (a.embargo_until IS NULL OR a.embargo_until <= :now)
     OR a.status <> 'usable' AND a.changed_at > :withdrawn AND EXISTS (
        SELECT 1 FROM revision p WHERE p.article_id = a.id AND p.status = 'usable'
        AND (p.embargo_until IS NULL OR p.embargo_until <= a.changed_at)))"""
_STORY = (
    """
    SELECT a.id, a.public_id, a.revision, a.status, a.first_published_at, a.changed_at, a.embargo_until,
        r.content, so.name AS source_name
    FROM {} JOIN revision r ON r.article_id = a.id AND r.number = a.revision
    JOIN source so ON so.id = a.source_id WHERE {} AND """
    + _PUBLIC
    + """
    ORDER BY {} DESC, a.id DESC LIMIT :limit"""
)
_STORIES_OF_ALL = text(_STORY.format("article a", "1 = 1", "a.changed_at"))
_STORIES_OF_SECTION = text(
    _STORY.format(
        "placement p JOIN section s ON s.id = p.section_id JOIN article a ON a.id = p.article_id",
        "s.slug = :slug AND p.listed",
        "p.changed_at",
    )
)


def stories(record: Record, slug: str, now: datetime, limit: int = NEWEST) -> list[Story]:
    """What the feed shows now, the last changed first: so a correction of an old story shows too."""
    values: dict[str, Any] = {
        "now": to_micros(now),
        "withdrawn": to_micros(now - WITHDRAWN_STAYS),
        "limit": limit,
    }
    query = _STORIES_OF_ALL
    if slug != ALL:
        query, values["slug"] = _STORIES_OF_SECTION, slug
    with record.reading() as connection:
        return [_story(row) for row in connection.execute(query, values).all()]


def _story(row: Any) -> Story:
    embargo = row.embargo_until or 0
    return Story(
        article_id=row.id,
        public_id=row.public_id,
        revision=row.revision,
        status=row.status,
        content=json.loads(row.content),
        # What was under embargo is published, and changes, when its time comes, not when it was filed.
        first_published_at=from_micros(max(row.first_published_at, embargo)),
        changed_at=from_micros(max(row.changed_at, embargo)),
        source_name=row.source_name,
    )


def next_embargo(record: Record, slug: str, now: datetime) -> datetime | None:
    """When the next story of this feed becomes public."""
    values: dict[str, Any] = {"now": to_micros(now)}
    query = "SELECT min(a.embargo_until) FROM article a WHERE a.embargo_until > :now AND a.status = 'usable'"
    if slug != ALL:
        values["slug"] = slug
        query += (
            " AND EXISTS (SELECT 1 FROM placement p JOIN section s ON s.id = p.section_id"
            " WHERE p.article_id = a.id AND s.slug = :slug AND p.listed)"
        )
    with record.reading() as connection:
        moment = connection.execute(text(query), values).scalar()
    return None if moment is None else from_micros(int(moment))


def store_documents(
    record: Record, due: FeedDue, bodies: Mapping[Any, bytes], *, due_at: datetime | None, now: datetime
) -> Sequence[str] | None:
    """Writes what was rendered; returns the formats whose bytes changed, or None when a later build was there first.

    ETag and Last-Modified move only when the bytes do; two changes within one second still move the latter.
    """
    with record.writing() as connection:
        mine = (
            update(feed)
            .where(feed.c.slug == due.slug, feed.c.built < due.wanted)
            .values(built=due.wanted, built_at=now, due_at=due_at)
        )
        if connection.execute(mine).rowcount != 1:
            return None
        return [fmt for fmt, body in bodies.items() if _store(connection, due.slug, fmt, body, now)]


def _store(connection: Connection, slug: str, fmt: str, body: bytes, now: datetime) -> bool:
    etag = hashlib.sha256(body).hexdigest()[:32]
    second = now.replace(microsecond=0)
    held = connection.execute(
        document.select().where(document.c.feed == slug, document.c.format == fmt)
    ).one_or_none()
    if held is None:
        row = {"feed": slug, "format": fmt, "body": body, "etag": etag, "modified_at": second}
        connection.execute(document.insert(), row)
        return True
    if held.etag == etag:
        return False
    moved = max(second, held.modified_at + timedelta(seconds=1))
    connection.execute(
        update(document)
        .where(document.c.feed == slug, document.c.format == fmt)
        .values(body=body, etag=etag, modified_at=moved)
    )
    return True
