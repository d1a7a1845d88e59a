"""What a feed shows: which stories stand in it now, in what order, and their content."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, TextClause, bindparam, select, text, update

from service.store.content import read
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.feeds.documents import FeedDue
from service.store.feeds.placements import PAGE
from service.store.schema.articles import article, revision, source
from service.store.schema.base import from_micros, to_micros
from service.store.schema.feeds import feed

NEWEST = 60  # stories
MOST_NOTICES = 300  # of what was taken down


@dataclass(frozen=True)
class Place:
    """A story in a feed, without its content: with these the feed is spliced. `changed_at` never precedes the
    embargo. `withdrawn`: only its notice may be shown."""

    article_id: int
    public_id: str
    revision: int
    withdrawn: bool
    changed_at: datetime


@dataclass(frozen=True)
class Story:
    """A revision of an article, for a feed. `status` other than usable: only its notice may be shown."""

    article_id: int
    public_id: str
    revision: int
    status: str
    content: dict[str, Any]
    first_published_at: datetime
    changed_at: datetime
    source_name: str


# In a feed stands what is public now. And what was public and was taken down, as a notice, wherever it once stood.
# What was taken down before its embargo ended was never public: not even its id is shown.
USABLE = (
    "a.status = 'usable' AND (a.embargo_until IS NULL OR a.embargo_until <= :now)"
    " AND (a.expires_at IS NULL OR a.expires_at > :now)"
)
_NOTICE = """a.status <> 'usable' AND EXISTS (
    SELECT 1 FROM revision r JOIN revision n ON n.article_id = r.article_id AND n.number = r.number + 1
    WHERE r.article_id = a.id AND r.status = 'usable'
    AND (r.embargo_until IS NULL OR r.embargo_until < n.accepted_at))"""
_COLUMNS = """
    SELECT a.id, a.public_id, a.revision, a.status, p.withdrawn, CASE WHEN a.status = 'usable'
        AND a.embargo_until > a.changed_at THEN a.embargo_until ELSE a.changed_at END AS changed_at
    FROM placement p JOIN article a ON a.id = p.article_id WHERE p.feed = :feed AND """
_IN_TIME = f"a.changed_at > :withdrawn AND {_NOTICE}"
# What is killed and not yet placed as such shows its notice in its old place.
_SHOWN = f"p.changed_at <= :now AND p.listed AND ({USABLE} OR {_IN_TIME})"
# The weight is written out: so each half is read from the end of its part of the index, as far as the limit.
_NOTICES = " UNION ALL ".join(
    f"SELECT * FROM ({_COLUMNS} p.withdrawn = {weight} AND p.changed_at > :withdrawn"
    f" AND {_NOTICE}{{order}}) AS weight{weight}"
    for weight in (1, 2)
)


@cache
def _statement(query: str) -> TextClause:
    """Read once: to look for its parameters costs as much as to run it."""
    return text(query)


def places(record: Record, due: FeedDue, now: datetime, *, withdrawn_stays: timedelta) -> list[Place]:
    """What the feed shows now, the last changed first, so that a correction of an old story shows too.

    Besides the newest stories it holds every notice in its time, and all that is on no complete page of its archive
    yet: nobody misses a story, or its end.
    """
    stories = newest(record, due.slug, now, withdrawn_stays=withdrawn_stays)
    told = notices(record, [due.slug], now, withdrawn_stays=withdrawn_stays)
    full = len(stories) == NEWEST or len(told) == MOST_NOTICES
    if full and due.sequence % PAGE:
        stories = [*stories, *_unarchived(record, due, now, withdrawn_stays)]
    return in_order({each.article_id: each for each in (*stories, *told)}.values())


def newest(
    record: Record, slug: str, now: datetime, *, withdrawn_stays: timedelta, limit: int = NEWEST
) -> list[Place]:
    """The stories of this feed that changed last, the newest first."""
    query = _COLUMNS + _SHOWN + _newest_first(record)
    values = {"feed": slug, **_moments(now, withdrawn_stays), "limit": limit}
    with record.reading() as connection:
        return [_place(row) for row in connection.execute(_statement(query), values).all()]


def notices(
    record: Record, slugs: Collection[str], now: datetime, *, withdrawn_stays: timedelta
) -> list[Place]:
    """What was taken down in these feeds and has not been told for its whole time yet, however much came since.

    Of more than there is room for, what was killed or withheld goes before what was unpublished or has expired, then
    what is newer. It is shown at once, even if it was taken down by a clock that is ahead of `now`.
    """
    query = _statement(_NOTICES.format(order=_newest_first(record)))
    found: dict[int, Any] = {}
    with record.reading() as connection:
        for slug in slugs:
            values = {"feed": slug, **_moments(now, withdrawn_stays), "limit": MOST_NOTICES}
            found |= {row.id: row for row in connection.execute(query, values).all()}
    rows = sorted(found.values(), key=lambda row: (row.withdrawn, -row.changed_at, row.public_id))
    return [_place(row) for row in rows[:MOST_NOTICES]]


def in_order(shown: Iterable[Place]) -> list[Place]:
    """The last changed first; what changed at the same moment in the order of its ids."""
    return sorted(sorted(shown, key=_public_id), key=_changed_at, reverse=True)


_public_id = attrgetter("public_id")
_changed_at = attrgetter("changed_at")


def _unarchived(record: Record, due: FeedDue, now: datetime, withdrawn_stays: timedelta) -> list[Place]:
    """What is on no complete page: notices, too, of which there are more than the feed has room for."""
    query = (
        f"{_COLUMNS} p.sequence > :first AND p.sequence <= :last"
        f" AND (p.changed_at <= :now AND p.listed AND {USABLE} OR {_IN_TIME})"
    )
    first = due.pages * PAGE
    values = {"feed": due.slug, **_moments(now, withdrawn_stays), "first": first, "last": first + PAGE}
    with record.reading() as connection:
        return [_place(row) for row in connection.execute(_statement(query), values).all()]


def _moments(now: datetime, withdrawn_stays: timedelta) -> dict[str, int]:
    return {"now": to_micros(now), "withdrawn": to_micros(now - withdrawn_stays)}


def page_places(record: Record, slug: str, page: int, now: datetime) -> list[Place]:
    """What stands on a page of the archive, the newest first: wherever it has moved, and notices without end."""
    query = (
        f"{_COLUMNS} p.sequence > :first AND p.sequence <= :last AND ({USABLE} OR {_NOTICE})"
        " ORDER BY p.sequence DESC"
    )
    values = {"feed": slug, "first": (page - 1) * PAGE, "last": page * PAGE, "now": to_micros(now)}
    with record.reading() as connection:
        return [_place(row) for row in connection.execute(_statement(query), values).all()]


def _newest_first(record: Record) -> str:
    return f" ORDER BY p.changed_at DESC, {_by_id(record)} LIMIT :limit"


def _by_id(record: Record) -> str:
    """The order of ids, byte by byte, on either database."""
    return "a.public_id" if record.is_sqlite else 'a.public_id COLLATE "C"'


def _place(row: Any) -> Place:
    return Place(row.id, row.public_id, row.revision, row.status != "usable", from_micros(row.changed_at))


def next_change(
    record: Record, due: FeedDue, shown: Collection[Place], now: datetime, *, withdrawn_stays: timedelta
) -> datetime | None:
    """When the feed changes by itself: its next embargo ends, or the time of a notice in it."""
    query = _statement(
        "SELECT min(changed_at) FROM placement WHERE feed = :feed AND listed AND changed_at > :now"
    )
    with record.reading() as connection:
        opening = connection.execute(query, {"feed": due.slug, "now": to_micros(now)}).scalar()
    moments = [place.changed_at + withdrawn_stays for place in shown if place.withdrawn]
    if opening is not None:
        moments.append(from_micros(int(opening)))
    return min(moments, default=None)


def number_new(record: Record, due: FeedDue, now: datetime) -> int:
    """Gives what is public in this feed for the first time its numbers; returns the last number given in it."""
    query = (
        f"SELECT p.article_id FROM placement p JOIN article a ON a.id = p.article_id WHERE p.feed = :feed"
        # `= true`: so SQLite looks at what has no number yet, and not at all that is listed.
        f" AND p.sequence IS NULL AND p.listed = true AND p.changed_at <= :now AND {USABLE}"
        f" ORDER BY p.changed_at, {_by_id(record)}"
    )
    values = {"feed": due.slug, "now": to_micros(now)}
    with record.reading() as connection:
        if connection.execute(_statement(query + " LIMIT 1"), values).first() is None:
            # As it is now: another process may have numbered what was new when `due` was read.
            return connection.execute(_SEQUENCE, {"which": due.slug}).scalar() or due.sequence
    with record.writing() as connection:
        last = connection.execute(_LAST, {"which": due.slug}).scalar()
        if last is None:
            return due.sequence  # renamed meanwhile
        ids = connection.execute(_statement(query), values).scalars().all()
        _number(connection, due.slug, last, ids)
        return int(last) + len(ids)


_SEQUENCE = select(feed.c.sequence).where(feed.c.slug == bindparam("which"))
_LAST = _SEQUENCE.with_for_update(key_share=True)
_GIVE = Statement(
    "UPDATE placement SET sequence = :last + v.key + 1 FROM json_each(:ids) v"
    " WHERE feed = :feed AND article_id = v.value",
    postgresql="UPDATE placement SET sequence = :last + v.place"
    " FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS v(which, place)"
    " WHERE feed = :feed AND article_id = v.which",
)
_TELL = update(feed).where(feed.c.slug == bindparam("which")).values(sequence=bindparam("number"))


def _number(connection: Connection, slug: str, last: int, ids: Collection[int]) -> None:
    if not ids:
        return
    _GIVE.run(connection, {"feed": slug, "ids": list(ids), "last": last})
    connection.execute(_TELL, {"which": slug, "number": last + len(ids)})


def stories(record: Record, wanted: Collection[Place]) -> list[Story]:
    """These stories with their content, each in the revision that was seen."""
    revisions = {place.article_id: place.revision for place in wanted}
    query = (
        select(
            article.c.id,
            article.c.public_id,
            article.c.first_published_at,
            revision.c.number,
            revision.c.status,
            revision.c.content,
            revision.c.embargo_until,
            revision.c.accepted_at,
            source.c.name,
        )
        .join(revision, revision.c.article_id == article.c.id)
        .join(source, source.c.id == article.c.source_id)
    )
    found = []
    with record.reading() as connection:
        for number, ids in _by_revision(revisions).items():
            rows = connection.execute(query.where(article.c.id.in_(ids), revision.c.number == number))
            found += [_story(row) for row in rows]
    return found


def _by_revision(revisions: dict[int, int]) -> dict[int, list[int]]:
    grouped: dict[int, list[int]] = {}
    for article_id, number in revisions.items():
        grouped.setdefault(number, []).append(article_id)
    return grouped


def _story(row: Any) -> Story:
    # What was under embargo is published, and changes, when its time comes, not when it was filed.
    opened = row.embargo_until if row.embargo_until and _has_opened(row) else None
    return Story(
        article_id=row.id,
        public_id=row.public_id,
        revision=row.number,
        status=row.status,
        content=read(row.content),
        first_published_at=max(row.first_published_at, opened or row.first_published_at),
        changed_at=max(row.accepted_at, opened or row.accepted_at),
        source_name=row.name,
    )


def _has_opened(row: Any) -> bool:
    """A takedown does not wait for an embargo that was still to come."""
    return bool(row.status == "usable" or row.embargo_until <= row.accepted_at)
