"""The contents of a partner's own feed: those of its sections' feeds, and all that the partner must not miss.

There is no archive behind it. So besides the newest it holds, up to a bound, what has changed since it was last
fetched; and every takedown of what it has shown, and no other: for the time of a notice, then until the partner has
read it. A notice of a story that it never showed would be a new article to the partner's importer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.feeds import contents, kinds
from service.store.feeds.contents import NEWEST, Placement, in_order
from service.store.feeds.feeds import FeedDue
from service.store.schema.base import from_micros

MOST_CHANGED = 300  # stories, of those that changed since the last fetch
MOST_TAKEDOWNS = 300
UNREAD_STAYS = timedelta(days=90)
# A story counts as changed when it was accepted, and comes into feeds when it is routed: so long it may take at most.
ON_ITS_WAY = timedelta(hours=1)


@dataclass(frozen=True)
class PartnerContents:
    """The stories, the last changed first, and when this changes by itself."""

    placements: list[Placement]
    due_at: datetime | None


@dataclass(frozen=True)
class _PartnerReader:
    feed_id: int
    partner_id: int
    since: datetime
    feeds: tuple[str, ...]


def partner_contents(
    record: Record, due: FeedDue, now: datetime, *, withdrawn_stays: timedelta
) -> PartnerContents:
    """The contents that the feed shows now. The same record at the same moment gives the same."""
    reader = _reader(record, int(due.slug.partition("/")[2]), now)
    newest: dict[int, Placement] = {}
    for slug in reader.feeds:
        for each in _newest(record, slug, reader.since, now, withdrawn_stays):
            newest[each.article_id] = each
    stories = _cut(in_order(newest.values()), reader.since)
    takedowns = _takedowns(record, reader, now, withdrawn_stays)
    usable = [each for each in stories if not each.withdrawn]
    together = in_order({each.article_id: each for each in (*usable, *takedowns)}.values())
    return PartnerContents(together, _due_at(record, reader, together, now, withdrawn_stays))


class _PartnerFeedRow(NamedTuple):
    partner_id: int
    all_sections: bool
    created_at: datetime
    fetched_at: datetime | None


def _reader(record: Record, feed_id: int, now: datetime) -> _PartnerReader:
    with record.reading() as connection:
        feed = _FEED.one(connection, feed=feed_id)
        assert feed is not None, "a partner's feed stays in the record"
        chosen = (kinds.ALL,)
        if not feed.all_sections:
            chosen = tuple(slug for (slug,) in _SECTIONS.rows(connection, feed=feed_id))
    # A fetch by a clock that was ahead tells no more than one that is made now.
    since = min(now, max(feed.created_at, feed.fetched_at or feed.created_at)) - ON_ITS_WAY
    return _PartnerReader(feed_id, feed.partner_id, since, chosen)


_FEED = Query(
    _PartnerFeedRow,
    "SELECT partner_id, all_sections, created_at, fetched_at FROM partner_feed WHERE id = :feed",
)
_SECTIONS = Statement("""
    SELECT s.slug FROM section s JOIN partner_feed_section c ON c.section_id = s.id
    WHERE c.partner_feed_id = :feed AND s.closed_at IS NULL ORDER BY s.id""")


def _newest(
    record: Record, slug: str, since: datetime, now: datetime, withdrawn_stays: timedelta
) -> list[Placement]:
    """Of one section: the newest, or more if all of them are newer than `since`."""
    found = contents.newest(record, slug, now, withdrawn_stays=withdrawn_stays)
    if len(found) < NEWEST or found[-1].changed_at <= since:
        return found
    return contents.newest(record, slug, now, withdrawn_stays=withdrawn_stays, limit=MOST_CHANGED)


def _cut(ordered: list[Placement], since: datetime) -> list[Placement]:
    newer = sum(each.changed_at > since for each in ordered)
    return ordered[: max(NEWEST, min(MOST_CHANGED, newer))]


# What was read in a feed was public, so its notice may be. A version before this one writes receipts alone: those count
# for every feed of the partner. A takedown that the partner did not read yet comes first.
_TAKEDOWNS = Query(
    Placement,
    """
    SELECT a.id, a.public_id, a.revision, true, a.changed_at, a.changed_at, a.content_hash, a.status <> 'withheld'
    FROM article a
    JOIN receipt r ON r.partner_id = :partner AND r.article_id = a.id AND r.endpoint_id = 0
    WHERE a.status <> 'usable' AND (a.changed_at > :withdrawn
        OR a.changed_at > :oldest AND r.revision < a.revision)
    AND (EXISTS (SELECT 1 FROM feed_shown s WHERE s.article_id = a.id AND s.partner_feed_id = :feed)
        OR NOT EXISTS (SELECT 1 FROM feed_shown s JOIN partner_feed f ON f.id = s.partner_feed_id
            WHERE s.article_id = a.id AND f.partner_id = :partner))
    ORDER BY CASE WHEN r.revision < a.revision THEN 0 ELSE 1 END, a.changed_at DESC, a.id LIMIT :limit""",
)


def _takedowns(
    record: Record, reader: _PartnerReader, now: datetime, withdrawn_stays: timedelta
) -> list[Placement]:
    """Takedowns of what this feed has shown, in any section that these stories are in by now."""
    with record.reading() as connection:
        return _TAKEDOWNS.all(
            connection,
            feed=reader.feed_id,
            partner=reader.partner_id,
            withdrawn=now - withdrawn_stays,
            oldest=now - max(UNREAD_STAYS, withdrawn_stays),
            limit=MOST_TAKEDOWNS,
        )


def _due_at(
    record: Record,
    reader: _PartnerReader,
    stories: list[Placement],
    now: datetime,
    withdrawn_stays: timedelta,
) -> datetime | None:
    """The next embargo's end, or a notice's. One that stays for being unread goes with a later build."""
    with record.reading() as connection:
        opening = _OPENING.value(connection, feeds=list(reader.feeds), now=now)
    moments = [each.changed_at + withdrawn_stays for each in stories if each.withdrawn]
    if opening is not None:
        moments.append(from_micros(int(opening)))
    return min((moment for moment in moments if moment > now), default=None)


_OPENING = Statement(
    "SELECT min(changed_at) FROM placement WHERE feed IN :feeds[text] AND listed AND changed_at > :now"
)
