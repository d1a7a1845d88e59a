"""The send queue: the deliveries that a worker has claimed beyond what may be on the wire at once. Pure.

A claim costs about as much for a hundred deliveries as for ten. So where a partner answers fast, its next ones are
claimed while the last are on the wire; where it answers slowly, or fails, nothing is claimed ahead, and its deliveries
in the queue go back: a newer revision must not be kept waiting by them, nor another worker.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from service.store.deliveries.capacity import Lane
from service.store.deliveries.claims import ClaimedDelivery
from workers.deliver.slots import ClaimKey, WireSlots, lane_of

LONGEST_QUEUED = 0.5  # seconds; a delivery that was not sent by then is given back


class Queued(NamedTuple):
    """A claimed delivery and the bytes to send; `at` is when it was claimed, monotonic."""

    claimed: ClaimedDelivery
    body: bytes
    at: float


_Line = tuple[Lane, int]  # of one endpoint's takedowns, or of its news


class SendQueue:
    """Keeps to every endpoint's cap on the wire, and to the slots. Takedowns go first; endpoints go by turns."""

    def __init__(self, slots: WireSlots) -> None:
        self._slots = slots
        self._lines: dict[_Line, deque[Queued]] = {}  # none is empty
        # Lines that may have something to send, in turn.
        self._ready: dict[Lane, OrderedDict[int, None]] = {lane: OrderedDict() for lane in Lane}
        self._blocked: list[_Line] = []  # they found no slot
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, queued: Queued) -> None:
        line = _line(queued.claimed)
        self._lines.setdefault(line, deque()).append(queued)
        self._ready[line[0]][line[1]] = None
        self._count += 1

    def ready(self, room: int, at: float) -> Iterator[Queued]:
        """Up to `room` that go on the wire now. Each has a slot from here until `done`."""
        for lane, endpoint_id in self._blocked:
            self._ready[lane][endpoint_id] = None
        self._blocked.clear()
        while room and (line := self._next()) is not None:
            turns = self._ready[line[0]]
            waiting = self._lines.get(line)
            if not waiting or self._slots.is_full(waiting[0].claimed):
                del turns[line[1]]
                continue
            if not self._slots.has_room(waiting[0].claimed):
                del turns[line[1]]
                self._blocked.append(line)
                continue
            queued = waiting.popleft()
            turns.move_to_end(line[1])
            if not waiting:
                del self._lines[line], turns[line[1]]
            self._slots.begin(queued.claimed, at)
            self._count -= 1
            room -= 1
            yield queued

    def _next(self) -> _Line | None:
        for lane in (Lane.TAKEDOWNS, Lane.NEWS):
            if self._ready[lane]:
                return lane, next(iter(self._ready[lane]))
        return None

    def in_the_way(self, at: float) -> list[ClaimKey]:
        """The pushes to be cut off, for they keep endpoints that nothing was sent to yet from their first one."""
        return [
            claim
            for lane in Lane
            if (blocked := self._blocked_first_pushes(lane))
            for claim in self._slots.overdue_first_pushes(lane, at, blocked)
        ]

    def _blocked_first_pushes(self, lane: Lane) -> int:
        return sum(of is lane and self._slots.is_unknown(endpoint_id) for of, endpoint_id in self._blocked)

    def waiting(self, lane: Lane) -> set[int]:
        """The endpoints that have something in the queue which keeps more of this lane from being claimed."""
        return {endpoint_id for of, endpoint_id in self._lines if lane is Lane.NEWS or of is lane}

    def done(self, claimed: ClaimedDelivery, seconds: float | None = None) -> None:
        """It came back from the wire, after so long; None if that says nothing of the partner."""
        self._slots.end(claimed, seconds)
        line = _line(claimed)
        if line in self._lines:
            self._ready[line[0]][line[1]] = None

    def remove(self, endpoint_id: int) -> list[ClaimedDelivery]:
        """Takes out all that waits for this endpoint: it failed, and may not want the next one now."""
        return self._remove([(Lane.NEWS, endpoint_id)], lambda _: True)

    def remove_late(self, now: float) -> list[ClaimedDelivery]:
        """Takes out all that has waited for too long."""
        return self._remove(self._lines, lambda queued: now - queued.at > LONGEST_QUEUED)

    def clear(self) -> list[ClaimedDelivery]:
        """Takes out all that waits."""
        return self._remove(self._lines, lambda _: True)

    def _remove(self, lines: Iterable[_Line], which: Callable[[Queued], bool]) -> list[ClaimedDelivery]:
        """Takes from the front of each line, where the oldest are."""
        removed: list[ClaimedDelivery] = []
        for line in list(lines):
            waiting = self._lines.get(line, deque())
            while waiting and which(waiting[0]):
                removed.append(waiting.popleft().claimed)
            if not waiting:
                self._lines.pop(line, None)
        self._count -= len(removed)
        return removed


def _line(claimed: ClaimedDelivery) -> _Line:
    return lane_of(claimed), claimed.endpoint_id
