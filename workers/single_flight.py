"""Single flight: one thread does the work, and a wish that comes meanwhile makes that thread do it once more."""

from __future__ import annotations

import threading
from collections.abc import Callable


class SingleFlight:
    """Runs work of which one run at a time is enough, and which any thread may ask for at any moment.

    A thread that asks while another one is at work leaves a wish and returns: the other one does the work again. So no
    wish is lost, and nobody waits.
    """

    def __init__(self, work: Callable[[], int], interrupt: Callable[[], None] = lambda: None) -> None:
        """`work` returns how much it did. `interrupt` tells a thread that waits within its work of a wish."""
        self._work = work
        self._interrupt = interrupt
        self._wish = threading.Event()
        self._busy = threading.Lock()
        self._stopped = threading.Event()

    def run(self) -> int:
        """Does the work until no wish is left; returns how much this call did, 0 if another thread is at it."""
        done = 0
        self._wish.set()
        # The wish is set before the lock is tried, and looked at after the lock is released: one of the two threads
        # sees it.
        while self._wish.is_set() and not self.stopped() and self._busy.acquire(blocking=False):
            try:
                self._wish.clear()
                done += self._work()
            finally:
                self._busy.release()
        if self._wish.is_set():
            self._interrupt()
        return done

    def request(self) -> bool:
        """Leaves a wish. True if a thread is at work, which will heed it; else somebody must call `run`."""
        self._wish.set()
        if not self._busy.locked():
            return False
        self._interrupt()
        return True

    def take_wish(self) -> bool:
        """For the work itself, before it looks again at what there is to do: True if there was a wish."""
        if not self._wish.is_set():
            return False
        self._wish.clear()
        return True

    def wait(self, seconds: float) -> None:
        """For the work itself: waits for so long, or until the next wish."""
        self._wish.wait(max(0.0, seconds))

    def pause(self, seconds: float) -> None:
        """For the work itself: waits for so long, whatever is wished for, or until it is stopped."""
        self._stopped.wait(max(0.0, seconds))

    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """Begins no further run. For signal handlers: waits for nothing."""
        self._stopped.set()
        self._wish.set()
        self._interrupt()

    def close(self, seconds: float) -> bool:
        """Stops, and waits up to so long for the end of the run at hand; False if that has not ended by then."""
        self.stop()
        return self._busy.acquire(timeout=seconds)
