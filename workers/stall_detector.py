"""Notices that this process stood still (stopped, swapped out, its machine suspended).

While it did, others took it for dead and gave its claims to another worker. The deliveries that it then still has in
hand must not be sent: a newer revision may have arrived meanwhile. What it claims afterwards, no pause has overtaken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CHECK_EVERY = 0.2  # seconds
# Counts on while the machine is suspended, as the monotonic clock does not; where there is none, that one.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)
STILL = 1.0  # seconds; far below heartbeats.ALIVE, after which others take over


def since_boot() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine is suspended."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


class StallDetector:
    """`stalls()` is how often the process stood still so far. Right from the first moment after, in any thread."""

    def __init__(self, clock: Callable[[], float] = since_boot) -> None:
        self._clock = clock
        self._checked_at = clock()
        self._stalls = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall_detector", daemon=True)

    def start(self) -> None:
        with self._lock:
            self._checked_at = self._clock()
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(5)

    def stalls(self) -> int:
        with self._lock:
            self._check()
            return self._stalls

    def _check(self) -> None:
        now = self._clock()
        if now - self._checked_at > STILL:
            self._stalls += 1
            self._checked_at = now

    def _tick(self) -> None:
        with self._lock:
            self._check()
            self._checked_at = self._clock()

    def _run(self) -> None:
        while not self._closing.wait(CHECK_EVERY):
            self._tick()
