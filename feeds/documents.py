"""A feed's documents. Pure: the same input gives the same bytes on any machine, at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from feeds import feedgen_xml, json_feed, page
from feeds.model import RENDITIONS, EntryError, Feed, Format, Item, Tombstone
from feeds.public import distinct, public, public_feed, tombstone


@dataclass(frozen=True)
class Frame:
    """The bytes before, after and between the entries of a document."""

    head: bytes
    tail: bytes
    between: bytes

    def around(self, entries: Sequence[bytes]) -> bytes:
        # In one join: a large document would otherwise be copied twice.
        parts = [self.head]
        for entry in entries:
            parts += (entry, self.between)
        if entries:
            parts.pop()
        return b"".join((*parts, self.tail))


# Part of the key of stored entries. Raise it whenever the same input gives other bytes (tests/golden shows it).
PROFILE = "4"


def entry(item: Item, fmt: Format) -> bytes:
    """The item's part of any document in this format, made once per revision for all the feeds that it is in.

    The bytes parse on their own. Raises EntryError, for a story that cannot be shown, and nothing else.
    """
    _check(fmt)
    return _serialised(public(item), fmt)


def entries(item: Item) -> dict[Format, bytes | EntryError]:
    """The entries in every format, with the common work done once; an error in place of one that cannot be made."""
    try:
        shown = public(item)
    except EntryError as error:
        return dict.fromkeys(RENDITIONS, error)
    made: dict[Format, bytes | EntryError] = {}
    for fmt in RENDITIONS:
        try:
            made[fmt] = _serialised(shown, fmt)
        except EntryError as error:
            made[fmt] = error
    return made


def document(
    feed: Feed,
    entries: Sequence[bytes],
    fmt: Format,
    *,
    updated: datetime,
    tombstones: Sequence[Tombstone] = (),
) -> bytes:
    """The document of these entries (of `entry`, same format), in their order, with `updated` as its time."""
    return frame(feed, fmt, updated=updated, tombstones=tombstones).around(entries)


def frame(feed: Feed, fmt: Format, *, updated: datetime, tombstones: Sequence[Tombstone] = ()) -> Frame:
    """All of a document but its entries."""
    _check(fmt)
    shown = public_feed(feed)
    if fmt == "html":
        return Frame(*page.frame(shown, updated), b"\n")
    if fmt == "json":
        return Frame(*json_feed.frame(shown, tombstones, updated), b",\n")
    return Frame(*feedgen_xml.frame(shown, tombstones, updated, fmt), b"")


def render(feed: Feed, items: Sequence[Item], fmt: Format) -> bytes:
    """The document of these items, in their order, as of the last of their changes."""
    entries = [entry(item, fmt) for item in items]
    return document(feed, entries, fmt, updated=changed_at(feed, items), tombstones=tombstones(items))


def changed_at(feed: Feed, items: Sequence[Item]) -> datetime:
    """The time of the last change of a document of these items. Never the time at which it is rendered."""
    return max((distinct(item.updated, item.number) for item in items), default=feed.updated)


def distinct_time(updated: datetime, number: int) -> datetime:
    """The time that an item's entry has for `updated`: distinct among the items of the same moment."""
    return distinct(updated, number)


def tombstones(items: Sequence[Item]) -> tuple[Tombstone, ...]:
    """The tombstones of the withdrawn items among these, in their order."""
    return tuple(stone for item in items if (stone := tombstone(item)))


def _serialised(shown: Item, fmt: Format) -> bytes:
    if fmt == "html":
        return page.story_bytes(shown)
    return json_feed.item_bytes(shown) if fmt == "json" else feedgen_xml.entry_bytes(shown, fmt)


def _check(fmt: str) -> None:
    if fmt not in RENDITIONS:
        raise ValueError(f"no such format: {fmt}; there are {', '.join(RENDITIONS)}")
