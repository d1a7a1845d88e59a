"""Caches entries: a story in ten sections is serialised once, in each format, by one worker."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from cachetools import LRUCache

import feeds
from service import logs
from service.store.database.record import Record
from service.store.feeds.contents import Placement, Story, stories
from service.store.feeds.documents import Overtaken
from service.store.feeds.entries import NewEntry, find_entries
from workers.publish.assemble import Entries, Entry
from workers.publish.items import Publisher, brief_item_of, item_of

log = logs.get("publish")

CACHE_BYTES = 64 * 2**20

# Public id, revision, content hash, profile: a record that is set back gives the rows' numbers to other stories.
_Key = tuple[str, int, str, str]


def _key(place: Placement, profile: str) -> _Key:
    return place.public_id, place.revision, place.content_hash, profile


def profile_of(place: Placement, profile: str) -> str:
    """The profile of this very story's entries."""
    story = f"{place.public_id} {place.revision} {place.content_hash}"
    return f"{profile}.{hashlib.blake2b(story.encode(), digest_size=16).hexdigest()}"


class EntryCache:
    """Entries by story: from memory, else from the record, else serialised now. Safe among threads."""

    def __init__(self, record: Record, most: int = CACHE_BYTES) -> None:
        self._record = record
        self._entries: LRUCache[_Key, Entries] = LRUCache(most, _size)
        self._lock = threading.Lock()

    def entries(
        self, publisher: Publisher, shown: Sequence[Placement]
    ) -> tuple[Mapping[int, Entries], list[NewEntry]]:
        """The entries of these stories by article; and the new ones among them, to be written to the record."""
        profile = publisher.profile
        with self._lock:
            cached = {place.article_id: self._entries.get(_key(place, profile)) for place in shown}
        found = {article_id: entries for article_id, entries in cached.items() if entries is not None}
        missing = [place for place in shown if place.article_id not in found]
        if not missing:
            return found, []
        new: list[NewEntry] = []
        for place, entries in self._fetch(publisher, missing, new):
            found[place.article_id] = entries
            self._store(_key(place, profile), entries)
        return found, new

    def briefs(self, publisher: Publisher, shown: Collection[Placement]) -> Mapping[int, Entries]:
        """The entries of these stories by their summaries alone, for documents that would be too large."""
        profile = f"{publisher.profile}/brief"
        with self._lock:
            cached = {each: self._entries.get(_key(each, profile)) for each in shown}
        found = {place.article_id: entries for place, entries in cached.items() if entries is not None}
        for place in [place for place in shown if place.article_id not in found]:
            # One at a time: their bodies are large.
            for story in stories(self._record, [place]):
                bodies = feeds.entries(brief_item_of(publisher, story))
                entries = {fmt: _entry(_body(story, body)) for fmt, body in bodies.items()}
                found[story.article_id] = entries
                self._store(_key(place, profile), entries)
        return found

    def _fetch(
        self, publisher: Publisher, missing: Sequence[Placement], new: list[NewEntry]
    ) -> list[tuple[Placement, Entries]]:
        places = {place.article_id: place for place in missing}
        profiles = {each: profile_of(place, publisher.profile) for each, place in places.items()}
        bodies = find_entries(self._record, profiles)
        unwritten = [p for p in missing if any((p.article_id, fmt) not in bodies for fmt in feeds.RENDITIONS)]
        for story in stories(self._record, unwritten):
            place = places[story.article_id]
            if (story.public_id, story.content_hash) != (place.public_id, place.content_hash):
                raise Overtaken  # the record was set back since the place was read: the feed is built again
            for fmt, body in serialise(publisher, story).items():
                bodies[story.article_id, fmt] = body
                new.append(NewEntry(story.article_id, story.revision, fmt, profiles[story.article_id], body))
        if any((place.article_id, fmt) not in bodies for place in unwritten for fmt in feeds.RENDITIONS):
            raise Overtaken
        return [
            (place, {fmt: _entry(bodies[place.article_id, fmt]) for fmt in feeds.RENDITIONS})
            for place in missing
        ]

    def _store(self, key: _Key, entries: Entries) -> None:
        # A story that is larger than the whole cache is not cached.
        with self._lock, suppress(ValueError):
            self._entries[key] = entries


def serialise(publisher: Publisher, story: Story) -> dict[feeds.Format, bytes | None]:
    """The story's entries; None for one that cannot be shown: it is left out, and the rest of the feed stands."""
    entries = feeds.entries(item_of(publisher, story))
    return {fmt: _body(story, entry) for fmt, entry in entries.items()}


def _body(story: Story, entry: bytes | feeds.EntryError) -> bytes | None:
    if isinstance(entry, bytes):
        return entry
    log.warning("story.not_shown", article=story.public_id, revision=story.revision, why=entry.why)
    return None


def _entry(body: bytes | None) -> Entry | None:
    return None if body is None else Entry.of(body)


def _size(entries: Entries) -> int:
    return sum(len(entry.body) for entry in entries.values() if entry)
