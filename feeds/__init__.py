"""(feed, items) → bytes, as RSS 2.0, Atom 1.0, JSON Feed 1.1 and HTML. No I/O, no clock, no other part of Dateline.

Only the templates of the page are read, once, from this package.
"""

from feeds.delta import FINGERPRINT, fingerprints, without_known
from feeds.documents import (
    PROFILE,
    Frame,
    changed_at,
    distinct_time,
    document,
    entries,
    entry,
    frame,
    render,
    tombstones,
)
from feeds.json_feed import closed_feed
from feeds.model import (
    ARCHIVED,
    CONTENT_TYPES,
    FORMATS,
    NAMELESS,
    RENDITIONS,
    EntryError,
    Feed,
    Format,
    Item,
    ItemAuthor,
    ItemImage,
    ItemOrigin,
    ItemRights,
    Masthead,
    Tombstone,
    Withdrawal,
    feed_address,
)
from feeds.public import anchor

__all__ = [
    "ARCHIVED",
    "CONTENT_TYPES",
    "FINGERPRINT",
    "FORMATS",
    "NAMELESS",
    "PROFILE",
    "RENDITIONS",
    "EntryError",
    "Feed",
    "Format",
    "Frame",
    "Item",
    "ItemAuthor",
    "ItemImage",
    "ItemOrigin",
    "ItemRights",
    "Masthead",
    "Tombstone",
    "Withdrawal",
    "anchor",
    "changed_at",
    "closed_feed",
    "distinct_time",
    "document",
    "entries",
    "entry",
    "feed_address",
    "fingerprints",
    "frame",
    "render",
    "tombstones",
    "without_known",
]
