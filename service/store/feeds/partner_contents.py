"""What stands in a partner's own feed: what stands in those of its sections, and all that the partner must not miss.

There is no archive behind it. So besides the newest, and the notices of the public feeds, it holds, up to a bound, what
has changed since it was last fetched; and every takedown of what the partner has read in it: for the time of a notice,
then until it was told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select, text

from service.store.database.record import Record
from service.store.feeds import contents as places
from service.store.feeds import kinds
from service.store.feeds.contents import NEWEST, Place, in_order
from service.store.feeds.documents import FeedDue
from service.store.schema.articles import section
from service.store.schema.base import from_micros, to_micros
from service.store.schema.feeds import partner_feed, partner_feed_section

MOST = 300  # stories, of those that changed since the last fetch
MOST_TAKEDOWNS = 300
UNTOLD_STAYS = timedelta(days=90)
# A story counts as changed when it was accepted, and comes into feeds when it is routed: so long it may take at most.
ON_ITS_WAY = timedelta(hours=1)


@dataclass(frozen=True)
class Shown:
    """The stories, the last changed first, and when this changes by itself."""

    places: list[Place]
    due_at: datetime | None


@dataclass(frozen=True)
class _Reader:
    partner_id: int
    since: datetime
    feeds: tuple[str, ...]


def shown(record: Record, due: FeedDue, now: datetime, *, withdrawn_stays: timedelta) -> Shown:
    """What the feed shows now. The same record at the same moment gives the same."""
    reader = _reader(record, int(due.slug.partition("/")[2]))
    found: dict[int, Place] = {}
    for slug in reader.feeds:
        for each in _newest(record, slug, reader.since, now, withdrawn_stays):
            found[each.article_id] = each
    stories = _cut(in_order(found.values()), reader.since)
    told = places.notices(record, reader.feeds, now, withdrawn_stays=withdrawn_stays)
    held = _takedowns(record, reader, now, withdrawn_stays)
    together = in_order({each.article_id: each for each in (*stories, *told, *held)}.values())
    return Shown(together, _due_at(record, reader, together, now, withdrawn_stays))


def _reader(record: Record, feed_id: int) -> _Reader:
    with record.reading() as connection:
        row = connection.execute(select(partner_feed).where(partner_feed.c.id == feed_id)).one()
        chosen = (
            select(section.c.slug)
            .join(partner_feed_section, partner_feed_section.c.section_id == section.c.id)
            .where(partner_feed_section.c.partner_feed_id == feed_id, section.c.closed_at.is_(None))
            .order_by(section.c.id)
        )
        slugs = (kinds.ALL,) if row.all_sections else tuple(connection.execute(chosen).scalars())
    return _Reader(row.partner_id, max(row.created_at, row.fetched_at or row.created_at) - ON_ITS_WAY, slugs)


def _newest(
    record: Record, slug: str, since: datetime, now: datetime, withdrawn_stays: timedelta
) -> list[Place]:
    """Of one section: the newest, or more if all of them are newer than `since`."""
    found = places.newest(record, slug, now, withdrawn_stays=withdrawn_stays)
    if len(found) < NEWEST or found[-1].changed_at <= since:
        return found
    return places.newest(record, slug, now, withdrawn_stays=withdrawn_stays, limit=MOST)


def _cut(ordered: list[Place], since: datetime) -> list[Place]:
    newer = sum(each.changed_at > since for each in ordered)
    return ordered[: max(NEWEST, min(MOST, newer))]


# What was read in a feed was public, so its notice may be. What the partner was not told of comes first.
_TAKEDOWNS = text("""
    SELECT a.id, a.public_id, a.revision, a.status, a.changed_at FROM article a
    JOIN receipt r ON r.partner_id = :partner AND r.article_id = a.id AND r.endpoint_id = 0
    WHERE a.status <> 'usable' AND a.changed_at <= :now AND (a.changed_at > :withdrawn
        OR a.changed_at > :oldest AND r.revision < a.revision)
    ORDER BY CASE WHEN r.revision < a.revision THEN 0 ELSE 1 END, a.changed_at DESC, a.id LIMIT :limit""")


def _takedowns(record: Record, reader: _Reader, now: datetime, withdrawn_stays: timedelta) -> list[Place]:
    """Whatever sections these stories are in by now: who has read one is to hear of it."""
    values = {
        "partner": reader.partner_id,
        "now": to_micros(now),
        "withdrawn": to_micros(now - withdrawn_stays),
        "oldest": to_micros(now - max(UNTOLD_STAYS, withdrawn_stays)),
        "limit": MOST_TAKEDOWNS,
    }
    with record.reading() as connection:
        rows = connection.execute(_TAKEDOWNS, values).all()
    return [Place(row.id, row.public_id, row.revision, True, from_micros(row.changed_at)) for row in rows]


_OPENING = text(
    "SELECT min(changed_at) FROM placement WHERE feed IN :feeds AND listed AND changed_at > :now"
).bindparams(bindparam("feeds", expanding=True))


def _due_at(
    record: Record, reader: _Reader, stories: list[Place], now: datetime, withdrawn_stays: timedelta
) -> datetime | None:
    """The next embargo's end, or a notice's. One that stays for being untold goes with a later build."""
    values: dict[str, Any] = {"feeds": list(reader.feeds), "now": to_micros(now)}
    with record.reading() as connection:
        opening = connection.execute(_OPENING, values).scalar() if reader.feeds else None
    moments = [each.changed_at + withdrawn_stays for each in stories if each.withdrawn]
    if opening is not None:
        moments.append(from_micros(int(opening)))
    return min((moment for moment in moments if moment > now), default=None)
