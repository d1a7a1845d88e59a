"""The pulse: notices that this process stood still (stopped, swapped out, its machine suspended).

While it did, others took it for dead and gave what it had claimed to another worker. What it then still has in hand
must not be sent: a newer revision may have arrived meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TICK = 0.2  # seconds
STILL = 1.0  # seconds; far below leases.ALIVE, after which others take over


class Pulse:
    """`stops()` is how often the process stood still so far. Right from the first moment after, in any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ticked = clock()
        self._stops = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        with self._lock:
            self._ticked = self._clock()
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(5)

    def stops(self) -> int:
        with self._lock:
            self._look()
            return self._stops

    def _look(self) -> None:
        now = self._clock()
        if now - self._ticked > STILL:
            self._stops += 1
            self._ticked = now

    def _tick(self) -> None:
        with self._lock:
            self._look()
            self._ticked = self._clock()

    def _run(self) -> None:
        while not self._closing.wait(TICK):
            self._tick()
