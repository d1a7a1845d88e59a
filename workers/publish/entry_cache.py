"""The entries at hand: a story in ten sections is serialised once, in each format, by one worker, and kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from cachetools import LRUCache

import feeds
from service import logs
from service.store.database.record import Record
from service.store.feeds.contents import Place, Story, stories
from service.store.feeds.entries import NewEntry, kept_entries
from workers.publish.assemble import Entries, Entry
from workers.publish.items import Desk, item_of

log = logs.get("publish")

AT_HAND = 64 * 2**20  # bytes

_Key = tuple[int, int, str]  # article, revision, profile


class Shelf:
    """Entries by story: those at hand, else those kept in the record, else made anew. Safe among threads."""

    def __init__(self, record: Record, at_hand: int = AT_HAND) -> None:
        self._record = record
        self._held: LRUCache[_Key, Entries] = LRUCache(at_hand, _size)
        self._lock = threading.Lock()

    def take(self, desk: Desk, shown: Sequence[Place]) -> tuple[Mapping[int, Entries], list[NewEntry]]:
        """The entries of these stories by article; and those that were made just now, to be kept in the record."""
        profile = desk.profile
        with self._lock:
            held = {
                place.article_id: self._held.get((place.article_id, place.revision, profile))
                for place in shown
            }
        found = {article_id: entries for article_id, entries in held.items() if entries is not None}
        missing = [place for place in shown if place.article_id not in found]
        if not missing:
            return found, []
        made: list[NewEntry] = []
        for place, entries in self._fetch(desk, missing, made):
            found[place.article_id] = entries
            self._hold((place.article_id, place.revision, profile), entries)
        return found, made

    def _fetch(
        self, desk: Desk, missing: Sequence[Place], made: list[NewEntry]
    ) -> list[tuple[Place, Entries]]:
        wanted = [(place.article_id, place.revision) for place in missing]
        kept = kept_entries(self._record, wanted, desk.profile)
        unmade = [p for p in missing if any((p.article_id, fmt) not in kept for fmt in feeds.RENDITIONS)]
        for story in stories(self._record, unmade):
            for fmt, body in serialise(desk, story).items():
                kept[story.article_id, fmt] = body
                made.append(NewEntry(story.article_id, story.revision, fmt, desk.profile, body))
        return [
            (place, {fmt: _entry(kept[place.article_id, fmt]) for fmt in feeds.RENDITIONS})
            for place in missing
        ]

    def _hold(self, key: _Key, entries: Entries) -> None:
        # A story that is larger than the whole cache is not cached.
        with self._lock, suppress(ValueError):
            self._held[key] = entries


def serialise(desk: Desk, story: Story) -> dict[feeds.Format, bytes | None]:
    """The story's entries; None for one that cannot be shown: it is left out, and the rest of the feed stands."""
    made = feeds.entries(item_of(desk, story))
    return {fmt: _shown(story, entry) for fmt, entry in made.items()}


def _shown(story: Story, made: bytes | feeds.EntryError) -> bytes | None:
    if isinstance(made, bytes):
        return made
    log.warning("story.not_shown", article=story.public_id, revision=story.revision, why=made.why)
    return None


def _entry(body: bytes | None) -> Entry | None:
    return None if body is None else Entry.of(body)


def _size(entries: Entries) -> int:
    return sum(len(entry.body) for entry in entries.values() if entry)
