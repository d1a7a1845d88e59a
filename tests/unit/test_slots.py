"""Slots on the wire: a partner that hangs, or takes its time, delays nobody else's news and nobody else's takedown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.store.deliveries.capacity import Lane
from service.store.deliveries.claims import ClaimedDelivery
from tests.unit.test_send_queue import a_claim
from workers.deliver.send_queue import Queued, SendQueue
from workers.deliver.slots import CAPACITY, SHARED_PARTS, SHARES, SLOW_FROM, Speed, WireSlots
from workers.deliver.steps import CLAIM_BATCH, IN_HAND

SICK, HEALTHY = 200, 20  # partners; the sick are the first by number
TICK, QUICK = 0.05, 0.01  # seconds
NEWS, TAKEDOWN = 2, 0  # priorities
APART = (Speed.UNKNOWN, Speed.SLOW)


class SimulatedWire:
    """A worker's queue and slots by a clock of their own; each partner takes `seconds(endpoint)` for an answer."""

    def __init__(self, seconds: Callable[[int], float], sick: int = SICK) -> None:
        self.seconds = seconds
        self.sick = sick
        self.slots = WireSlots()
        self.queue = SendQueue(self.slots)
        self.now = 0.0
        self.took: dict[int, list[float]] = {NEWS: [], TAKEDOWN: []}  # of the healthy: from due to sent
        self.cut_off: list[int] = []  # endpoints
        self._number = 0
        self._cursor = 0
        self._due: list[tuple[float, int, int]] = []  # when, endpoint, priority
        self._wire: dict[int, tuple[float, ClaimedDelivery, float]] = {}
        self._due_at: dict[int, float] = {}

    def story(self, priority: int = NEWS) -> None:
        """Something for everybody, the sick first."""
        self._due += [(self.now, endpoint, priority) for endpoint in range(1, self.sick + HEALTHY + 1)]

    def on_wire(self, endpoint: int) -> int:
        return sum(each.endpoint_id == endpoint for _, each, _ in self._wire.values())

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self._answer()
            self.slots.age(self.now)
            self._give_back(self.queue.remove_late(self.now))
            self._claim()
            self._send()
            self.now += TICK

    def _send(self) -> None:
        for queued in self.queue.ready(CAPACITY, self.now):
            claimed = queued.claimed
            took = self.seconds(claimed.endpoint_id)
            self._wire[claimed.id] = self.now + took, claimed, took
            if claimed.endpoint_id > self.sick:
                self.took[claimed.priority].append(self.now - self._due_at[claimed.id])
        for number, _ in self.queue.in_the_way(self.now):
            _, claimed, _ = self._wire.pop(number)
            self.queue.done(claimed, None)
            self.cut_off.append(claimed.endpoint_id)
            self._give_back([claimed])

    def _answer(self) -> None:
        for number, (at, claimed, took) in list(self._wire.items()):
            if at <= self.now:
                del self._wire[number]
                self.queue.done(claimed, took)

    def _give_back(self, returned: list[ClaimedDelivery]) -> None:
        self._due += [(self._due_at[each.id], each.endpoint_id, each.priority) for each in returned]

    def _claim(self) -> None:
        """As claims do: takedowns first, endpoints in turn, none that is closed, one of what is not proven."""
        lanes = {TAKEDOWN: Lane.TAKEDOWNS, NEWS: Lane.NEWS}
        closed = {
            priority: set(self.slots.closed(lane, self.queue.waiting(lane)))
            for priority, lane in lanes.items()
        }
        room = min(CLAIM_BATCH, IN_HAND - len(self.queue) - len(self._wire) + self.slots.apart)
        later, turned = [], self._cursor
        for due, endpoint, priority in sorted(self._due, key=self._turn):
            if endpoint in closed[priority] or room <= 0:
                later.append((due, endpoint, priority))
                continue
            if endpoint not in self.slots.proven:
                closed[priority].add(endpoint)
            self._number += 1
            room -= 1
            turned = endpoint if priority == NEWS else turned
            self._due_at[self._number] = due
            self.queue.put(Queued(a_claim(self._number, endpoint, cap=4, priority=priority), b"", self.now))
        self._due, self._cursor = later, turned

    def _turn(self, waiting: tuple[float, int, int]) -> tuple[int, bool, int, float]:
        due, endpoint, priority = waiting
        return priority, priority == NEWS and endpoint <= self._cursor, endpoint, due


@pytest.mark.parametrize("sick_seconds", [0.5, 3.0, 14.0, 15.0])
def test_200_slow_partners_of_220_delay_no_healthy_partners_news_and_no_kill(sick_seconds: float) -> None:
    wire = SimulatedWire(lambda endpoint: sick_seconds if endpoint <= SICK else QUICK)
    for _ in range(20):
        wire.story()
        wire.run(1.0)
    wire.story(TAKEDOWN)
    wire.run(1.0)
    assert len(wire.took[NEWS]) == 20 * HEALTHY
    assert max(wire.took[NEWS]) <= TICK
    assert len(wire.took[TAKEDOWN]) == HEALTHY
    assert max(wire.took[TAKEDOWN]) <= TICK


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


def test_partners_that_hang_all_of_a_sudden_leave_slots_to_the_others_after_a_second() -> None:
    hang = False
    wire = SimulatedWire(lambda endpoint: 15.0 if hang and endpoint <= SICK else QUICK)
    for _ in range(8):
        wire.story()
        wire.run(0.5)
    hang = True
    for _ in range(4):
        wire.story()
    wire.run(5.0)
    assert max(wire.took[NEWS]) <= SLOW_FROM + 4 * TICK
    assert all(wire.on_wire(endpoint) <= 4 for endpoint in range(1, SICK + 1))


@pytest.mark.parametrize("hanging", [300, 600, 1000])
def test_a_start_amid_hundreds_of_hanging_partners_delays_no_healthy_partners_first_push_by_two_seconds(
    hanging: int,
) -> None:
    wire = SimulatedWire(lambda endpoint: 15.0 if endpoint <= hanging else QUICK, hanging)
    for _ in range(2):
        wire.story()
    wire.run(4.0)
    assert len(wire.took[NEWS]) == 2 * HEALTHY
    assert max(wire.took[NEWS]) <= 2.2


def test_a_start_with_a_kill_that_hundreds_of_hanging_partners_hold_brings_it_to_the_others_within_two_seconds() -> (
    None
):
    wire = SimulatedWire(lambda endpoint: 15.0 if endpoint <= 300 else QUICK, 300)
    wire.story(TAKEDOWN)
    wire.story()
    wire.run(4.0)
    assert max(wire.took[TAKEDOWN]) <= 2.2
    assert max(wire.took[NEWS]) <= 2.2
    assert len(wire.took[TAKEDOWN]) == HEALTHY


def test_a_first_push_is_cut_off_once_at_the_most_and_only_where_others_wait_for_theirs() -> None:
    few = SimulatedWire(lambda _: 15.0, 500)
    few.story()
    few.run(2.0)
    assert few.cut_off == []
    many = SimulatedWire(lambda _: 15.0, 900)
    many.story()
    many.run(18.0)
    assert many.cut_off
    assert len(many.cut_off) == len(set(many.cut_off))


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
    assert slots.apart == CAPACITY * sum(SHARES[Lane.NEWS, each] for each in APART) // SHARED_PARTS
    assert slots.has_room(a_claim(2, quick))
    assert slots.has_room(a_claim(3, quick, priority=0))
    assert slots.has_room(a_claim(4, 1, priority=0))
    assert sum(SHARES.values()) == SHARED_PARTS


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
