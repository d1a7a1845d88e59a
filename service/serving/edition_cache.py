"""Editions of partners' own feeds, held in this process's memory in the forms that are asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import feeds
from service.serving.cached_document import PRIVATE, Address, Held
from service.store.database.record import Record
from service.store.feeds import fetches
from service.store.feeds.fetches import Edition, FetchTarget

LIMIT = 32 << 20  # bytes, of bodies in all their forms


@dataclass(frozen=True)
class Kept:
    """An edition, and its answers."""

    edition: Edition
    held: Held


class Cabinet:
    """Whoever asks says of which version the document is now, so what is kept is never old. Safe among threads."""

    def __init__(self, record: Record, *, limit: int = LIMIT) -> None:
        self._record = record
        self._limit = limit
        self._kept: OrderedDict[tuple[str, str], Kept] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, addressed: FetchTarget, fmt: feeds.Format) -> Kept | None:
        """The edition of this version, or a newer one; None if the document is not there (any more)."""
        key = (addressed.slug, fmt)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.edition.document.etag == addressed.etag:
                self._kept.move_to_end(key)
                return kept
        edition = fetches.edition(self._record, addressed.slug, fmt)
        if edition is None:
            return None
        kept = Kept(edition, Held(Address(addressed.slug, fmt), edition.document, PRIVATE))
        with self._lock:
            self._kept[key] = kept
            self._kept.move_to_end(key)
            self._make_room()
        return kept

    def _make_room(self) -> None:
        size = sum(kept.held.size for kept in self._kept.values())
        while size > self._limit and len(self._kept) > 1:
            size -= self._kept.popitem(last=False)[1].held.size
