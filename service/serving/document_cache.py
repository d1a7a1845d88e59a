"""The documents of the feeds in this process's memory, refreshed from the record.

A thread asks the record five times a second for changed documents: it reads the list of their ETags, and the bodies of
those that are cached and differ. Requests never ask the record for a cached document. While the record is away the
cached documents are served on.

Not a cache of cachetools: requests read `ready`, a plain dictionary, without a lock, and note the use by an assignment.
Its LRUCache takes a lock and half a microsecond for each. docs/decisions/0011.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

from service import logs
from service.serving.cached_document import CachedDocument, DocumentAddress, public_policy
from service.store.database.record import Record
from service.store.errors import RecordUnavailable
from service.store.feeds import documents

log = logs.get("document_cache")

DOCUMENT_REFRESH_SECONDS = 0.2
# A refresh takes no more than this share of the time, however many feeds there are.
DOCUMENT_REFRESH_SHARE = 0.05
DOCUMENT_CACHE_BYTES = 128 << 20
# A document that has not changed for so long is worth compressing well. One that changes all the time is not.
STABLE_SECONDS = 5.0


class DocumentCache:
    """Safe among threads, not among forked processes.

    Before `watch` is called nothing is ready: `fetch` then asks the record each time, as tests want it.
    """

    def __init__(self, record: Record, public_url: str, *, limit: int = DOCUMENT_CACHE_BYTES) -> None:
        self._record = record
        self._public_url = public_url
        self._limit = limit
        self._documents: dict[str, CachedDocument] = {}
        self._loaded_at: dict[str, float] = {}
        self._listing: Mapping[tuple[str, str], str] | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._watching = False
        self._record_away = False
        # Path → document, to be served as it is.
        self.ready: Mapping[str, CachedDocument] = {}
        # The number of refreshes. A document notes the last one in which it was used; the oldest is evicted first.
        self.refreshes = 0

    def fetch(self, address: DocumentAddress) -> CachedDocument | None:
        """A document that is not ready; None if there is none. Raises RecordUnavailable if that cannot be known."""
        listing = self._listing
        if self._watching and listing is not None and (address.slug, address.fmt) not in listing:
            return None
        with self._lock:
            cached = self._documents.get(address.path)
            if cached is not None and self._watching:
                return cached
            try:
                return self._load(address)
            except RecordUnavailable:
                if cached is None:
                    raise
                return cached

    def watch(self) -> None:
        """Starts the threads that refresh and recompress. They end with the process, or by `close`."""
        self._watching = True
        self.ready = self._documents
        for work in (self._keep_refreshing, self._keep_recompressing):
            thread = threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Ends the threads. The cached documents are served on."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def refresh(self) -> None:
        """Makes the cached documents equal to the record's. Raises RecordUnavailable, and then changes nothing."""
        with self._lock:
            listing = documents.listing(self._record)
            self.refreshes += 1
            if self._listing is None:
                self._fill(listing)
            if listing != self._listing:
                self._replace_changed(listing)
                self._listing = listing
            if self._size() > self._limit:
                self._evict()

    def recompress(self, now: float) -> bool:
        """Compresses one form of a stable document as well as possible; returns whether there was one."""
        for path, cached in tuple(self._documents.items()):
            if now - self._loaded_at.get(path, now) < STABLE_SECONDS:
                continue
            for coding, representation in tuple(cached.representations.items()):
                if not representation.best:
                    cached.recompress(coding)
                    return True
        return False

    def _replace_changed(self, listing: Mapping[tuple[str, str], str]) -> None:
        for path, cached in tuple(self._documents.items()):
            etag = listing.get((cached.address.slug, cached.address.fmt))
            if etag is None:
                self._drop(path)
            elif etag != cached.document.etag:
                self._load(cached.address)

    def _fill(self, listing: Mapping[tuple[str, str], str]) -> None:
        """Loads up to half of the limit, so that there is something to serve if the record goes away."""
        for slug, fmt in listing:
            address = DocumentAddress.of_path(f"/feeds/{slug}.{fmt}")
            if self._size() > self._limit // 2:
                return
            if address and address.path not in self._documents:
                self._load(address)

    def _load(self, address: DocumentAddress) -> CachedDocument | None:
        document = documents.get_document(self._record, address.slug, address.fmt)
        before = self._documents.get(address.path)
        if document is None:
            self._drop(address.path)
            return None
        if before is not None and before.document.etag == document.etag:
            return before
        policy = public_policy(address, self._public_url)
        cached = CachedDocument(address, document, policy, before.former_of_next() if before else None)
        cached.last_used = self.refreshes
        if before is not None:
            # In the forms that clients ask for, so that no request waits for them.
            for coding in tuple(before.representations):
                cached.representation(coding)
        self._loaded_at[address.path] = monotonic()
        self._documents[address.path] = cached
        return cached

    def _drop(self, path: str) -> None:
        self._documents.pop(path, None)
        self._loaded_at.pop(path, None)

    def _size(self) -> int:
        return sum(cached.size for cached in self._documents.values())

    def _evict(self) -> None:
        size = self._size()
        for path, cached in sorted(self._documents.items(), key=lambda each: each[1].last_used):
            if size <= self._limit:
                return
            size -= cached.size
            self._drop(path)

    def _keep_refreshing(self) -> None:
        pause = 0.0
        while not self._closed.wait(pause):
            began = monotonic()
            try:
                self.refresh()
                self._log_availability(None)
            except RecordUnavailable as error:
                self._log_availability(error)
            except Exception:
                # The thread must live: without it the feeds would never change.
                log.exception("document_cache.refresh_failed")
            pause = max(DOCUMENT_REFRESH_SECONDS, (monotonic() - began) / DOCUMENT_REFRESH_SHARE)

    def _log_availability(self, error: RecordUnavailable | None) -> None:
        if error is not None and not self._record_away:
            log.warning("document_cache.record_away", documents=len(self._documents), error=str(error))
        if error is None and self._record_away:
            log.info("document_cache.record_back", documents=len(self._documents))
        self._record_away = error is not None

    def _keep_recompressing(self) -> None:
        with suppress(OSError, AttributeError):
            # Uses only spare processor time (Linux: of this thread alone).
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        while not self._closed.wait(0.0 if self._recompress_one() else 1.0):
            pass

    def _recompress_one(self) -> bool:
        try:
            return self.recompress(monotonic())
        except Exception:
            log.exception("document_cache.recompress_failed")
            return False
