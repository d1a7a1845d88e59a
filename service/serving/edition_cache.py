"""Editions of partners' own feeds in this process's memory, in the forms that clients ask for."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass

from cachetools import LRUCache

import feeds
from service.serving.cached_document import PRIVATE_POLICY, CachedDocument, DocumentAddress
from service.store.database.record import Record
from service.store.feeds import fetches
from service.store.feeds.fetches import Edition, FetchTarget

EDITION_CACHE_BYTES = 32 << 20  # of bodies in all their forms


@dataclass(frozen=True)
class CachedEdition:
    """An edition, and its answers."""

    edition: Edition
    document: CachedDocument


class EditionCache:
    """The caller names the version that is current, so no edition from here is old. Safe among threads."""

    def __init__(self, record: Record, *, limit: int = EDITION_CACHE_BYTES) -> None:
        self._record = record
        self._cache: LRUCache[tuple[str, str], CachedEdition] = LRUCache(
            limit, lambda each: each.document.size
        )
        self._lock = threading.Lock()

    def get(self, addressed: FetchTarget, fmt: feeds.Format) -> CachedEdition | None:
        """The edition of this version, or a newer one; None if there is no document (any more)."""
        key = (addressed.slug, fmt)
        with self._lock:
            found = self._cache.get(key)
        if found is None or found.edition.document.etag != addressed.etag:
            edition = fetches.edition(self._record, addressed.slug, fmt)
            if edition is None:
                return None
            document = CachedDocument(DocumentAddress(addressed.slug, fmt), edition.document, PRIVATE_POLICY)
            found = CachedEdition(edition, document)
        # Put again at each use: it has grown by the forms that were asked for since. One that is larger than the
        # cache is not cached.
        with self._lock, suppress(ValueError):
            self._cache[key] = found
        return found
