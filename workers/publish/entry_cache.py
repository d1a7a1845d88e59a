"""The entries at hand: a story in ten sections is serialised once, in each format, by one worker, and kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import feeds
from service import logs
from service.store.database.record import Record
from service.store.feeds.contents import Placement, Story, stories
from service.store.feeds.entries import NewEntry, find_entries
from workers.publish.assemble import Entries, Entry
from workers.publish.items import Desk, item_of

log = logs.get("publish")

AT_HAND = 64 * 2**20  # bytes

_Key = tuple[int, int, str]  # article, revision, profile


class Shelf:
    """Entries by story: those at hand, else those kept in the record, else made anew. Safe among threads."""

    def __init__(self, record: Record, at_hand: int = AT_HAND) -> None:
        self._record = record
        self._most = at_hand
        self._bytes = 0
        self._held: OrderedDict[_Key, Entries] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, desk: Desk, shown: Sequence[Placement]) -> tuple[Mapping[int, Entries], list[NewEntry]]:
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
        self, desk: Desk, missing: Sequence[Placement], made: list[NewEntry]
    ) -> list[tuple[Placement, Entries]]:
        wanted = [(place.article_id, place.revision) for place in missing]
        kept = find_entries(self._record, wanted, desk.profile)
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
        with self._lock:
            self._held[key] = entries
            self._bytes += _size(entries)
            while self._bytes > self._most and len(self._held) > 1:
                self._bytes -= _size(self._held.popitem(last=False)[1])


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
