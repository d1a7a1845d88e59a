"""Where articles stand: routing notes it here, makes the feeds that are new, and asks for those that change."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, text, update

from service.store import kinds
from service.store.kinds import Definition
from service.store.schema import TAKEDOWNS, article, section, source, to_micros
from service.store.schema_feeds import feed, moved, placement

PAGE = 50  # stories on a page of an archive: all that are on no complete page yet stand in the feed itself
_REWRITES = frozenset({*TAKEDOWNS, "article.restored"})
# What a notice weighs where there are more than a feed may hold: 1 goes before 2.
_WEIGHTS = {"article.killed": 1, "article.withheld": 1, "article.unpublished": 2}


def place(connection: Connection, events: Sequence[Any], now: datetime) -> int:
    """Notes in which feeds each article stands, and asks for those it stands or stood in; returns how many.

    Every event counts, not only the newest: where a story once stood, its takedown will be told.
    """
    known = section_feeds(connection)
    articles = sorted({each.article_id for each in events})
    sources = _sources(connection, articles)
    stood = _stood(connection, articles)
    made: dict[str, Definition] = {}
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for each in events:
        found = kinds.stands_in(json.loads(each.content), source=sources[each.article_id], sections=known)
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
            }
    _make(connection, made.values(), now)
    # The feeds first: who numbers what is new in a feed, or writes its pages, holds the feed as well.
    asked = want(connection, {slug for _, slug in rows}, now)
    if rows:
        connection.execute(_PLACE, sorted(rows.values(), key=lambda row: (row["feed"], row["article_id"])))
    _rewrite_pages(connection, events, now)
    return asked


def want(connection: Connection, slugs: Iterable[str], now: datetime) -> int:
    """Asks for these feeds, and those of partners that read them, to be built, unless they are closed.

    Returns how many.
    """
    wanted = set(slugs)
    if wanted:
        rows = connection.execute(_READERS, {"slugs": sorted(wanted), "everything": kinds.ALL in wanted})
        wanted |= {kinds.of_partner(number) for number in rows.scalars()}
    asked = update(feed).where(feed.c.slug.in_(sorted(wanted)), feed.c.closed_at.is_(None))
    return connection.execute(asked.values(wanted=feed.c.wanted + 1, wanted_at=now)).rowcount


def make_feed(connection: Connection, definition: Definition, now: datetime) -> None:
    """Makes a feed, and asks for it to be built, unless it is there."""
    _make(connection, [definition], now)


def section_feeds(connection: Connection) -> dict[str, str]:
    """From every name that an open section has, or had before it was renamed, to its feed's slug."""
    open_sections = select(section.c.slug).where(section.c.closed_at.is_(None))
    slugs = set(connection.execute(open_sections).scalars())
    former = connection.execute(select(moved.c.slug, moved.c.feed))
    return {slug: slug for slug in slugs} | {old: new for old, new in former if new in slugs}


def _sources(connection: Connection, articles: list[int]) -> dict[int, tuple[str, str]]:
    query = select(article.c.id, source.c.slug, source.c.name).join(
        source, source.c.id == article.c.source_id
    )
    rows = connection.execute(query.where(article.c.id.in_(articles)))
    return {number: (slug, name) for number, slug, name in rows}


def _stood(connection: Connection, articles: list[int]) -> dict[int, set[str]]:
    stood: dict[int, set[str]] = defaultdict(set)
    query = select(placement.c.article_id, placement.c.feed).where(placement.c.article_id.in_(articles))
    for article_id, slug in connection.execute(query):
        stood[article_id].add(slug)
    return stood


def _make(connection: Connection, definitions: Iterable[Definition], now: datetime) -> None:
    wanted = {each.slug: each for each in definitions}
    held = set(connection.execute(select(feed.c.slug).where(feed.c.slug.in_(list(wanted)))).scalars())
    rows = [
        {
            "slug": each.slug,
            "title": each.title,
            "language": each.language,
            "now": to_micros(now),
        }
        for slug, each in wanted.items()
        if slug not in held
    ]
    if rows:
        connection.execute(_MAKE, rows)


def _rewrite_pages(connection: Connection, events: Sequence[Any], now: datetime) -> None:
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


_READERS = text(
    "SELECT f.id FROM partner_feed f WHERE f.revoked_at IS NULL AND (f.all_sections AND :everything"
    " OR EXISTS (SELECT 1 FROM partner_feed_section w JOIN section s ON s.id = w.section_id"
    " WHERE w.partner_feed_id = f.id AND s.slug IN :slugs))"
).bindparams(bindparam("slugs", expanding=True))
_MAKE = text(
    "INSERT INTO feed (slug, born, title, language, created_at, wanted, built, wanted_at)"
    " VALUES (:slug, :slug, :title, :language, :now, 1, 0, :now) ON CONFLICT (slug) DO NOTHING"
)
_PLACE = text(
    "INSERT INTO placement (feed, article_id, listed, withdrawn, changed_at)"
    " VALUES (:feed, :article_id, :listed, :withdrawn, :changed_at)"
    " ON CONFLICT (feed, article_id) DO UPDATE"
    " SET listed = excluded.listed, withdrawn = excluded.withdrawn, changed_at = excluded.changed_at"
)
_REWRITE = text(
    "UPDATE archive SET due_at = :now WHERE EXISTS (SELECT 1 FROM placement p WHERE p.article_id = :article"
    f" AND p.feed = archive.feed AND p.sequence > (archive.page - 1) * {PAGE}"
    f" AND p.sequence <= archive.page * {PAGE})"
)
