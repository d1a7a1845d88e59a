"""Slots on the wire: they are shared so that one partner's slowness is never another's. Pure.

A push holds its slot until the answer, or until its timeout: a partner that takes 14 s holds one as long as a thousand
pushes to a quick one do. So slots are shared by time. Endpoints that answer quickly, steadily and slowly have slots
apart from each other, takedowns have slots apart from news, and a push that stays on the wire longer than its endpoint
promised goes over to the slower ones. An endpoint of which nothing is known yet, or that is slow, is tried one push at
a time.

Pushes to endpoints of which nothing is known have slots of their own, too: after a start these are all, and hundreds of
them may hang. Such a push goes over to the slow ones after SLOW_FROM. Where those are full, and another endpoint waits
for its first push, it is cut off, and goes again when a slot for slow ones is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from itertools import islice
from types import MappingProxyType

from service.store.deliveries.capacity import Lane
from service.store.deliveries.claims import ClaimedDelivery

QUICK_BELOW, SLOW_FROM = 0.1, 1.0  # seconds from the request to the end of the answer
CAPACITY = 1536  # slots of one worker process


class Speed(IntEnum):
    """How long an endpoint's pushes hold their slots."""

    QUICK = 0
    STEADY = 1
    UNKNOWN = 2  # none of its pushes has ended since this worker's start, nor lasted for SLOW_FROM
    SLOW = 3


_Group = tuple[Lane, Speed]
# A delivery and its attempt: after an outage the next may begin while the last is on the wire.
ClaimKey = tuple[int, int]
# Of all, in these parts. They sum up to all: nobody takes another's.
SHARED_PARTS = 24
SHARES: Mapping[_Group, int] = MappingProxyType(
    {
        (Lane.NEWS, Speed.QUICK): 4,
        (Lane.NEWS, Speed.STEADY): 4,
        (Lane.NEWS, Speed.UNKNOWN): 6,
        (Lane.NEWS, Speed.SLOW): 4,
        (Lane.TAKEDOWNS, Speed.QUICK): 1,
        (Lane.TAKEDOWNS, Speed.STEADY): 1,
        (Lane.TAKEDOWNS, Speed.UNKNOWN): 2,
        (Lane.TAKEDOWNS, Speed.SLOW): 2,
    }
)
# How long a push may hold a slot of its group, in seconds, and the group that it goes over to.
_LIMITS = {
    Speed.QUICK: (QUICK_BELOW, Speed.STEADY),
    Speed.STEADY: (SLOW_FROM, Speed.SLOW),
    Speed.UNKNOWN: (SLOW_FROM, Speed.SLOW),
}


def lane_of(claimed: ClaimedDelivery) -> Lane:
    return Lane.TAKEDOWNS if claimed.priority == 0 else Lane.NEWS


def key_of(claimed: ClaimedDelivery) -> ClaimKey:
    return claimed.id, claimed.attempts


