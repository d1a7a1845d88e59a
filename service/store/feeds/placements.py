"""Where articles stand: routing notes it here, makes the feeds that are new, and asks for those that change."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, select, text

from service.store.database.sql import Rows, Statement
from service.store.events import Event
from service.store.feeds import kinds
from service.store.feeds.kinds import Definition
from service.store.schema.articles import TAKEDOWNS
from service.store.schema.base import to_micros
from service.store.schema.feeds import feed, placement

NOTHING_NEW: Mapping[str, int] = MappingProxyType({})
_Key = tuple[int, str]  # article, feed
PAGE = 50  # stories on a page of an archive: all that are on no complete page yet stand in the feed itself
_REWRITES = frozenset({*TAKEDOWNS, "article.restored"})
# What a notice weighs where there are more than a feed may hold: 1 goes before 2.
_WEIGHTS = {"article.killed": 1, "article.withheld": 1, "article.unpublished": 2}


def place(connection: Connection, events: Sequence[Event], sections: Mapping[str, str], now: datetime) -> int:
    """Notes in which feeds each article stands, and asks for those it stands or stood in; returns how many.

    Every event counts, not only the newest: where a story once stood, its takedown will be told. `sections` are those
    of `section_feeds`. What becomes public by this gets its numbers here, which spares writing it once more; all else
    (embargoes, moves, clocks that are ahead) by who builds the feed.
    """
    stood = _stood(connection, sorted({each.article_id for each in events if each.revision > 1}))
    made: dict[str, Definition] = {}
    rows: dict[_Key, dict[str, Any]] = {}
    for each in events:
        found = kinds.stands_in(each.places, source=each.source, sections=sections)
        # A takedown is told where the story stood, whatever it says of sections.
        stands = {} if each.type in TAKEDOWNS else {definition.slug: definition for definition in found}
        made |= stands
        stood[each.article_id] |= stands.keys()
        # What is taken down is told at once, whatever its embargo.
        embargo = None if each.type in TAKEDOWNS else each.embargo_until
        changed_at = max(each.accepted_at, embargo or each.accepted_at)
        for slug in stood[each.article_id]:
            rows[each.article_id, slug] = {
                "feed": slug,
                "article_id": each.article_id,
                "listed": slug in stands,
                "withdrawn": _WEIGHTS.get(each.type),
                "changed_at": to_micros(changed_at),
                "sequence": None,
            }
    # The feeds first: who numbers what is new in a feed holds the feed as well.
    new = _new(events, rows, now)
    counts = {slug: len(keys) for slug, keys in new.items()}
    last = _want(connection, {slug for _, slug in rows}, now, counts)
    asked = set(last).union(made)
    if missing := [definition for slug, definition in made.items() if slug not in last]:
        last |= _make(connection, missing, now, counts)
    for slug in new.keys() & last.keys():
        for number, key in enumerate(new[slug], last[slug] - counts[slug] + 1):
            rows[key]["sequence"] = number
    _PLACEMENTS.insert(connection, sorted(rows.values(), key=lambda row: (row["feed"], row["article_id"])))
    _rewrite_pages(connection, events, now)
    return len(asked)


def want(connection: Connection, slugs: Iterable[str], now: datetime) -> int:
    """Asks for these feeds, and those of partners that read them, to be built, unless they are closed.

    Returns how many.
    """
    return len(_want(connection, set(slugs), now))


def _new(
    events: Sequence[Event], rows: Mapping[_Key, Mapping[str, Any]], now: datetime
) -> dict[str, list[_Key]]:
    """By feed, what becomes public in it by these events: it is routed for the first time, and stands there now."""
    first = {each.article_id for each in events if each.revision == 1}
    public = {
        each.article_id
        for each in events
        if each.revision == each.newest
        and each.newest_status == "usable"
        and (each.expires_at is None or each.expires_at > now)
    }
    fresh, moment = first & public, to_micros(now)
    new: dict[str, list[_Key]] = defaultdict(list)
    for key, row in rows.items():
        if key[0] in fresh and row["listed"] and row["changed_at"] <= moment:
            new[key[1]].append(key)
    return new


def _want(
    connection: Connection, slugs: set[str], now: datetime, new: Mapping[str, int] = NOTHING_NEW
) -> dict[str, int]:
    """Takes so many numbers of a feed for what is `new` in it; returns the last number of each that was asked for."""
    if not slugs:
        return {}
    values = {
        "slugs": sorted(slugs),
        "everything": kinds.ALL in slugs,
        "now": now,
        "new": json.dumps(dict(new)),
    }
    return dict(_WANT.rows(connection, **values))


def make_feed(connection: Connection, definition: Definition, now: datetime) -> None:
    """Makes a feed, and asks for it to be built, unless it is there."""
    _make(connection, [definition], now)


def section_feeds(connection: Connection) -> dict[str, str]:
    """From every name that an open section has, or had before it was renamed, to its feed's slug."""
    return dict(_SECTION_FEEDS.rows(connection))


