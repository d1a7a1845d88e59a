"""Publish: the feeds that were asked for become documents. A burst of a hundred articles builds a section once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from time import perf_counter

import feeds
from service import logs
from service.store import documents
from service.store.documents import FeedDue, Story
from service.store.record import Record
from workers.stories import Desk, feed_of, item_of

log = logs.get("publish")


def drain(record: Record, desk: Desk, clock: Callable[[], datetime]) -> int:
    """Builds every feed that is due; returns how many. Killed half-way, what is not written is still due."""
    built = 0
    while due := documents.due_feeds(record):
        for each in due:
            build(record, desk, each, clock())
            built += 1
    return built


def build(record: Record, desk: Desk, due: FeedDue, now: datetime) -> None:
    """Renders one feed in all formats and writes what changed. A story that cannot be rendered is left out, and said."""
    started = perf_counter()
    stories = documents.stories(record, due.slug, now)
    bodies = {fmt: _document(desk, due, stories, fmt) for fmt in feeds.FORMATS}
    due_at = documents.next_embargo(record, due.slug, now)
    changed = documents.store_documents(record, due, bodies, due_at=due_at, now=now)
    log.info(
        "feed.rendered",
        feed=due.slug,
        stories=len(stories),
        changed=list(changed or ()),
        ms=round((perf_counter() - started) * 1000, 1),
    )
