"""The tray: what a worker has claimed beyond what may be on the wire at once, waiting for its turn. Pure.

A claim costs about as much for a hundred deliveries as for ten. So where a partner answers fast, its next ones are
claimed while the last are on the wire; where it answers slowly, or fails, nothing is claimed ahead, and what waits
here goes back: a newer revision must not be kept waiting by it, nor another worker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from service.store.deliveries.claims import Claimed

WAITS = 0.5  # seconds; what was not sent by then is given back
TAKEDOWNS = 0  # the lane of all of them; the others are endpoints


class Laid(NamedTuple):
    """A claimed delivery and the bytes to send; `at` is when it was claimed, monotonic."""

    claimed: Claimed
    body: bytes
    at: float


class Tray:
    """Keeps to every endpoint's cap on the wire. Takedowns wait for nothing here: their claims keep to the cap."""

    def __init__(self) -> None:
        self._lanes: dict[int, deque[Laid]] = {}  # none is empty
        self._flying: dict[int, int] = {}
        self._ready: dict[int, None] = {}  # lanes that may have something to send, in turn
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def lay(self, laid: Laid) -> None:
        lane = _lane(laid.claimed)
        self._lanes.setdefault(lane, deque()).append(laid)
        self._ready[lane] = None
        self._count += 1

    def ready(self, room: int) -> Iterator[Laid]:
        """Up to `room` that go on the wire now; what is taken from here is on the wire."""
        while room and self._ready:
            lane = TAKEDOWNS if TAKEDOWNS in self._ready else next(iter(self._ready))
            waiting = self._lanes.get(lane)
            flying = self._flying.get(lane, 0)
            if not waiting or (lane != TAKEDOWNS and flying >= waiting[0].claimed.cap):
                del self._ready[lane]
                continue
            laid = waiting.popleft()
            if not waiting:
                del self._lanes[lane]
            self._flying[lane] = flying + 1
            self._count -= 1
            room -= 1
            yield laid

    def landed(self, claimed: Claimed) -> None:
        """It came back from the wire, however it went."""
        lane = _lane(claimed)
        self._flying[lane] -= 1
        if lane in self._lanes:
            self._ready[lane] = None

    def withdraw(self, endpoint_id: int) -> list[Claimed]:
        """Takes out what waits for this endpoint: it failed, and may not want the next one now."""
        return self._take_out([endpoint_id], lambda _: True)

    def late(self, now: float) -> list[Claimed]:
        """Takes out what has waited for too long."""
        return self._take_out(self._lanes, lambda laid: now - laid.at > WAITS)

    def clear(self) -> list[Claimed]:
        """Takes out all that waits."""
        return self._take_out(self._lanes, lambda _: True)

    def _take_out(self, lanes: Iterable[int], which: Callable[[Laid], bool]) -> list[Claimed]:
        """From the front of each, where the oldest are."""
        taken: list[Claimed] = []
        for lane in list(lanes):
            waiting = self._lanes.get(lane, deque())
            while waiting and which(waiting[0]):
                taken.append(waiting.popleft().claimed)
            if not waiting:
                self._lanes.pop(lane, None)
        self._count -= len(taken)
        return taken


def _lane(claimed: Claimed) -> int:
    return TAKEDOWNS if claimed.priority == 0 else claimed.endpoint_id