_SECTION_FEEDS = Statement("""
    SELECT slug, slug FROM section WHERE closed_at IS NULL
    UNION ALL SELECT m.slug, m.feed FROM moved m JOIN section s ON s.slug = m.feed WHERE s.closed_at IS NULL""")


def _stood(connection: Connection, articles: list[int]) -> dict[int, set[str]]:
    stood: dict[int, set[str]] = defaultdict(set)
    for article_id, slug in _STOOD.rows(connection, articles=articles) if articles else ():
        stood[article_id].add(slug)
    return stood


_STOOD = Statement("SELECT article_id, feed FROM placement WHERE article_id IN :articles[]")


def _make(
    connection: Connection,
    definitions: Iterable[Definition],
    now: datetime,
    new: Mapping[str, int] = NOTHING_NEW,
) -> dict[str, int]:
    """Those that were not there, and their last numbers; so many are taken for what is `new`."""
    wanted = {each.slug: each for each in definitions}
    held = set(connection.execute(select(feed.c.slug).where(feed.c.slug.in_(list(wanted)))).scalars())
    rows = [
        {
            "slug": each.slug,
            "title": each.title,
            "language": each.language,
            "now": to_micros(now),
            "last": new.get(slug, 0),
        }
        for slug, each in wanted.items()
        if slug not in held
    ]
    return dict(row for each in rows for row in _MAKE.rows(connection, **each))


def _rewrite_pages(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """A page of an archive is made again for a takedown, its end, or a new embargo; never for an update."""
    articles = {
        each.article_id
        for each in events
        if each.type in _REWRITES or (each.embargo_until is not None and each.embargo_until > now)
    }
    if articles:
        connection.execute(
            _REWRITE, [{"article": number, "now": to_micros(now)} for number in sorted(articles)]
        )


# Of these feeds, and of those of partners that read them.
_READERS = """
    SELECT 'partner/' || CAST(f.id AS text) FROM partner_feed f WHERE f.revoked_at IS NULL AND (
        f.all_sections AND :everything OR EXISTS (
            SELECT 1 FROM partner_feed_section w JOIN section s ON s.id = w.section_id
            WHERE w.partner_feed_id = f.id AND s.slug IN :slugs[text]))"""
_TAKE = """
    UPDATE feed SET wanted = wanted + 1, wanted_at = :now, sequence = sequence + coalesce({}, 0)
    WHERE closed_at IS NULL AND slug {} RETURNING slug, sequence"""
_WANT = Statement(
    _TAKE.format(
        "(SELECT value FROM json_each(:new) WHERE key = feed.slug)",
        f"IN (SELECT value FROM json_each(:slugs) UNION ALL {_READERS})",
    ),
    postgresql=_TAKE.format(
        "CAST(CAST(:new AS json) ->> slug AS bigint)",
        f"= ANY(CAST(:slugs AS text[]) || ARRAY({_READERS}))",
    ),
)
_MAKE = Statement(
    "INSERT INTO feed (slug, born, title, language, created_at, wanted, built, wanted_at, sequence)"
    " VALUES (:slug, :slug, :title, :language, :now, 1, 0, :now, :last)"
    " ON CONFLICT (slug) DO NOTHING RETURNING slug, sequence"
)
_PLACEMENTS = Rows(
    placement,
    {
        "feed": "text",
        "article_id": "bigint",
        "listed": "boolean",
        "withdrawn": "integer",
        "changed_at": "bigint",
        "sequence": "bigint",
    },
    conflict="ON CONFLICT (feed, article_id) DO UPDATE"
    " SET listed = excluded.listed, withdrawn = excluded.withdrawn, changed_at = excluded.changed_at",
)
_REWRITE = text(
    "UPDATE archive SET due_at = :now WHERE EXISTS (SELECT 1 FROM placement p WHERE p.article_id = :article"
    f" AND p.feed = archive.feed AND p.sequence > (archive.page - 1) * {PAGE}"
    f" AND p.sequence <= archive.page * {PAGE})"
)
