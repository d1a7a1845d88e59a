"""A pipe that wakes a thread which waits in a selector."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress


class WakeupPipe:
    """A selector watches `fileno()` for reading. Any number of notifications before a `drain` wake the thread once."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        # The pipe is closed only when nobody has it any more: a late notification must not be written into a file
        # that was opened since under the same number.
        weakref.finalize(self, _close, self._reader, self._writer)

    def fileno(self) -> int:
        return self._reader

    def notify(self) -> None:
        """Wakes the thread that waits. Any thread and any signal handler may call it. Never blocks."""
        with suppress(BlockingIOError):  # a full pipe has been written to often enough
            os.write(self._writer, b".")

    def drain(self) -> None:
        """Empties the pipe, so that the selector waits again."""
        with suppress(BlockingIOError):
            while len(os.read(self._reader, 65_536)) == 65_536:
                pass


def _close(*files: int) -> None:
    for file in files:
        os.close(file)
