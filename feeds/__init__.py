"""(feed, items) → bytes, as RSS 2.0, Atom 1.0 and JSON Feed 1.1. No I/O, no clock, nothing else of ours."""

from feeds.delta import FINGERPRINT, fingerprints, unknown
from feeds.documents import PROFILE, changed, document, entry, render, tombstones
from feeds.model import (
    CONTENT_TYPES,
    FORMATS,
    Author,
    EntryError,
    Feed,
    Format,
    Image,
    Item,
    Origin,
    Rights,
    Tombstone,
    Withdrawal,
)

__all__ = [
    "CONTENT_TYPES",
    "FINGERPRINT",
    "FORMATS",
    "PROFILE",
    "Author",
    "EntryError",
    "Feed",
    "Format",
    "Image",
    "Item",
    "Origin",
    "Rights",
    "Tombstone",
    "Withdrawal",
    "changed",
    "document",
    "entry",
    "fingerprints",
    "render",
    "tombstones",
    "unknown",
]
