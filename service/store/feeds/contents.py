"""The contents of feeds: which stories stand in each now, in what order, and their content."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from service.store.content import read
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.feeds.archives import span
from service.store.feeds.feeds import ARCHIVE_PAGE, FeedDue
from service.store.schema.base import from_micros, to_micros

NEWEST = 60  # stories
# Takedowns with a tombstone in Atom. A held story may come back: readers that obey a tombstone retire it for good.
DELETED = frozenset({"killed", "unpublished"})
MOST_NOTICES = 300  # of stories that were taken down


class Placement(NamedTuple):
    """A story in a feed, without its content: with these the feed is spliced. `changed_at` never precedes the
    embargo. `withdrawn`: only its notice may be shown. `deleted`: for good, as far as we know; not while it is held.
    Feeds are in the order of `placed_at`, which no clock that was ahead puts before what came later. `content_hash` is
    that of the revision's content and status.
    """

    article_id: int
    public_id: str
    revision: int
    withdrawn: bool
    changed_at: datetime
    placed_at: datetime
    content_hash: str
    deleted: bool = False


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
    content_hash: str


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


class _PlacementRow(NamedTuple):
    """A row as the driver returns it. `weight` says how much the notice of a story weighs: 1 goes before 2."""

    article_id: int
    public_id: str
    revision: int
    status: str
    weight: int | None
    changed_at: int
    placed_at: int
    content_hash: str


_COLUMNS = """
    SELECT a.id, a.public_id, a.revision, a.status, p.withdrawn, CASE WHEN a.status = 'usable'
        AND a.embargo_until > a.changed_at THEN a.embargo_until ELSE a.changed_at END AS changed_at,
        p.changed_at AS placed_at, a.content_hash
    FROM placement p JOIN article a ON a.id = p.article_id WHERE p.feed = :feed AND """
_IN_TIME = f"a.changed_at > :withdrawn AND {_NOTICE}"
# What is killed and not yet placed as such shows its notice in its old place.
_SHOWN = f"p.listed AND ({USABLE} OR {_IN_TIME})"
_NEWEST_FIRST = ' ORDER BY p.changed_at DESC, a.public_id COLLATE "C" LIMIT :limit'
_NEWEST = Statement(_COLUMNS + _SHOWN + _NEWEST_FIRST)
# The weight is written out: so each half is read from the end of its part of the index, as far as the limit.
_NOTICES = Statement(
    " UNION ALL ".join(
        f"SELECT * FROM ({_COLUMNS} p.withdrawn = {weight} AND p.changed_at > :withdrawn"
        f" AND {_NOTICE}{_NEWEST_FIRST}) AS weight{weight}"
        for weight in (1, 2)
    )
)
_UNARCHIVED = Statement(
    f"{_COLUMNS} p.sequence > :first AND p.sequence <= :last AND (p.listed AND {USABLE} OR {_IN_TIME})"
)
_ON_PAGE = Statement(
    f"{_COLUMNS} p.sequence > :first AND p.sequence <= :last AND ({USABLE} OR {_NOTICE})"
    " ORDER BY p.sequence DESC"
)


# A document can hold no more stories.
MOST_SHOWN = 1_000
_ARCHIVED = Statement(
    "SELECT article_id FROM placement WHERE feed = :feed AND sequence <= :last ORDER BY changed_at DESC LIMIT :limit"
)


def placements(record: Record, due: FeedDue, now: datetime, *, withdrawn_stays: timedelta) -> list[Placement]:
    """The stories that the feed shows now, the last changed first, so that a correction of an old one shows too.

    Besides the newest stories it holds every notice in its time, and all that is on no complete page of its archive
    yet: nobody misses a story, or its end.
    """
    stories = newest(record, due.slug, now, withdrawn_stays=withdrawn_stays)
    withdrawn = notices(record, [due.slug], now, withdrawn_stays=withdrawn_stays)
    full = len(stories) == NEWEST or len(withdrawn) == MOST_NOTICES
    if full and due.sequence > due.pages * ARCHIVE_PAGE:
        stories = [*stories, *_unarchived(record, due, now, withdrawn_stays)]
    return in_order({each.article_id: each for each in (*stories, *withdrawn)}.values())


def archived_stories(record: Record, due: FeedDue) -> frozenset[int]:
    """The newest of the stories that are on the made pages of the feed's archive: those that its documents can miss."""
    if due.private:
        return frozenset()
    with record.reading() as connection:
        rows = _ARCHIVED.rows(connection, feed=due.slug, last=due.pages * ARCHIVE_PAGE, limit=MOST_SHOWN)
    return frozenset(article_id for (article_id,) in rows)


def left_at(record: Record, due: FeedDue, now: datetime) -> datetime | None:
    """When a story last left the feed, for another or by a takedown. None for a partner's own."""
    with record.reading() as connection:
        moment = _LEFT.value(connection, feed=due.slug, now=now)
    return None if moment is None else from_micros(int(moment))


_LEFT = Statement(
    "SELECT max(changed_at) FROM placement WHERE feed = :feed AND NOT listed AND changed_at <= :now"
)


def newest(
    record: Record, slug: str, now: datetime, *, withdrawn_stays: timedelta, limit: int = NEWEST
) -> list[Placement]:
    """The stories of this feed that changed last, the newest first."""
    moments = _moments(now, withdrawn_stays)
    with record.reading() as connection:
        return list(map(_placement, _NEWEST.rows(connection, feed=slug, limit=limit, **moments)))


