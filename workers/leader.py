"""Leases for work that only one process may do at a time, among machines whose clocks differ.

A lease ends when its time is over, by the clock of the machine that asks. A holder whose clock was ahead would keep it
beyond its death for as long as it was ahead: so a lease that was seen unchanged here, by a steady clock, for longer
than it lasts is taken over, whatever it says. A holder that lives renews its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from service.store.coordination import leases
from service.store.coordination.leases import Lease
from service.store.database.record import Record

SLACK = timedelta(seconds=1)
CLOCKS_APART = 0.1  # seconds
READINGS = 3


class Clocks(NamedTuple):
    """This machine's time of day, and seconds that go on steadily whatever is done to it."""

    now: Callable[[], datetime]
    steady: Callable[[], float] = time.monotonic


class ClockReading(NamedTuple):
    """The time of day, read between two readings of the steady clock: a process may stand still between any two."""

    now: datetime
    before: float
    after: float

    def now_at_least(self, earlier: ClockReading) -> datetime:
        """The least that the time of day can be now if nobody has put it back since the earlier reading."""
        return earlier.now + timedelta(seconds=max(0.0, self.before - earlier.after))


def read_both(clocks: Clocks) -> ClockReading:
    """Both clocks, no more than CLOCKS_APART from each other unless the machine stands still again and again."""
    for _ in range(READINGS):
        before, now, after = clocks.steady(), clocks.now(), clocks.steady()
        if after - before <= CLOCKS_APART:
            break
    return ClockReading(now, before, after)


class LeaderLease:
    """Ask about once a second while there is something to do. Any thread may."""

    def __init__(self, record: Record, clocks: Clocks) -> None:
        self._record = record
        self._clocks = clocks
        self._seen: dict[str, tuple[Lease, float]] = {}

    def acquire(self, name: str, holder: str, lasts: timedelta) -> bool:
        """Takes or renews the lease for as long; False while another lives that has it."""
        now = self._clocks.now()
        if leases.acquire(self._record, name, holder, now=now, lasts=lasts):
            return True
        lease = leases.find(self._record, name)
        if lease is None:
            return False  # it was given back this moment: the next call has it
        seen, since = self._seen.get(name, (None, 0.0))
        if lease != seen:
            self._seen[name] = lease, self._clocks.steady()
            return False
        if self._clocks.steady() - since <= (lasts + SLACK).total_seconds():
            return False
        return leases.take_over(self._record, lease, holder, now=now, lasts=lasts)

    def release(self, name: str, holder: str) -> None:
        """Gives the lease back before its time."""
        leases.release(self._record, name, holder)
