"""Documents from entries. Pure: the same feed, places and entries give the same bytes and the same ETag."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import feeds
from service.store.feeds.contents import Placement
from service.store.feeds.documents import Rendering
from workers.publish.fit import Fit, SizedEntry, fit


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
_Line = tuple[Placement, datetime, Entry]


def _no_briefs(_: Collection[Placement]) -> Mapping[int, Entries]:
    return {}


def _all_stay() -> Collection[int]:
    return ()


@dataclass(frozen=True)
class Bounds:
    """The bounds of a feed's documents. `limit` is the most bytes of one; None for no limit.

    `briefs` makes the entries of stories by their summaries alone; `archived` names the articles that are on a page of
    the archive. Both are asked only if a document is too large. `not_before` is the time at which a story last left the
    feed: its `updated` never goes back.
    """

    limit: int | None = None
    briefs: Callable[[Collection[Placement]], Mapping[int, Entries]] = _no_briefs
    archived: Callable[[], Collection[int]] = _all_stay
    not_before: datetime | None = None


@dataclass
class Documents:
    """The documents by format, and how many stories are cut or left out of the largest one."""

    renderings: dict[feeds.Format, Rendering] = field(default_factory=dict)
    cut: int = 0
    left_out: int = 0

    def note(self, fitted: Fit) -> None:
        self.cut = max(self.cut, len(fitted.brief))
        self.left_out = max(self.left_out, len(fitted.left_out))


# Of the bytes of a document, those that are no entry's: its head, and a tombstone for each notice.
_FRAME_SIZE = 16_384
_TOMBSTONE_SIZE = 200


def compose(
    feed: feeds.Feed,
    shown: Sequence[Placement],
    entries: Mapping[int, Entries],
    formats: Sequence[feeds.Format],
    bounds: Bounds | None = None,
) -> Documents:
    """The feed's documents. `entries` by article; a story that has none in a format is left out of that one."""
    bounds = bounds or Bounds()
    moments = [(place, feeds.distinct_time(place.changed_at, place.article_id)) for place in shown]
    floor = () if bounds.not_before is None else (bounds.not_before,)
    documents = Documents()
    for fmt in formats:
        lines = [(place, at, entry) for place, at in moments if (entry := entries[place.article_id][fmt])]
        lines = _bounded(lines, fmt, bounds, documents)
        frame = feeds.frame(
            feed,
            fmt,
            updated=max((*(at for _, at, _ in lines), *floor), default=feed.updated),
            tombstones=tuple(feeds.Tombstone(p.public_id, at) for p, at, _ in lines if p.deleted),
        )
        stories = tuple((place.article_id, place.revision) for place, _, _ in lines)
        documents.renderings[fmt] = _document(frame, [entry for _, _, entry in lines], stories)
    return documents


def _bounded(lines: list[_Line], fmt: feeds.Format, bounds: Bounds, documents: Documents) -> list[_Line]:
    """The lines that have room, those of a summary alone among them."""
    if bounds.limit is None:
        return lines
    room = bounds.limit - _FRAME_SIZE - _TOMBSTONE_SIZE * sum(place.withdrawn for place, _, _ in lines)
    if sum(len(entry.body) for _, _, entry in lines) <= room:
        return lines
    archived = frozenset(bounds.archived())
    briefs: dict[int, Entry] = {}
    while True:
        fitted = fit([_candidate(line, briefs, archived) for line in lines], room)
        unmade = fitted.brief - briefs.keys()
        missing = [place for place, _, _ in lines if place.article_id in unmade]
        made = bounds.briefs(missing) if missing else {}
        briefs |= {article: entry for article, each in made.items() if (entry := each[fmt])}
        # A summary may be larger than was thought: then others follow.
        if not made:
            break
    documents.note(fitted)
    return [
        (place, at, briefs.get(place.article_id, entry) if place.article_id in fitted.brief else entry)
        for place, at, entry in lines
        if place.article_id not in fitted.left_out
    ]


def _candidate(line: _Line, briefs: Mapping[int, Entry], archived: Collection[int]) -> SizedEntry:
    place, _, entry = line
    brief = briefs.get(place.article_id)
    return SizedEntry(
        place.article_id,
        len(entry.body),
        None if brief is None else len(brief.body),
        place.article_id in archived,
        place.withdrawn,
    )


def _document(
    frame: feeds.Frame, entries: Sequence[Entry], stories: tuple[tuple[int, int], ...]
) -> Rendering:
    etag = hashlib.blake2b(frame.head, digest_size=16)
    etag.update(b"".join(entry.digest for entry in entries))
    etag.update(frame.tail)
    return Rendering(frame.around([entry.body for entry in entries]), etag.hexdigest(), stories)
