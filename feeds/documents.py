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
    """What stands before, after and between the entries of a document."""

    head: bytes
    tail: bytes
    between: bytes

    def around(self, entries: Sequence[bytes]) -> bytes:
        # In one go: joined first and framed then, a large document would be copied twice.
        parts = [self.head]
        for entry in entries:
            parts += (entry, self.between)
        if entries:
            parts.pop()
        return b"".join((*parts, self.tail))


# Part of the key of stored entries and documents. Raise it whenever the same input comes to give other bytes.
PROFILE = "2"


def entry(item: Item, fmt: Format) -> bytes:
    """The item's part of any document in this format: to be made once per revision, whatever feeds it is in.

    Bytes that parse on their own. Raises EntryError, for a story that cannot be shown, and nothing else.
    """
    _check(fmt)
    return _serialised(public(item), fmt)


def entries(item: Item) -> dict[Format, bytes | EntryError]:
    """The same in every format, for less: what all formats share is made once. An error where there is no entry."""
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
    """The document of these entries (of `entry`, same format), in their order, told to be of `updated`."""
    return frame(feed, fmt, updated=updated, tombstones=tombstones).around(entries)


def frame(feed: Feed, fmt: Format, *, updated: datetime, tombstones: Sequence[Tombstone] = ()) -> Frame:
    """All of a document but its entries."""
    _check(fmt)
    told = public_feed(feed)
    if fmt == "html":
        return Frame(*page.frame(told, updated), b"\n")
    if fmt == "json":
        return Frame(*json_feed.frame(told, tombstones, updated), b",\n")
    return Frame(*feedgen_xml.frame(told, tombstones, updated, fmt), b"")


def render(feed: Feed, items: Sequence[Item], fmt: Format) -> bytes:
    """The document of these items, in their order, as of the last of their changes."""
    entries = [entry(item, fmt) for item in items]
    return document(feed, entries, fmt, updated=changed(feed, items), tombstones=tombstones(items))


def changed(feed: Feed, items: Sequence[Item]) -> datetime:
    """When a document of these items last changed: never the time of its making."""
    return max((distinct(item.updated, item.id) for item in items), default=feed.updated)


def told_at(updated: datetime, item_id: str) -> datetime:
    """The time that an item's entry tells for `updated`: distinct among those of the same second."""
    return distinct(updated, item_id)


def tombstones(items: Sequence[Item]) -> tuple[Tombstone, ...]:
    """Those of the withdrawn among these items, in their order."""
    return tuple(stone for item in items if (stone := tombstone(item)))


def _serialised(shown: Item, fmt: Format) -> bytes:
    if fmt == "html":
        return page.story_bytes(shown)
    return json_feed.item_bytes(shown) if fmt == "json" else feedgen_xml.entry_bytes(shown, fmt)


def _check(fmt: str) -> None:
    if fmt not in RENDITIONS:
        raise ValueError(f"no such format: {fmt}; there are {', '.join(RENDITIONS)}")
