"""Slots on the wire: a partner that hangs, or takes its time, delays nobody else's news and nobody else's takedown."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest

from service.store.deliveries.capacity import Lane
from service.store.deliveries.claims import ClaimedDelivery
from tests.unit.test_send_queue import a_claim
from workers.deliver.send_queue import Queued, SendQueue
from workers.deliver.slots import CAPACITY, SHARES, SLOW_FROM, Speed, WireSlots

SICK = range(1, 201)
HEALTHY = range(201, 221)
TICK, QUICK = 0.05, 0.01  # seconds


class SimulatedWire:
    """A worker's queue and slots by a clock of their own; each partner takes `seconds(endpoint)` for an answer."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self.seconds = seconds
        self.slots = WireSlots()
        self.queue = SendQueue(self.slots)
        self.now = 0.0
        self.took: dict[int, list[float]] = {0: [], 2: []}  # of the healthy, by priority: from due to sent
        self._number = 0
        self._due: list[tuple[float, int, int]] = []  # when, endpoint, priority
        self._answers: list[tuple[float, int, ClaimedDelivery, float]] = []
        self._due_at: dict[int, float] = {}

    def story(self, priority: int = 2) -> None:
        """Something for everybody, the sick first."""
        self._due += [(self.now, endpoint, priority) for endpoint in (*SICK, *HEALTHY)]

    def on_wire(self, endpoint: int) -> int:
        return sum(each.endpoint_id == endpoint for _, _, each, _ in self._answers)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self._answer()
            self.slots.age(self.now)
            self._claim()
            for queued in self.queue.ready(CAPACITY, self.now):
                claimed = queued.claimed
                took = self.seconds(claimed.endpoint_id)
                heapq.heappush(self._answers, (self.now + took, claimed.id, claimed, took))
                if claimed.endpoint_id in HEALTHY:
                    self.took[claimed.priority].append(self.now - self._due_at[claimed.id])
            self.now += TICK

    def _answer(self) -> None:
        while self._answers and self._answers[0][0] <= self.now:
            _, _, claimed, took = heapq.heappop(self._answers)
            self.queue.done(claimed, took)

    def _claim(self) -> None:
        """As claims do: takedowns first, then by age, none of what is closed, one of what is not proven."""
        lanes = {0: Lane.TAKEDOWNS, 2: Lane.NEWS}
        closed = {
            priority: set(self.slots.closed(lane, self.queue.waiting(lane)))
            for priority, lane in lanes.items()
        }
        later = []
        for due, endpoint, priority in sorted(self._due, key=lambda each: (each[2], each[0])):
            if endpoint in closed[priority] or len(self.queue) >= 320:
                later.append((due, endpoint, priority))
                continue
            if endpoint not in self.slots.proven:
                closed[priority].add(endpoint)
            self._number += 1
            self._due_at[self._number] = due
            self.queue.put(Queued(a_claim(self._number, endpoint, cap=4, priority=priority), b"", self.now))
        self._due = later


@pytest.mark.parametrize("sick_seconds", [0.5, 3.0, 14.0, 15.0])
def test_200_slow_partners_of_220_delay_no_healthy_partners_news_and_no_kill(sick_seconds: float) -> None:
    wire = SimulatedWire(lambda endpoint: sick_seconds if endpoint in SICK else QUICK)
    for _ in range(20):
        wire.story()
        wire.run(1.0)
    wire.story(priority=0)
    wire.run(1.0)
    assert len(wire.took[2]) == 20 * len(HEALTHY)
    assert max(wire.took[2]) <= TICK
    assert len(wire.took[0]) == len(HEALTHY)
    assert max(wire.took[0]) <= TICK


def test_partner_that_takes_long_is_tried_one_at_a_time_until_it_is_quick_again() -> None:
    seconds = 14.0
    wire = SimulatedWire(lambda endpoint: seconds if endpoint == 1 else QUICK)
    for _ in range(10):
        wire.story()
    wire.run(5.0)
    assert wire.on_wire(1) == 1
    wire.run(20.0)
    assert wire.on_wire(1) == 1
    seconds = 0.5
    for _ in range(30):
        wire.story()
    while wire.on_wire(1) <= 1 and wire.now < 100.0:
        wire.run(TICK)
    assert wire.on_wire(1) > 1


def test_partners_that_hang_all_of_a_sudden_leave_slots_to_the_others_within_a_second() -> None:
    hang = False
    wire = SimulatedWire(lambda endpoint: 15.0 if hang and endpoint in SICK else QUICK)
    for _ in range(8):
        wire.story()
        wire.run(0.5)
    hang = True
    for _ in range(4):
        wire.story()
    wire.run(5.0)
    assert max(wire.took[2]) <= SLOW_FROM
    assert all(wire.on_wire(endpoint) <= 4 for endpoint in SICK)


def test_more_hanging_partners_than_slots_leave_the_slots_of_the_quick_alone() -> None:
    slots, quick = WireSlots(), 9999
    slots.begin(a_claim(1, quick), 0.0)
    slots.end(a_claim(1, quick), QUICK)
    number, now = 10, 0.0
    while now < 10.0:
        slots.age(now)
        for endpoint in range(2000):
            claimed = a_claim(number, endpoint)
            if not slots.is_full(claimed) and slots.has_room(claimed):
                slots.begin(claimed, now)
                number += 1
        now += 0.5
    assert slots.slow == CAPACITY * SHARES[Lane.NEWS, Speed.SLOW] // 16
    assert slots.has_room(a_claim(2, quick))
    assert slots.has_room(a_claim(3, quick, priority=0))
    assert slots.has_room(a_claim(4, 1, priority=0))
    assert sum(SHARES.values()) == 16


def test_an_end_of_our_own_doing_says_nothing_of_the_partner() -> None:
    slots, claimed = WireSlots(), a_claim(1)
    slots.begin(claimed, 0.0)
    slots.end(claimed, None)
    assert slots.proven == set()
    slots.begin(claimed, 0.0)
    slots.end(claimed, QUICK)
    assert slots.proven == {claimed.endpoint_id}


def test_a_delivery_sent_again_while_its_last_push_is_on_the_wire_frees_its_own_slot() -> None:
    slots = WireSlots()
    first, second = a_claim(1, cap=4), a_claim(1, cap=4)._replace(attempts=2)
    slots.begin(first, 0.0)
    slots.begin(second, 0.5)
    slots.end(first, 0.6)
    slots.end(second, 0.6)
    assert not slots.is_full(first)
    assert slots.has_room(first)
