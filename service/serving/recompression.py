"""Recompression: documents that do not change for a while are compressed as well as possible, one form at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

from service import logs
from service.serving.cached_document import CachedDocument

log = logs.get("document_cache")

# A document that has not changed for so long is worth compressing well. One that changes all the time is not.
STABLE_SECONDS = 5.0
# Pause after a round in which nothing was left to do.
RECOMPRESS_PAUSE_SECONDS = 2.0


class Recompression:
    """Goes round the documents and takes up where it stopped, so that one round looks at each of them once."""

    def __init__(self, documents: Mapping[str, CachedDocument], loaded_at: Mapping[str, float]) -> None:
        self._documents = documents
        self._loaded_at = loaded_at
        self._round: list[str] = []

    def run(self, closed: threading.Event) -> None:
        """Goes on until `closed`, in a thread of its own, which uses only spare processor time (on Linux)."""
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        more = False
        while not closed.wait(0.0 if more else RECOMPRESS_PAUSE_SECONDS):
            try:
                more = self.step(monotonic())
            except Exception:
                log.exception("document_cache.recompress_failed")
                more = False

    def step(self, now: float) -> bool:
        """Compresses one form; False if the rest of this round, and a whole round after it, have none to compress."""
        whole_rounds = 0
        while whole_rounds < 2:
            while self._round:
                if self._compress(self._round[-1], now):
                    return True
                self._round.pop()
            self._round = list(self._documents)
            whole_rounds += 1
        self._round = []
        return False

    def _compress(self, path: str, now: float) -> bool:
        cached = self._documents.get(path)
        if cached is None or now - self._loaded_at.get(path, now) < STABLE_SECONDS:
            return False
        for coding, representation in tuple(cached.representations.items()):
            if not representation.best:
                cached.recompress(coding)
                return True
        return False
