"""The publishing of one process: one builds at a time, here by threads and among processes by a lease."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

from workers.leader import LeaderLease
from workers.publish.builder import FeedBuilder
from workers.single_flight import SingleFlight

# After a build none is begun for eight times as long, so that a flood leaves its processor to the pushes; but never
# for longer than the last of these, in seconds.
SHORTEST_PAUSE, PAUSE_TIMES, LONGEST_PAUSE = 0.1, 8.0, 2.0
PUBLISH_LEASE = timedelta(seconds=10)
RENEW_AFTER = 3.0  # seconds
_LEASE_NAME = "publish"


class PublishTask:
    """Builds the feeds. `drain` may be called from any thread: one builds, the others leave a wish and return."""

    def __init__(
        self,
        builder: FeedBuilder,
        lease: LeaderLease,
        worker: str,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._builder = builder
        self._lease = lease
        self._worker = worker
        self._steady = steady
        self._flight = SingleFlight(self._run)
        self._build_at = 0.0  # monotonic

    def drain(self) -> int:
        """Builds until nothing is due; returns how many documents were built."""
        return self._flight.run()

    def request(self) -> bool:
        return self._flight.request()

    def stop(self) -> None:
        """Ends after the document at hand; the others stay due."""
        self._flight.stop()
        self._builder.stop()

    def close(self, seconds: float) -> None:
        self.stop()
        self._flight.close(seconds)

    def _run(self) -> int:
        self._flight.pause(self._build_at - time.monotonic())
        self._flight.take_wish()  # this build serves those that came during the pause, too
        if self._flight.stopped():
            return 0
        built = self._build()
        if built or self._builder.renewing:
            self._flight.request()  # more may have been asked for meanwhile, or is to be asked for
        return built

    def _build(self) -> int:
        """How many documents were built. One process builds; the lease ends by itself should it die.

        Two that build at once, as clocks that differ or a process that stood still may have it, do double work and no
        harm: a document made of an older state is not written (`store_documents`, `store_page`).
        """
        holder = f"{self._worker}/{threading.get_ident()}"
        if not self._lease.acquire(_LEASE_NAME, holder, PUBLISH_LEASE):
            if self._builder.renewing:  # then it is asked again and again
                self._build_at = time.monotonic() + LONGEST_PAUSE
            return 0
        began = time.monotonic()
        try:
            return self._builder.drain(self._renewal(holder))
        finally:
            self._lease.release(_LEASE_NAME, holder)
            ended = time.monotonic()
            pause = min(max(SHORTEST_PAUSE, PAUSE_TIMES * (ended - began)), LONGEST_PAUSE)
            self._build_at = ended + pause

    def _renewal(self, holder: str) -> Callable[[], bool]:
        """To be asked between two documents: renews the lease in good time; False once another has taken it."""
        renewed_at, ours = self._steady(), True

        def still_ours() -> bool:
            nonlocal renewed_at, ours
            if ours and self._steady() - renewed_at >= RENEW_AFTER:
                renewed_at = self._steady()
                ours = self._lease.acquire(_LEASE_NAME, holder, PUBLISH_LEASE)
            return ours

        return still_ours
