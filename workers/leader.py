"""Takes the leases of what only one may do at a time, among machines whose clocks differ.

A lease ends when its time is over, by the clock of whoever asks. A holder whose clock was ahead would keep it beyond
its death for as long as it was ahead: so a lease that was seen unchanged here, by a steady clock, for longer than
it lasts is taken over, whatever it says. Whoever lives renews its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from service.store.coordination import leases
from service.store.coordination.leases import Lease
from service.store.database.record import Record

SLACK = timedelta(seconds=1)


class Tenure:
    """Ask about once a second while there is something to do. Any thread may."""

    def __init__(
        self, record: Record, clock: Callable[[], datetime], steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._record = record
        self._clock = clock
        self._steady = steady
        self._seen: dict[str, tuple[Lease, float]] = {}

    def take(self, name: str, holder: str, lasts: timedelta) -> bool:
        """Takes or keeps the lease for as long; False while another lives that holds it."""
        now = self._clock()
        if leases.acquire(self._record, name, holder, now=now, lasts=lasts):
            return True
        held = leases.find(self._record, name)
        if held is None:
            return False  # it was given back this moment: the next call has it
        seen, since = self._seen.get(name, (None, 0.0))
        if held != seen:
            self._seen[name] = held, self._steady()
            return False
        if self._steady() - since <= (lasts + SLACK).total_seconds():
            return False
        return leases.take_over(self._record, held, holder, now=now, lasts=lasts)
