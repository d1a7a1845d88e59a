"""(feed, items) → bytes, as RSS 2.0, Atom 1.0 and JSON Feed 1.1. No I/O, no clock, nothing else of ours."""

from feeds.delta import FINGERPRINT, fingerprints, unknown
from feeds.documents import PROFILE, Frame, changed, document, entry, frame, render, told_at, tombstones
from feeds.model import (
    ARCHIVED,
    CONTENT_TYPES,
    FORMATS,
    RENDITIONS,
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
    "ARCHIVED",
    "CONTENT_TYPES",
    "FINGERPRINT",
    "FORMATS",
    "PROFILE",
    "RENDITIONS",
    "Author",
    "EntryError",
    "Feed",
    "Format",
    "Frame",
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
    "frame",
    "render",
    "told_at",
    "tombstones",
    "unknown",
]
