"""A bell for a thread that waits in a selector: others ring it, and it returns."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress


class Bell:
    """`fileno()` is to be watched for reading. Rung any number of times before it is heard, it is heard once."""

    def __init__(self) -> None:
        self._ear, self._clapper = os.pipe()
        os.set_blocking(self._ear, False)
        os.set_blocking(self._clapper, False)
        # Not before nobody has it any more: a late ring must not be written into what was opened since.
        weakref.finalize(self, _close, self._ear, self._clapper)

    def fileno(self) -> int:
        return self._ear

    def ring(self) -> None:
        """From any thread, and from signal handlers. Never waits."""
        with suppress(BlockingIOError):  # it was rung often enough
            os.write(self._clapper, b".")

    def hear(self) -> None:
        """Silences it."""
        with suppress(BlockingIOError):
            while len(os.read(self._ear, 65_536)) == 65_536:
                pass


def _close(*files: int) -> None:
    for file in files:
        os.close(file)
