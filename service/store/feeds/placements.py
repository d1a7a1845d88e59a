"""Placements: routing notes in which feeds each article stands, makes the feeds that are new, and asks for the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from service.store.database.record import Record
from service.store.database.sql import Rows, Statement
from service.store.events import Event
from service.store.feeds import archives, feeds, kinds
from service.store.feeds.contents import USABLE
from service.store.feeds.feeds import FeedDue
from service.store.feeds.kinds import Definition
from service.store.schema.articles import TAKEDOWN_EVENTS
from service.store.schema.base import MICROSECOND, to_micros
from service.store.schema.feeds import placement

_Key = tuple[int, str]  # article, feed
_REWRITES = frozenset({*TAKEDOWN_EVENTS, "article.restored"})
# How much a notice weighs where there are more than a feed may hold: 1 goes before 2.
_WEIGHTS = {"article.killed": 1, "article.withheld": 1, "article.unpublished": 2}


def place(connection: Connection, events: Sequence[Event], sections: Mapping[str, str], now: datetime) -> int:
    """Notes in which feeds each article stands, and asks for those it stands or stood in; returns how many.

    Every event counts, not only the newest: where a story once stood, its takedown will be shown. `sections` are those
    of `section_feeds`. What becomes public by this gets its numbers here, which spares writing it once more; all else
    (embargoes, moves, clocks that are ahead) is numbered when the feed is built.
    """
    former = _former(connection, sorted({each.article_id for each in events if each.revision > 1}))
    definitions: dict[str, Definition] = {}
    rows: dict[_Key, dict[str, Any]] = {}
    for each in events:
        found = kinds.feeds_of(each.places, source=each.source, sections=sections)
        # A takedown is shown where the story stood, even if it names other sections.
        present = (
            {} if each.type in TAKEDOWN_EVENTS else {definition.slug: definition for definition in found}
        )
        definitions |= present
        former[each.article_id] |= present.keys()
        # What is taken down is shown at once, even under embargo.
        embargo = None if each.type in TAKEDOWN_EVENTS else each.newest_embargo
        changed_at = max(each.accepted_at, embargo or each.accepted_at)
        for slug in former[each.article_id]:
            rows[each.article_id, slug] = {
                "feed": slug,
                "article_id": each.article_id,
                "listed": slug in present,
                "withdrawn": _WEIGHTS.get(each.type),
                "changed_at": to_micros(changed_at),
                "sequence": None,
            }
    # The feeds first: a build that numbers what is new in a feed locks the feed as well.
    new = _new(events, rows, now)
    counts = {slug: len(keys) for slug, keys in new.items()}
    last = feeds.want(connection, {slug for _, slug in rows}, now, counts)
    asked = set(last).union(definitions)
    if missing := [definition for slug, definition in definitions.items() if slug not in last]:
        last |= feeds.make_feeds(connection, missing, now, counts, hidden=True)
    for slug in new.keys() & last.keys():
        for number, key in enumerate(new[slug], last[slug] - counts[slug] + 1):
            rows[key]["sequence"] = number
    _PLACEMENTS.insert(connection, sorted(rows.values(), key=lambda row: (row["feed"], row["article_id"])))
    taken_down = {each.article_id for each in events if each.type in TAKEDOWN_EVENTS}
    archives.make_again(connection, _rewritten(events, now), now, first=taken_down)
    return len(asked)


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


def section_feeds(connection: Connection) -> dict[str, str]:
    """From every name that an open section has, or had before it was renamed, to its feed's slug."""
    return dict(_SECTION_FEEDS.rows(connection))


_SECTION_FEEDS = Statement("""
    SELECT slug, slug FROM section WHERE closed_at IS NULL
    UNION ALL SELECT m.slug, m.feed FROM moved m JOIN section s ON s.slug = m.feed WHERE s.closed_at IS NULL""")


def _former(connection: Connection, articles: list[int]) -> dict[int, set[str]]:
    """The feeds in which each of these articles stands or stood."""
    former: dict[int, set[str]] = defaultdict(set)
    for article_id, slug in _FORMER.rows(connection, articles=articles) if articles else ():
        former[article_id].add(slug)
    return former


_FORMER = Statement("SELECT article_id, feed FROM placement WHERE article_id IN :articles[]")


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
        and (each.newest_embargo is None or each.newest_embargo <= now)
        and (each.expires_at is None or each.expires_at > now)
    }
    fresh = first & public
    new: dict[str, list[_Key]] = defaultdict(list)
    for key, row in rows.items():
        if key[0] in fresh and row["listed"]:
            new[key[1]].append(key)
    return new


