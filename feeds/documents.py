"""A feed's documents. Pure: the same input gives the same bytes on any machine, at any time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from feeds import feedgen_xml, json_feed
from feeds.model import FORMATS, Feed, Format, Item, Tombstone
from feeds.public import distinct, public, public_feed, tombstone

# Part of the key of stored entries and documents. Raise it whenever the same input comes to give other bytes.
PROFILE = "1"


def entry(item: Item, fmt: Format) -> bytes:
    """The item's part of any document in this format: to be made once per revision, whatever feeds it is in.

    Bytes that parse on their own. Raises EntryError, for a story that cannot be shown, and nothing else.
    """
    _check(fmt)
    shown = public(item)
    return json_feed.item_bytes(shown) if fmt == "json" else feedgen_xml.entry_bytes(shown, fmt)


def document(
    feed: Feed,
    entries: Sequence[bytes],
    fmt: Format,
    *,
    updated: datetime,
    tombstones: Sequence[Tombstone] = (),
) -> bytes:
    """The document of these entries (of `entry`, same format), in their order, told to be of `updated`."""
    _check(fmt)
    told = public_feed(feed)
    if fmt == "json":
        return json_feed.splice(told, entries, tombstones, updated)
    return feedgen_xml.splice(told, entries, tombstones, updated, fmt)


def render(feed: Feed, items: Sequence[Item], fmt: Format) -> bytes:
    """The document of these items, in their order, as of the last of their changes."""
    entries = [entry(item, fmt) for item in items]
    return document(feed, entries, fmt, updated=changed(feed, items), tombstones=tombstones(items))


def changed(feed: Feed, items: Sequence[Item]) -> datetime:
    """When a document of these items last changed: never the time of its making."""
    return max((distinct(item.updated, item.id) for item in items), default=feed.updated)


def tombstones(items: Sequence[Item]) -> tuple[Tombstone, ...]:
    """Those of the withdrawn among these items, in their order."""
    return tuple(stone for item in items if (stone := tombstone(item)))


def _check(fmt: str) -> None:
    if fmt not in FORMATS:
        raise ValueError(f"no such format: {fmt}; there are {', '.join(FORMATS)}")
