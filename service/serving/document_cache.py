"""The documents of the feeds in this process's memory, refreshed from the record.

A thread asks the record five times a second whether any document changed: one row a feed. If one did, it reads the list
of their ETags, and the bodies of those that are cached and differ, takedowns first. Requests never ask the record for a
cached document. While the record is away the cached documents are served on.

Not a cache of cachetools: requests read `ready`, a plain dictionary, without a lock, and note the use by an assignment.
Its LRUCache takes a lock and half a microsecond for each. docs/decisions/0011.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from time import monotonic

from service import logs, times
from service.serving.cached_document import CachedDocument, DocumentAddress, public_policy
from service.serving.memory import ByteCount
from service.serving.recompression import Recompression
from service.store.database.record import Record
from service.store.errors import RecordUnavailable
from service.store.feeds import documents
from service.store.feeds.documents import ChangeState

log = logs.get("document_cache")

DOCUMENT_REFRESH_SECONDS = 0.2
# A refresh takes no more than this share of the time, however many feeds there are; but a pause has a ceiling, for a
# kill must be noticed within it.
DOCUMENT_REFRESH_SHARE = 0.05
DOCUMENT_REFRESH_CEILING = 1.0
# Loading goes on for so long at a time; then takedowns are looked for again.
LOADING_SECONDS = 0.25
DOCUMENT_CACHE_BYTES = 128 << 20
# The list is read again after so long, even if nothing says that a document changed; for a hundredth of the time.
RELIST_SECONDS = 5.0
RELIST_SHARE = 0.01
# Takedowns of the last hour are looked for. One that is older was loaded long ago.
TAKEDOWN_WINDOW = timedelta(hours=1)
# So few documents are loaded in all the forms that clients ask for. Of more takedowns, each form is made on request.
_FEW = 20
_STRIPES = 64


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
        self._state: ChangeState | None = None
        self._list_again_at = 0.0
        self._bytes = ByteCount()
        self._recompression = Recompression(self._documents, self._loaded_at)
        # Paths to load: cached ones that changed, by takedowns and otherwise; and those that the list newly has.
        self._urgent: dict[str, DocumentAddress] = {}
        self._changed: dict[str, DocumentAddress] = {}
        self._first: list[DocumentAddress] = []
        self._wanted = 0
        # Paths whose documents were loaded beside a look at the list, and differ from it.
        self._suspects: dict[str, DocumentAddress] = {}
        # A document is read and stored under its lock, so that an older one never takes the place of a newer.
        self._locks = [threading.Lock() for _ in range(_STRIPES)]
        self._evicting = threading.Lock()
        self._refreshing = threading.Lock()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._watching = False
        self._record_away = False
        self._current_at = monotonic()
        # Path → document, to be served as it is.
        self.ready: Mapping[str, CachedDocument] = {}
        # The number of refreshes. A document notes the last one in which it was used; the oldest is evicted first.
        self.refreshes = 0

    @property
    def behind_seconds(self) -> float:
        """So old what is served may be: the time since every cached document was the record's."""
        return monotonic() - self._current_at

    def describe(self) -> str:
        """The state in words, for /readyz."""
        if not self.refreshes:
            return "the record was not looked at yet"
        words = f"at most {self.behind_seconds:.1f} s behind the record"
        if self._first:
            words += f"; taking up {self._wanted - len(self._first):,} of {self._wanted:,} documents"
        if changed := len(self._urgent) + len(self._changed):
            words += f"; {changed:,} changed ones are being loaded"
        return words

    def fetch(self, address: DocumentAddress) -> CachedDocument | None:
        """A document that is not ready; None if there is none. Raises RecordUnavailable if that cannot be known."""
        listing = self._listing
        if self._watching and listing is not None and (address.slug, address.fmt) not in listing:
            return None
        with self._lock_of(address.path):
            cached = self._documents.get(address.path)
            if cached is not None and self._watching:
                return cached
            try:
                loaded = self._load(address)
            except RecordUnavailable:
                if cached is None:
                    raise
                return cached
        if self._differs(address, loaded):
            self._suspects[address.path] = address
        if self._bytes.total > self._limit:
            self._evict()
        return loaded

    def watch(self) -> None:
        """Starts the threads that refresh and recompress. They end with the process, or by `close`."""
        self._watching = True
        self.ready = self._documents
        for name, work in (("refresh", self._keep_refreshing), ("recompress", self._keep_recompressing)):
            thread = threading.Thread(target=work, name=f"documents_{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Ends the threads. The cached documents are served on."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def refresh(self) -> bool:
        """One look at the record; whether cached documents are equal to the record's now, or more are to be loaded.

        Raises RecordUnavailable, and then what is cached stays. It takes a bounded time, for takedowns may come.
        """
        with self._refreshing:
            began = monotonic()
            self._look(began)
            self._load_changed(began + LOADING_SECONDS)
            if not (self._urgent or self._changed or self._suspects):
                self._current_at = began
            self.refreshes += 1
            self._load_first(began + LOADING_SECONDS)
            if self._bytes.total > self._limit:
                self._evict()
            return not (self._changed or self._first)

    def recompress(self, now: float) -> bool:
        """Compresses one form of a stable document as well as possible; returns whether there was one."""
        return self._recompression.step(now)

    def _look(self, now: float) -> None:
        # Before the list: a change between the two is seen at the next look.
        state = documents.change_state(self._record)
        suspects, self._suspects = self._suspects, {}
        self._changed |= suspects
        if self._listing is not None and state == self._state and not suspects and now < self._list_again_at:
            return
        listing = documents.listing(self._record)
        self._want_new(listing)
        self._listing, self._state = listing, state
        self._list_again_at = now + max(RELIST_SECONDS, (monotonic() - now) / RELIST_SHARE)
        self._compare(listing)

    def _want_new(self, listing: Mapping[tuple[str, str], str]) -> None:
        """Notes the documents that the former list had not: all at the start, later those of new feeds."""
        former = self._listing or {}
        fresh = (DocumentAddress.of(*each) for each in listing if each not in former)
        new = [address for address in fresh if address is not None]
        self._wanted = (self._wanted if self._first else 0) + len(new)
        self._first = [*reversed(new), *self._first]

    def _compare(self, listing: Mapping[tuple[str, str], str]) -> None:
        """Drops what is gone, and notes what has to be loaded."""
        changed: dict[str, DocumentAddress] = {}
        for path, cached in tuple(self._documents.items()):
            etag = listing.get((cached.address.slug, cached.address.fmt))
            if etag is None:
                with self._lock_of(path):
                    self._drop(path)
            elif etag != cached.document.etag:
                changed[path] = cached.address
        self._urgent = {}
        if changed:
            slugs = documents.feeds_with_takedowns(self._record, times.now() - TAKEDOWN_WINDOW)
            self._urgent = {path: each for path, each in changed.items() if each.slug in slugs}
        self._changed = {path: each for path, each in changed.items() if path not in self._urgent}

    def _load_changed(self, deadline: float) -> None:
        """Takedowns first. One that cannot be loaded in time is served no more: a request for it asks the record."""
        compressed = len(self._urgent) <= _FEW
        while self._urgent and monotonic() < deadline:
            self._load_again(self._urgent, compressed=compressed)
        for path in tuple(self._urgent):
            with self._lock_of(path):
                self._drop(path)
        self._urgent = {}
        # The last one is loaded however late it is, so that this ends.
        goes_on = True
        while self._changed and goes_on:
            self._load_again(self._changed, compressed=True)
            goes_on = monotonic() < deadline

    def _load_again(self, waiting: dict[str, DocumentAddress], *, compressed: bool) -> None:
        path, address = next(iter(waiting.items()))
        with self._lock_of(path):
            self._load(address, compressed=compressed)
        del waiting[path]

    def _load_first(self, deadline: float) -> None:
        """Loads up to half of the limit, so that there is something to serve if the record goes away."""
        while self._first and monotonic() < deadline:
            if self._bytes.total > self._limit // 2:
                self._first = []
                return
            address = self._first[-1]
            with self._lock_of(address.path):
                if address.path not in self._documents:
                    self._load(address)
            self._first.pop()

    def _differs(self, address: DocumentAddress, loaded: CachedDocument | None) -> bool:
        if loaded is None or self._listing is None:
            return False
        return self._listing.get((address.slug, address.fmt)) != loaded.document.etag

    def _load(self, address: DocumentAddress, *, compressed: bool = True) -> CachedDocument | None:
        """To be called under the path's lock."""
        document = documents.get_document(self._record, address.slug, address.fmt)
        before = self._documents.get(address.path)
        if document is None:
            self._drop(address.path)
            return None
        if before is not None and before.document.etag == document.etag:
            return before
        policy = public_policy(address, self._public_url)
        cached = before.next_version(document) if before else CachedDocument(address, document, policy)
        cached.last_used = self.refreshes
        if before is not None:
            # In the forms that clients ask for, so that no request waits for them.
            for coding in tuple(before.representations) if compressed else ():
                cached.representation(coding)
            before.account.close()
        cached.account.open(self._bytes)
        self._loaded_at[address.path] = monotonic()
        self._documents[address.path] = cached
        return cached

    def _drop(self, path: str) -> None:
        dropped = self._documents.pop(path, None)
        self._loaded_at.pop(path, None)
        if dropped is not None:
            dropped.account.close()

    def _lock_of(self, path: str) -> threading.Lock:
        return self._locks[hash(path) % _STRIPES]

    def _evict(self) -> None:
        """Down to nine tenths of the limit, so that it is not to be done again for each document."""
        with self._evicting:
            if self._bytes.total <= self._limit:
                return
            for path, _ in sorted(self._documents.copy().items(), key=lambda each: each[1].last_used):
                if self._bytes.total <= self._limit - self._limit // 10:
                    return
                self._drop(path)

    def _keep_refreshing(self) -> None:
        pause = 0.0
        while not self._closed.wait(pause):
            began = monotonic()
            current = True
            try:
                current = self.refresh()
                self._log_availability(None)
            except RecordUnavailable as error:
                self._log_availability(error)
            except Exception:
                # The thread must live: without it the feeds would never change.
                log.exception("document_cache.refresh_failed")
            took = monotonic() - began
            pause = max(DOCUMENT_REFRESH_SECONDS, took / DOCUMENT_REFRESH_SHARE) if current else 0.05
            pause = min(pause, DOCUMENT_REFRESH_CEILING)

    def _log_availability(self, error: RecordUnavailable | None) -> None:
        if error is not None and not self._record_away:
            log.warning("document_cache.record_away", documents=len(self._documents), error=str(error))
        if error is None and self._record_away:
            log.info("document_cache.record_back", documents=len(self._documents))
        self._record_away = error is not None

    def _keep_recompressing(self) -> None:
        self._recompression.run(self._closed)
