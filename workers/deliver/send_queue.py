"""The send queue: the deliveries that a worker has claimed beyond what may be on the wire at once. Pure.

A claim costs about as much for a hundred deliveries as for ten. So where a partner answers fast, its next ones are
claimed while the last are on the wire; where it answers slowly, or fails, nothing is claimed ahead, and its deliveries
in the queue go back: a newer revision must not be kept waiting by them, nor another worker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from service.store.deliveries.claims import ClaimedDelivery

LONGEST_QUEUED = 0.5  # seconds; a delivery that was not sent by then is given back
_TAKEDOWN_LANE = 0  # of all takedowns; the other lanes are endpoints


class Queued(NamedTuple):
    """A claimed delivery and the bytes to send; `at` is when it was claimed, monotonic."""

    claimed: ClaimedDelivery
    body: bytes
    at: float


class SendQueue:
    """Keeps to every endpoint's cap on the wire. Takedowns wait for nothing here: their claims keep to the cap."""

    def __init__(self) -> None:
        self._lanes: dict[int, deque[Queued]] = {}  # none is empty
        self._in_flight: dict[int, int] = {}
        self._ready: dict[int, None] = {}  # lanes that may have something to send, in turn
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, queued: Queued) -> None:
        lane = _lane(queued.claimed)
        self._lanes.setdefault(lane, deque()).append(queued)
        self._ready[lane] = None
        self._count += 1

    def ready(self, room: int) -> Iterator[Queued]:
        """Up to `room` that go on the wire now. Each counts as on the wire from here until `done`."""
        while room and self._ready:
            lane = _TAKEDOWN_LANE if _TAKEDOWN_LANE in self._ready else next(iter(self._ready))
            waiting = self._lanes.get(lane)
            in_flight = self._in_flight.get(lane, 0)
            if not waiting or (lane != _TAKEDOWN_LANE and in_flight >= waiting[0].claimed.cap):
                del self._ready[lane]
                continue
            queued = waiting.popleft()
            if not waiting:
                del self._lanes[lane]
            self._in_flight[lane] = in_flight + 1
            self._count -= 1
            room -= 1
            yield queued

    def done(self, claimed: ClaimedDelivery) -> None:
        """It came back from the wire, however it went."""
        lane = _lane(claimed)
        self._in_flight[lane] -= 1
        if lane in self._lanes:
            self._ready[lane] = None

    def remove(self, endpoint_id: int) -> list[ClaimedDelivery]:
        """Takes out all that waits for this endpoint: it failed, and may not want the next one now."""
        return self._remove([endpoint_id], lambda _: True)

    def remove_late(self, now: float) -> list[ClaimedDelivery]:
        """Takes out all that has waited for too long."""
        return self._remove(self._lanes, lambda queued: now - queued.at > LONGEST_QUEUED)

    def clear(self) -> list[ClaimedDelivery]:
        """Takes out all that waits."""
        return self._remove(self._lanes, lambda _: True)

    def _remove(self, lanes: Iterable[int], which: Callable[[Queued], bool]) -> list[ClaimedDelivery]:
        """Takes from the front of each lane, where the oldest are."""
        removed: list[ClaimedDelivery] = []
        for lane in list(lanes):
            waiting = self._lanes.get(lane, deque())
            while waiting and which(waiting[0]):
                removed.append(waiting.popleft().claimed)
            if not waiting:
                self._lanes.pop(lane, None)
        self._count -= len(removed)
        return removed


def _lane(claimed: ClaimedDelivery) -> int:
    return _TAKEDOWN_LANE if claimed.priority == 0 else claimed.endpoint_id
