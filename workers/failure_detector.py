"""Judges which workers are dead, by the changes that this process itself saw, on its own steady clock. Pure.

Never by comparing times that others wrote: machines' clocks differ, and the time of day may jump. A worker is dead when
its heartbeat was seen not to change for ALIVE; a claim is lost when it was seen unchanged for a whole lease, whoever
holds it. A detector that did not look for a while, because its process stood still or the record was away, begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.store.coordination.heartbeats import ALIVE
from service.store.deliveries.claims import LEASE
from service.store.deliveries.recovery import InFlight

GAP = 2.5  # seconds between two looks at the most; then nothing seen before counts


class FailureDetector:
    """`lost` is asked about once a second, by each worker process."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")
        self._beats: dict[str, tuple[int, float]] = {}
        self._claims: dict[tuple[int, int], float] = {}

    def lost(self, flying: Sequence[InFlight], at: float) -> list[InFlight]:
        """The deliveries on the wire that nobody will settle. `at` is monotonic, in seconds."""
        if at - self._asked_at > GAP:
            self._beats, self._claims = {}, {}
        self._asked_at = at
        self._beats = {
            each.worker: self._seen(each.worker, each.beat, at) for each in flying if each.beat is not None
        }
        self._claims = {each.key: self._claims.get(each.key, at) for each in flying}
        return [each for each in flying if self._is_lost(each, at)]

    def _seen(self, worker: str, beat: int, at: float) -> tuple[int, float]:
        """The heartbeat, and since when it was seen unchanged."""
        before = self._beats.get(worker)
        return before if before is not None and before[0] == beat else (beat, at)

    def _is_lost(self, each: InFlight, at: float) -> bool:
        if each.beat is None:  # it left in good order, or its row was removed
            return True
        silent = at - self._beats[each.worker][1]
        return silent > ALIVE.total_seconds() or at - self._claims[each.key] > LEASE.total_seconds()
