"""The documents held in this process's memory, and how they are kept as the record has them.

A thread looks at the record five times a second for documents that changed: the list of their ETags is read, and the
bodies of those that are held and differ. Requests never ask the record for what is held. While the record is away
what is held goes on being served.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

from service import logs
from service.serving.cached_document import Address, Held, public_manners
from service.store.database.record import Record
from service.store.errors import RecordUnavailable
from service.store.feeds import documents

log = logs.get("shelf")

LOOK_EVERY = 0.2
# Of the time, no more than a twentieth is spent looking, however many feeds there are.
LOOK_SHARE = 0.05
LIMIT = 128 << 20
# A document that stands this long is worth compressing well. One that changes all the time is not.
SETTLED = 5.0


class Shelf:
    """Safe among threads, not among forked processes.

    Until `watch` is called nothing is ready: `fetch` then asks the record each time, as tests want it.
    """

    def __init__(self, record: Record, public_url: str, *, limit: int = LIMIT) -> None:
        self._record = record
        self._public_url = public_url
        self._limit = limit
        self._held: dict[str, Held] = {}
        self._since: dict[str, float] = {}
        self._listed: Mapping[tuple[str, str], str] | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._watched = False
        self._away = False
        # Path → document, to be served as it is.
        self.ready: Mapping[str, Held] = {}
        # Counts the looks: what was used in a look that is long past is the first to go.
        self.looks = 0

    def fetch(self, address: Address) -> Held | None:
        """A document that is not ready; None if there is none. Raises RecordUnavailable if it cannot be known."""
        listed = self._listed
        if self._watched and listed is not None and (address.slug, address.fmt) not in listed:
            return None
        with self._lock:
            held = self._held.get(address.path)
            if held is not None and self._watched:
                return held
            try:
                return self._read(address)
            except RecordUnavailable:
                if held is None:
                    raise
                return held

    def watch(self) -> None:
        """Starts the threads that keep the shelf. They end with the process, or by `close`."""
        self._watched = True
        self.ready = self._held
        for work in (self._keep_current, self._keep_small):
            thread = threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Ends the threads; what is held is served on."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def look(self) -> None:
        """Brings what is held to what the record has. Raises RecordUnavailable, and then all stays as it is."""
        with self._lock:
            listed = documents.listing(self._record)
            self.looks += 1
            if self._listed is None:
                self._fill(listed)
            if listed != self._listed:
                self._replace(listed)
                self._listed = listed
            if self._size() > self._limit:
                self._make_room()

    def improve(self, now: float) -> bool:
        """Compresses one form of a settled document as well as can be; returns whether there was one."""
        for path, held in tuple(self._held.items()):
            if now - self._since.get(path, now) < SETTLED:
                continue
            for coding, answer in tuple(held.answers.items()):
                if not answer.best:
                    held.improve(coding)
                    return True
        return False

    def _replace(self, listed: Mapping[tuple[str, str], str]) -> None:
        for path, held in tuple(self._held.items()):
            etag = listed.get((held.address.slug, held.address.fmt))
            if etag is None:
                self._drop(path)
            elif etag != held.document.etag:
                self._read(held.address)

    def _fill(self, listed: Mapping[tuple[str, str], str]) -> None:
        """Reads what there is room for, so that there is something to serve should the record go away."""
        for slug, fmt in listed:
            address = Address.of_path(f"/feeds/{slug}.{fmt}")
            if self._size() > self._limit // 2:
                return
            if address and address.path not in self._held:
                self._read(address)

    def _read(self, address: Address) -> Held | None:
        document = documents.get_document(self._record, address.slug, address.fmt)
        before = self._held.get(address.path)
        if document is None:
            self._drop(address.path)
            return None
        if before is not None and before.document.etag == document.etag:
            return before
        manners = public_manners(address, self._public_url)
        held = Held(address, document, manners, before.former_of_next() if before else None)
        held.used = self.looks
        if before is not None:
            # In the forms that are asked for, so that no request waits for them.
            for coding in tuple(before.answers):
                held.answer(coding)
        self._since[address.path] = monotonic()
        self._held[address.path] = held
        return held

    def _drop(self, path: str) -> None:
        self._held.pop(path, None)
        self._since.pop(path, None)

    def _size(self) -> int:
        return sum(held.size for held in self._held.values())

    def _make_room(self) -> None:
        size = self._size()
        for path, held in sorted(self._held.items(), key=lambda each: each[1].used):
            if size <= self._limit:
                return
            size -= held.size
            self._drop(path)

    def _keep_current(self) -> None:
        pause = 0.0
        while not self._closed.wait(pause):
            began = monotonic()
            try:
                self.look()
                self._note_away(None)
            except RecordUnavailable as error:
                self._note_away(error)
            except Exception:
                # The thread must live: without it the feeds would stand still.
                log.exception("shelf.look_failed")
            pause = max(LOOK_EVERY, (monotonic() - began) / LOOK_SHARE)

    def _note_away(self, error: RecordUnavailable | None) -> None:
        if error is not None and not self._away:
            log.warning("shelf.record_away", held=len(self._held), error=str(error))
        if error is None and self._away:
            log.info("shelf.record_back", held=len(self._held))
        self._away = error is not None

    def _keep_small(self) -> None:
        with suppress(OSError, AttributeError):
            # Only with what the processor has to spare (Linux: this thread alone).
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        while not self._closed.wait(0.0 if self._improve_one() else 1.0):
            pass

    def _improve_one(self) -> bool:
        try:
            return self.improve(monotonic())
        except Exception:
            log.exception("shelf.improve_failed")
            return False