def notices(
    record: Record, slugs: Collection[str], now: datetime, *, withdrawn_stays: timedelta
) -> list[Placement]:
    """The stories taken down in these feeds whose notices have not been shown for their whole time yet.

    Of more than there is room for, what was killed or withheld goes before what was unpublished or has expired, then
    what is newer. It is shown at once, even if it was taken down by a clock that is ahead of `now`.
    """
    moments = _moments(now, withdrawn_stays)
    found: dict[int, _PlacementRow] = {}
    with record.reading() as connection:
        for slug in slugs:
            rows = _NOTICES.rows(connection, feed=slug, limit=MOST_NOTICES, **moments)
            found |= {row.article_id: row for row in map(_PlacementRow._make, rows)}
    ordered = sorted(found.values(), key=lambda row: (row.weight, -row.changed_at, row.public_id))
    return list(map(_placement, ordered[:MOST_NOTICES]))


def in_order(shown: Iterable[Placement]) -> list[Placement]:
    """The last changed first; what changed at the same moment in the order of its ids."""
    return sorted(sorted(shown, key=_public_id), key=_placed_at, reverse=True)


_public_id = attrgetter("public_id")
_placed_at = attrgetter("placed_at")


def _unarchived(record: Record, due: FeedDue, now: datetime, withdrawn_stays: timedelta) -> list[Placement]:
    """The stories on no complete page: notices, too, of which there are more than the feed has room for."""
    moments = _moments(now, withdrawn_stays)
    with record.reading() as connection:
        rows = _UNARCHIVED.rows(
            connection, feed=due.slug, first=due.pages * ARCHIVE_PAGE, last=due.sequence, **moments
        )
        return list(map(_placement, rows))


def _moments(now: datetime, withdrawn_stays: timedelta) -> dict[str, int]:
    return {"now": to_micros(now), "withdrawn": to_micros(now - withdrawn_stays)}


def page_placements(record: Record, slug: str, page: int, now: datetime) -> list[Placement]:
    """The stories on a page of the archive, the newest first: wherever they have moved, and notices without end."""
    with record.reading() as connection:
        return list(map(_placement, _ON_PAGE.rows(connection, feed=slug, now=now, **span(page))))


def _placement(row: Iterable[Any]) -> Placement:
    each = _PlacementRow._make(row)
    return Placement(
        article_id=each.article_id,
        public_id=each.public_id,
        revision=each.revision,
        withdrawn=each.status != "usable",
        changed_at=from_micros(each.changed_at),
        placed_at=from_micros(each.placed_at),
        content_hash=each.content_hash,
        deleted=each.status in DELETED,
    )


def next_change(
    record: Record, due: FeedDue, shown: Collection[Placement], now: datetime, *, withdrawn_stays: timedelta
) -> datetime | None:
    """When the feed changes by itself: its next embargo ends, or the time of a notice in it."""
    with record.reading() as connection:
        opening = _OPENING.value(connection, feed=due.slug, now=now)
    moments = [each.changed_at + withdrawn_stays for each in shown if each.withdrawn]
    if opening is not None:
        moments.append(from_micros(int(opening)))
    return min(moments, default=None)


_OPENING = Statement(
    "SELECT min(changed_at) FROM placement WHERE feed = :feed AND listed AND changed_at > :now"
)


def stories(record: Record, wanted: Collection[Placement]) -> list[Story]:
    """These stories with their content, each in the revision that was seen."""
    by_revision: dict[int, list[int]] = {}
    for each in wanted:
        by_revision.setdefault(each.revision, []).append(each.article_id)
    with record.reading() as connection:
        return [
            _story(row)
            for number, articles in by_revision.items()
            for row in _STORIES.all(connection, number=number, articles=articles)
        ]


class _StoryRow(NamedTuple):
    article_id: int
    public_id: str
    revision: int
    status: str
    content: str
    first_published_at: datetime
    accepted_at: datetime
    embargo_until: datetime | None
    source_name: str
    content_hash: str


_STORIES = Query(
    _StoryRow,
    """
    SELECT a.id, a.public_id, r.number, r.status, r.content, a.first_published_at, r.accepted_at, r.embargo_until,
        s.name, r.content_hash
    FROM article a JOIN revision r ON r.article_id = a.id JOIN source s ON s.id = a.source_id
    WHERE a.id IN :articles[] AND r.number = :number""",
)


def _story(row: _StoryRow) -> Story:
    # What was under embargo is published, and changes, when its time comes, not when it was filed.
    opened = row.embargo_until if row.embargo_until and _has_opened(row) else None
    return Story(
        article_id=row.article_id,
        public_id=row.public_id,
        revision=row.revision,
        status=row.status,
        content=read(row.content),
        first_published_at=max(row.first_published_at, opened or row.first_published_at),
        changed_at=max(row.accepted_at, opened or row.accepted_at),
        source_name=row.source_name,
        content_hash=row.content_hash,
    )


def _has_opened(row: _StoryRow) -> bool:
    """A takedown does not wait for an embargo that was still to come."""
    return row.status == "usable" or (row.embargo_until is not None and row.embargo_until <= row.accepted_at)
