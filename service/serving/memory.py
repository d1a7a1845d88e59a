"""Bytes that a cache holds, counted as they come and go: to ask for the sum costs nothing, however much there is."""

from __future__ import annotations

import threading


class ByteCount:
    """A sum that many threads change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.total = 0

    def add(self, count: int) -> None:
        """A negative count takes away."""
        with self._lock:
            self.total += count


class ByteAccount:
    """The part of a `ByteCount` that belongs to one value: once it is closed nothing of that value counts any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count: ByteCount | None = None
        self.size = 0

    def add(self, count: int) -> None:
        """Counts bytes of the value, wherever it is counted."""
        with self._lock:
            self.size += count
            if self._count is not None:
                self._count.add(count)

    def open(self, count: ByteCount) -> None:
        """Counts the value in this sum, from now on with all that it grows by."""
        with self._lock:
            if self._count is None:
                self._count = count
                count.add(self.size)

    def close(self) -> None:
        """Takes the value out of the sum, for good."""
        with self._lock:
            if self._count is not None:
                self._count.add(-self.size)
                self._count = None
