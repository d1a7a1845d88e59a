"""Feeds in the record: which there are, and which of them are due to be built."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import Connection, insert, literal, select

from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.feeds import kinds
from service.store.feeds.kinds import Definition
from service.store.schema.feeds import feed

ARCHIVE_PAGE = (
    50  # stories on a page of an archive: all that are on no complete page yet stand in the feed itself
)
# SQL, of the feed f: a story of it was public, or it is no secret
VISIBLE = "(f.sequence > 0 OR NOT f.hidden)"
# A feed holds the stories of so many complete pages until these are made: it leads to no page that is not there.
PAGES_UNMADE = 20
# Where more than so many are complete, they are made before the feed, if there is time: each story is then written
# once, on its page. A feed of a thousand would be too large, and each would be written a second time, as a summary.
PAGES_BEHIND = 2
NOTHING_NEW: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class FeedDue:
    """A feed to build. `wanted` counts the requests up to when it was read: a later one asks again.

    `born` is the slug it was made with, `pages` the number of pages of its archive
    to which it leads: all later stories stand in it.
    """

    slug: str
    born: str
    title: str
    language: str | None
    made_at: datetime
    wanted: int
    sequence: int
    hidden: bool
    archived: int = 0

    @property
    def shown(self) -> bool:
        """Whether anybody may see that there is such a feed."""
        return self.sequence > 0 or not self.hidden

    @property
    def pages(self) -> int:
        return pages(self.sequence, self.archived)

    @property
    def pages_behind(self) -> int:
        """How many pages are complete and not made yet."""
        return self.sequence // ARCHIVE_PAGE - self.archived

    @property
    def private(self) -> bool:
        """Whether it is a partner's own."""
        return kinds.is_private(self.slug)


FEED_DUE_SQL = """
    SELECT f.slug, f.born, coalesce(s.title, f.title, f.slug), coalesce(s.language, f.language),
        f.created_at, f.wanted, f.sequence, f.hidden, f.archived
    FROM feed f LEFT JOIN section s ON s.slug = f.slug WHERE f.closed_at IS NULL AND """


def due_feeds(record: Record) -> list[FeedDue]:
    """Feeds asked for and not yet built, the longest waiting first."""
    with record.reading() as connection:
        return _DUE.all(connection)


_DUE = Query(FeedDue, FEED_DUE_SQL + "f.wanted > f.built ORDER BY f.wanted_at, f.slug")


def look_again(record: Record, due: FeedDue) -> FeedDue:
    """The feed as it is now; as it was if it was closed or renamed meanwhile."""
    with record.reading() as connection:
        return _ONE.one(connection, slug=due.slug) or due


_ONE = Query(FeedDue, FEED_DUE_SQL + "f.slug = :slug")


def open_feeds(record: Record) -> list[FeedDue]:
    """All public feeds that are not closed and no secret under embargo: sections in the order they were added, then
    the rest by slug."""
    with record.reading() as connection:
        rows = _OPEN.all(connection)
    # By Python, for databases do not agree on the order of texts; it leaves the sections' as it is.
    return sorted(rows, key=lambda each: each.slug if "/" in each.slug else "")


_OPEN = Query(
    FeedDue,
    FEED_DUE_SQL + f"{VISIBLE} AND f.slug NOT LIKE '{kinds.PRIVATE_SLUGS}' ORDER BY s.id IS NULL, s.id",
)