def _rewritten(events: Sequence[Event], now: datetime) -> set[int]:
    """The articles whose pages of archives change: by a new revision of any kind, or a new embargo.

    A correction, too: the feed holds it for some sixty stories only, and then nobody who reads the archive may find the
    old text.
    """
    return {
        each.article_id
        for each in events
        if each.revision > 1
        or each.type in _REWRITES
        or (each.embargo_until is not None and each.embargo_until > now)
    }


def number_new(record: Record, due: FeedDue, now: datetime) -> int:
    """Gives what is public in this feed for the first time its numbers; returns the last number given in it."""
    with record.reading() as connection:
        if not _ANY_NEW.rows(connection, feed=due.slug, now=now):
            # As it is now: another process may have numbered what was new when `due` was read.
            return feeds.last_number(connection, due.slug) or due.sequence
    with record.writing() as connection:
        last = feeds.lock_last_number(connection, due.slug)
        if last is None:
            return due.sequence  # renamed meanwhile
        articles = [article_id for (article_id,) in _NEW.rows(connection, feed=due.slug, now=now)]
        if articles:
            _NUMBER.run(connection, {"feed": due.slug, "articles": articles, "last": last})
            feeds.set_last_number(connection, due.slug, last + len(articles))
        return last + len(articles)


_NEW_PUBLIC = (
    "SELECT p.article_id FROM placement p JOIN article a ON a.id = p.article_id WHERE p.feed = :feed"
    # `= true`: so SQLite looks at what has no number yet, and not at all that is listed.
    f" AND p.sequence IS NULL AND p.listed = true AND {USABLE}"
    ' ORDER BY p.changed_at, a.public_id COLLATE "C"'
)
_NEW = Statement(_NEW_PUBLIC)
_ANY_NEW = Statement(f"{_NEW_PUBLIC} LIMIT 1")
_NUMBER = Statement(
    "UPDATE placement SET sequence = :last + v.key + 1 FROM json_each(:articles) v"
    " WHERE feed = :feed AND article_id = v.value",
    postgresql="UPDATE placement SET sequence = :last + v.place"
    " FROM unnest(CAST(:articles AS bigint[])) WITH ORDINALITY AS v(article, place)"
    " WHERE feed = :feed AND article_id = v.article",
)


def set_back(record: Record, due: FeedDue, now: datetime) -> int:
    """Has what a clock that was ahead placed here stand as if it were placed now, in its order; returns how much.

    Otherwise it would stand before all that comes until its time, and push it out.
    """
    latest = now + CLOCKS_DIFFER
    with record.reading() as connection:
        if not _ANY_AHEAD.rows(connection, feed=due.slug, now=now, latest=latest):
            return 0
    with record.writing() as connection:
        ahead = [
            article_id for (article_id,) in _AHEAD.rows(connection, feed=due.slug, now=now, latest=latest)
        ]
        moments = [now - (len(ahead) - place) * MICROSECOND for place in range(len(ahead))]
        rows = [
            {"feed": due.slug, "article": article_id, "moment": moment}
            for article_id, moment in zip(ahead, moments, strict=True)
        ]
        _SET_BACK.run_all(connection, rows)
    return len(ahead)


CLOCKS_DIFFER = timedelta(seconds=2)  # those of two machines may
_PLACED_AHEAD = (
    "SELECT p.article_id FROM placement p JOIN article a ON a.id = p.article_id WHERE p.feed = :feed"
    " AND p.changed_at > :latest AND {} AND NOT (a.status = 'usable' AND coalesce(a.embargo_until, 0) > :now)"
)
_LISTED, _WITHDRAWN = _PLACED_AHEAD.format("p.listed"), _PLACED_AHEAD.format("p.withdrawn IN (1, 2)")
_ANY_AHEAD = Statement(f"{_LISTED} UNION ALL {_WITHDRAWN} LIMIT 1")
_AHEAD = Statement(
    "SELECT p.article_id FROM placement p WHERE p.feed = :feed"
    f" AND p.article_id IN ({_LISTED} UNION ALL {_WITHDRAWN})"
    " ORDER BY p.changed_at, p.article_id"
)
_SET_BACK = Statement(
    "UPDATE placement SET changed_at = :moment WHERE feed = :feed AND article_id = :article"
)


def move(connection: Connection, slug: str, new: str) -> None:
    """Moves all placements of a feed to another, which took over from it."""
    _MOVE.run(connection, {"slug": slug, "new": new})


_MOVE = Statement("UPDATE placement SET feed = :new WHERE feed = :slug")
