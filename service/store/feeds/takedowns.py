"""Takedowns in feeds: which of those to build come before all others."""

from __future__ import annotations

from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.feeds import kinds
from service.store.feeds.feeds import FEED_DUE_SQL, FeedDue


def due_takedowns(record: Record) -> list[FeedDue]:
    """Of the due feeds, those from which a story was taken down since they were built; and then partners' own."""
    with record.reading() as connection:
        first = _DUE_TAKEDOWNS.all(connection, late=_CLOCKS_DIFFER)
        return [*first, *_DUE_PRIVATE.all(connection)] if first else []


# Clocks may differ by ten seconds: at worst a feed is built before others that it need not precede.
_CLOCKS_DIFFER = 10_000_000
_DUE_TAKEDOWNS = Query(
    FeedDue,
    FEED_DUE_SQL
    + """f.wanted > f.built AND EXISTS (SELECT 1 FROM placement p WHERE p.feed = f.slug AND p.withdrawn IS NOT NULL
        AND p.withdrawn IN (1, 2) AND p.changed_at > coalesce(f.built_at, 0) - :late)
    ORDER BY f.wanted_at, f.slug""",
)
_DUE_PRIVATE = Query(
    FeedDue,
    FEED_DUE_SQL + f"f.wanted > f.built AND f.slug LIKE '{kinds.PRIVATE_SLUGS}' ORDER BY f.wanted_at, f.slug",
)
