"""Publish: the feeds that were asked for become documents. A burst of a hundred articles builds a section once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from time import perf_counter

import feeds
from service import logs
from service.store import documents, sections
from service.store.documents import FeedDue, Story
from service.store.record import Record
from workers.stories import Desk, feed_of, item_of

log = logs.get("publish")

KEPT_ENTRIES = 4096


class Press:
    """Renders feeds. Keeps the entries it has made: a story in ten sections is serialised once, in each format."""

    def __init__(self, record: Record, public_url: str, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._public_url = public_url
        self._clock = clock
        self._entries: OrderedDict[tuple[int, int, datetime, feeds.Format], bytes | None] = OrderedDict()

    def drain(self) -> int:
        """Builds every feed that is due; returns how many. Killed half-way, what is not written is still due."""
        built = 0
        while due := documents.due_feeds(self._record):
            titles = {each.slug: each.title for each in sections.all_sections(self._record)}
            desk = Desk(self._public_url, titles)
            for each in due:
                self.build(desk, each, self._clock())
                built += 1
        return built

    def build(self, desk: Desk, due: FeedDue, now: datetime) -> None:
        """Renders one feed in all formats and writes what changed."""
        started = perf_counter()
        stories = documents.stories(self._record, due.slug, now)
        bodies = {fmt: self._document(desk, due, stories, fmt) for fmt in feeds.FORMATS}
        due_at = documents.next_embargo(self._record, due.slug, now)
        changed = documents.store_documents(self._record, due, bodies, due_at=due_at, now=now)
        log.info(
            "feed.rendered",
            feed=due.slug,
            stories=len(stories),
            changed=list(changed or ()),
            ms=round((perf_counter() - started) * 1000, 1),
        )

    def _document(self, desk: Desk, due: FeedDue, stories: Sequence[Story], fmt: feeds.Format) -> bytes:
        feed = feed_of(desk, due)
        entries = [(story, self._entry(desk, story, fmt)) for story in stories]
        shown = [(story, entry) for story, entry in entries if entry is not None]
        items = [item_of(desk, story) for story, _ in shown]
        return feeds.document(
            feed,
            [entry for _, entry in shown],
            fmt,
            updated=feeds.changed(feed, items),
            tombstones=feeds.tombstones(items),
        )

    def _entry(self, desk: Desk, story: Story, fmt: feeds.Format) -> bytes | None:
        """The story's entry; None for one that cannot be shown: it is left out, and the rest of the feed stands."""
        key = (story.article_id, story.revision, story.changed_at, fmt)
        if key not in self._entries:
            try:
                self._entries[key] = feeds.entry(item_of(desk, story), fmt)
            except feeds.EntryError as error:
                log.warning(
                    "story.not_shown", article=story.public_id, revision=story.revision, why=error.why
                )
                self._entries[key] = None
            if len(self._entries) > KEPT_ENTRIES:
                self._entries.popitem(last=False)
        return self._entries[key]
