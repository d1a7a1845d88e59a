"""Documents from entries. Pure: the same feed, places and entries give the same bytes and the same ETag."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import feeds
from service.store.feeds.contents import Placement
from service.store.feeds.documents import Rendering


@dataclass(frozen=True)
class Entry:
    """A story in one format, and the digest of its bytes: a document's ETag is made of digests, not of its bytes."""

    body: bytes
    digest: bytes

    @classmethod
    def of(cls, body: bytes) -> Entry:
        return cls(body, hashlib.blake2b(body, digest_size=16).digest())


# A story in every format; None in those in which it cannot be shown.
Entries = Mapping[feeds.Format, Entry | None]


def compose(
    feed: feeds.Feed,
    shown: Sequence[Placement],
    entries: Mapping[int, Entries],
    formats: Sequence[feeds.Format],
    *,
    not_before: datetime | None = None,
) -> dict[feeds.Format, Rendering]:
    """The feed's documents. `entries` by article; a story that has none in a format is left out of that one.

    `not_before`: the newest time that the feed has had; its `updated` never goes back."""
    moments = [(place, feeds.distinct_time(place.changed_at, place.public_id)) for place in shown]
    floor = () if not_before is None else (not_before,)
    documents = {}
    for fmt in formats:
        lines = [(place, at, entry) for place, at in moments if (entry := entries[place.article_id][fmt])]
        frame = feeds.frame(
            feed,
            fmt,
            updated=max((*(at for _, at, _ in lines), *floor), default=feed.updated),
            tombstones=tuple(feeds.Tombstone(p.public_id, at) for p, at, _ in lines if p.deleted),
        )
        stories = tuple((place.article_id, place.revision) for place, _, _ in lines)
        documents[fmt] = _document(frame, [entry for _, _, entry in lines], stories)
    return documents


def _document(
    frame: feeds.Frame, entries: Sequence[Entry], stories: tuple[tuple[int, int], ...]
) -> Rendering:
    etag = hashlib.blake2b(frame.head, digest_size=16)
    etag.update(b"".join(entry.digest for entry in entries))
    etag.update(frame.tail)
    return Rendering(frame.around([entry.body for entry in entries]), etag.hexdigest(), stories)