def pages(sequence: int, archived: int) -> int:
    """Pages that are made; where over a thousand stories are on none yet, those that are not among the last few."""
    return max(archived, sequence // ARCHIVE_PAGE - PAGES_UNMADE)


def want(
    connection: Connection, slugs: Iterable[str], now: datetime, new: Mapping[str, int] = NOTHING_NEW
) -> dict[str, int]:
    """Asks for these feeds, and those of partners that read them, to be built, unless they are closed.

    Takes so many numbers of a feed for what is `new` in it. Returns the last number of each that was asked for.
    """
    names = sorted(set(slugs))
    if not names:
        return {}
    values = {"slugs": names, "everything": kinds.ALL in names, "now": now, "new": json.dumps(dict(new))}
    return dict(_WANT.rows(connection, **values))


# Of these feeds, and of those of partners that read them.
_READERS = """
    SELECT 'partner/' || CAST(f.id AS text) FROM partner_feed f WHERE f.revoked_at IS NULL AND (
        f.all_sections AND :everything OR EXISTS (
            SELECT 1 FROM partner_feed_section w JOIN section s ON s.id = w.section_id
            WHERE w.partner_feed_id = f.id AND s.slug IN :slugs[text]))"""
_REQUEST = """
    UPDATE feed SET wanted = wanted + 1, wanted_at = :now, sequence = sequence + coalesce({}, 0)
    WHERE closed_at IS NULL AND slug {} RETURNING slug, sequence"""
_WANT = Statement(
    _REQUEST.format(
        "(SELECT value FROM json_each(:new) WHERE key = feed.slug)",
        f"IN (SELECT value FROM json_each(:slugs) UNION ALL {_READERS})",
    ),
    postgresql=_REQUEST.format(
        "CAST(CAST(:new AS json) ->> slug AS bigint)",
        f"= ANY(CAST(:slugs AS text[]) || ARRAY({_READERS}))",
    ),
)


def make_feed(connection: Connection, definition: Definition, now: datetime) -> None:
    """Makes a feed, and asks for it to be built, unless it is there."""
    make_feeds(connection, [definition], now)


def make_feeds(
    connection: Connection,
    definitions: Iterable[Definition],
    now: datetime,
    new: Mapping[str, int] = NOTHING_NEW,
    *,
    hidden: bool = False,
) -> dict[str, int]:
    """Makes those that are not there, with so many numbers taken for what is `new`; returns their last numbers.

    With `hidden` those in which nothing is new are shown to nobody until something is.
    """
    wanted = {each.slug: each for each in definitions}
    known = {slug for (slug,) in _KNOWN.rows(connection, slugs=list(wanted))}
    rows = [
        {
            "slug": slug,
            "title": each.title,
            "language": each.language,
            "now": now,
            "last": new.get(slug, 0),
            "hidden": hidden,
        }
        for slug, each in wanted.items()
        if slug not in known
    ]
    return dict(row for each in rows for row in _MAKE.rows(connection, **each))


_KNOWN = Statement("SELECT slug FROM feed WHERE slug IN :slugs[text]")
_MAKE = Statement(
    "INSERT INTO feed (slug, born, title, language, created_at, wanted, built, wanted_at, sequence, hidden)"
    " VALUES (:slug, :slug, :title, :language, :now, 1, 0, :now, :last, :hidden)"
    " ON CONFLICT (slug) DO NOTHING RETURNING slug, sequence"
)


def wake_feeds(record: Record, now: datetime) -> int:
    """Asks for the feeds in which an embargo, or the time of a notice, has just ended; returns how many."""
    with record.writing() as connection:
        return _WAKE.run(connection, {"now": now})


_WAKE = Statement(
    "UPDATE feed SET wanted = wanted + 1, wanted_at = :now, due_at = NULL WHERE due_at <= :now AND closed_at IS NULL"
)


def is_open(connection: Connection, slug: str) -> bool:
    """Whether there is a feed of this slug that is not closed."""
    return _IS_OPEN.value(connection, slug=slug) is not None


_IS_OPEN = Statement("SELECT 1 FROM feed WHERE slug = :slug AND closed_at IS NULL")


def note_built(connection: Connection, due: FeedDue, due_at: datetime | None, now: datetime) -> bool:
    """Notes that it is built up to these requests.

    False when a later build was there first, when it was closed, or when the record, set back, knows no such requests.
    """
    return _BUILT.run(connection, {"slug": due.slug, "wanted": due.wanted, "now": now, "due": due_at}) == 1


_BUILT = Statement(
    "UPDATE feed SET built = :wanted, built_at = :now, due_at = :due"
    " WHERE slug = :slug AND built < :wanted AND wanted >= :wanted AND closed_at IS NULL"
)


def note_archived(connection: Connection, slug: str, page: int, now: datetime) -> bool:
    """Notes this page of its archive as the last, and asks for the feed, which leads to it from then on.

    False unless the page before was the last, or when the feed was closed.
    """
    return _ARCHIVED.run(connection, {"slug": slug, "page": page, "now": now}) == 1


_ARCHIVED = Statement(
    "UPDATE feed SET archived = :page, wanted = wanted + 1, wanted_at = :now"
    " WHERE slug = :slug AND archived = :page - 1 AND closed_at IS NULL"
)


def last_number(connection: Connection, slug: str) -> int | None:
    """The last number taken in it; None if there is no such feed."""
    number: int | None = _LAST.value(connection, slug=slug)
    return number


def lock_last_number(connection: Connection, slug: str) -> int | None:
    """The same, locked until the transaction ends: nobody else takes one."""
    number: int | None = _LOCK_LAST.value(connection, slug=slug)
    return number


def set_last_number(connection: Connection, slug: str, number: int) -> None:
    """Takes all numbers up to this one."""
    _SET_LAST.run(connection, {"slug": slug, "number": number})


_LAST = Statement("SELECT sequence FROM feed WHERE slug = :slug")
_LOCK_LAST = Statement("SELECT sequence FROM feed WHERE slug = :slug", locking=" FOR NO KEY UPDATE")
_SET_LAST = Statement("UPDATE feed SET sequence = :number WHERE slug = :slug")


def set_title(connection: Connection, slug: str, title: str) -> None:
    """Gives a feed another title; from then on it may be seen. A section's own title goes before it."""
    _SET_TITLE.run(connection, {"slug": slug, "title": title})


_SET_TITLE = Statement("UPDATE feed SET title = :title, hidden = false WHERE slug = :slug")


def close_feed(connection: Connection, slug: str, now: datetime) -> None:
    """Ends a feed for good: it is not built any more, and its addresses answer 410."""
    _CLOSE.run(connection, {"slug": slug, "now": now})


_CLOSE = Statement("UPDATE feed SET closed_at = :now, due_at = NULL WHERE slug = :slug")


def copy_feed(connection: Connection, slug: str, new: str, now: datetime) -> None:
    """Makes the same feed under a new slug, with its id, and asked for."""
    changed = {
        "slug": literal(new),
        "wanted": feed.c.wanted + 1,
        "wanted_at": literal(now, feed.c.wanted_at.type),
    }
    columns = [changed.get(column.name, column) for column in feed.c]
    copy = select(*columns).where(feed.c.slug == slug)
    connection.execute(insert(feed).from_select([column.name for column in feed.c], copy))


def delete_feed(connection: Connection, slug: str) -> None:
    """Deletes a feed to which nothing belongs any more."""
    _DELETE.run(connection, {"slug": slug})


_DELETE = Statement("DELETE FROM feed WHERE slug = :slug")