class WireSlots:
    """The slots of one worker process. Moments are seconds on a monotonic clock.

    `proven`: the endpoints whose last answers came within SLOW_FROM, and that have no older push on the wire.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._room = {group: max(1, capacity * share // SHARED_PARTS) for group, share in SHARES.items()}
        # By group, in the order of their start: claim → its endpoint, and when its push began.
        self._used: dict[_Group, dict[ClaimKey, tuple[int, float]]] = {group: {} for group in SHARES}
        self._groups: dict[ClaimKey, _Group] = {}
        self._on_wire: dict[tuple[Lane, int], int] = {}  # by lane and endpoint; none is 0
        self._seconds: dict[int, float] = {}  # by endpoint: how long its pushes took lately
        self._slow: set[int] = set()
        self.proven: set[int] = set()

    @property
    def apart(self) -> int:
        """How many pushes hold the slots of slow and unknown endpoints."""
        return sum(len(used) for (_, speed), used in self._used.items() if speed >= Speed.UNKNOWN)

    def most(self, claimed: ClaimedDelivery) -> int:
        """How many pushes of its lane may be on the wire to its endpoint at once."""
        return claimed.cap if claimed.endpoint_id in self.proven else 1

    def is_full(self, claimed: ClaimedDelivery) -> bool:
        """Whether its endpoint has as much on the wire as it may have."""
        return self._on_wire.get((lane_of(claimed), claimed.endpoint_id), 0) >= self.most(claimed)

    def has_room(self, claimed: ClaimedDelivery) -> bool:
        """Whether a slot is free for an endpoint as fast as this one."""
        group = lane_of(claimed), self._speed(claimed.endpoint_id)
        return len(self._used[group]) < self._room[group]

    def begin(self, claimed: ClaimedDelivery, at: float) -> None:
        """Its push takes a slot."""
        lane, endpoint_id = lane_of(claimed), claimed.endpoint_id
        group, claim = (lane, self._speed(endpoint_id)), key_of(claimed)
        self._used[group][claim] = endpoint_id, at
        self._groups[claim] = group
        self._on_wire[lane, endpoint_id] = self._on_wire.get((lane, endpoint_id), 0) + 1

    def end(self, claimed: ClaimedDelivery, seconds: float | None = None) -> None:
        """Its slot is free again. `seconds`: how long the partner took; None if that says nothing of the partner."""
        claim = key_of(claimed)
        del self._used[self._groups.pop(claim)][claim]
        lane, endpoint_id = lane_of(claimed), claimed.endpoint_id
        left = self._on_wire.pop((lane, endpoint_id)) - 1
        if left:
            self._on_wire[lane, endpoint_id] = left
        if seconds is not None:
            # Slow at once, quick again by and by.
            before = self._seconds.get(endpoint_id, seconds)
            self._learn(endpoint_id, max(seconds, (before + seconds) / 2))

    def age(self, at: float) -> None:
        """Pushes that are on the wire for longer than their group allows go over to the slower one, if it has room."""
        for (lane, speed), used in self._used.items():
            if speed not in _LIMITS:
                continue
            limit, slower = _LIMITS[speed]
            overdue = []
            for claim, (endpoint_id, began) in used.items():
                if at - began < limit:
                    break
                self._learn(endpoint_id, max(at - began, self._seconds.get(endpoint_id, 0.0)))
                overdue.append(claim)
            group = lane, slower
            for claim in overdue[: max(0, self._room[group] - len(self._used[group]))]:
                self._used[group][claim] = used.pop(claim)
                self._groups[claim] = group

    def is_unknown(self, endpoint_id: int) -> bool:
        """Whether no push to it has ended yet, nor lasted for SLOW_FROM."""
        return endpoint_id not in self._seconds

    def overdue_first_pushes(self, lane: Lane, at: float, limit: int) -> list[ClaimKey]:
        """The longest of those that hold slots of unknown endpoints though they should have gone over to slow ones."""
        used = self._used[lane, Speed.UNKNOWN]
        return [claim for claim, (_, began) in islice(used.items(), limit) if at - began >= SLOW_FROM]

    def closed(self, lane: Lane, waiting: set[int]) -> list[int]:
        """The endpoints of which nothing more is to be claimed in this lane; `waiting`: they have some in the queue.

        They are tried one at a time, and that one is in hand; or they are slow, and no slot is free for such.
        """
        in_hand = waiting | {number for of, number in self._on_wire if lane is Lane.NEWS or of is lane}
        closed = in_hand - self.proven
        group = lane, Speed.SLOW
        if len(self._used[group]) >= self._room[group]:
            closed |= self._slow
        return sorted(closed)

    def _speed(self, endpoint_id: int) -> Speed:
        seconds = self._seconds.get(endpoint_id)
        if seconds is None:
            return Speed.UNKNOWN
        if seconds < QUICK_BELOW:
            return Speed.QUICK
        return Speed.STEADY if seconds < SLOW_FROM else Speed.SLOW

    def _learn(self, endpoint_id: int, seconds: float) -> None:
        self._seconds[endpoint_id] = seconds
        if seconds < SLOW_FROM:
            self.proven.add(endpoint_id)
            self._slow.discard(endpoint_id)
        else:
            self._slow.add(endpoint_id)
            self.proven.discard(endpoint_id)
