"""The send queue and the prefetch window: deliveries claimed ahead keep to the cap, and are given back in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.deliveries.claims import ClaimedDelivery
from tests.builders import NOW
from workers.deliver.prefetch import MOST_AHEAD, PREFETCH, ROUNDS_AHEAD, PrefetchWindow
from workers.deliver.send_queue import LONGEST_QUEUED, Queued, SendQueue
from workers.deliver.slots import WireSlots


def a_claim(number: int, endpoint: int = 1, *, cap: int = 2, priority: int = 2) -> ClaimedDelivery:
    return ClaimedDelivery(
        id=number,
        public_id=f"dlv_{number}",
        endpoint_id=endpoint,
        partner_id=1,
        event_id=number,
        event=f"evt_{number}",
        article_id=number,
        revision=1,
        sequence=number,
        priority=priority,
        attempts=1,
        forgiven=0,
        created_at=NOW,
        url="https://outlet.example/",
        sealed=b"",
        schedule=None,
        cap=cap,
        healthy=True,
    )


def a_queue(endpoints: int = 3) -> SendQueue:
    """All these endpoints have answered quickly."""
    slots = WireSlots()
    for number in range(1, endpoints + 1):
        slots.begin(a_claim(-number, number), 0.0)
        slots.end(a_claim(-number, number), 0.01)
    return SendQueue(slots)


def put(queue: SendQueue, *claimed: ClaimedDelivery, at: float = 0.0) -> None:
    for each in claimed:
        queue.put(Queued(each, b"", at))


def ready(queue: SendQueue, room: int = 100) -> list[int]:
    return [each.claimed.id for each in queue.ready(room, 0.0)]


def test_no_more_goes_on_the_wire_than_the_cap_and_the_next_when_one_is_back() -> None:
    queue = a_queue()
    claimed = [a_claim(number) for number in range(1, 6)]
    put(queue, *claimed)
    assert ready(queue) == [1, 2]
    assert ready(queue) == []
    queue.done(claimed[0])
    assert ready(queue) == [3]
    assert len(queue) == 2


def test_takedowns_go_first_and_have_the_cap_for_themselves() -> None:
    queue = a_queue()
    put(queue, *(a_claim(number) for number in range(1, 4)))
    assert ready(queue) == [1, 2]
    put(queue, a_claim(7, priority=0), a_claim(8, priority=0), a_claim(9, 2))
    assert ready(queue, 4) == [7, 8, 9]


def test_one_endpoint_that_is_full_keeps_no_other_waiting() -> None:
    queue = a_queue()
    put(
        queue,
        *(a_claim(number, 1, cap=1) for number in range(1, 4)),
        *(a_claim(10 + number, 2) for number in range(2)),
    )
    assert ready(queue) == [1, 10, 11]


def test_endpoints_go_by_turns() -> None:
    queue = a_queue()
    put(queue, a_claim(1), a_claim(2), a_claim(11, 2), a_claim(12, 2))
    assert ready(queue) == [1, 11, 2, 12]


def test_deliveries_that_wait_for_an_endpoint_that_failed_are_taken_out() -> None:
    queue = a_queue()
    put(queue, *(a_claim(number) for number in range(1, 6)), a_claim(9, 2))
    assert ready(queue, 1) == [1]
    assert [each.id for each in queue.remove(1)] == [2, 3, 4, 5]
    assert ready(queue) == [9]
    assert len(queue) == 0


def test_a_delivery_that_waited_too_long_is_taken_out_and_a_later_one_stays() -> None:
    queue = a_queue()
    put(queue, a_claim(1), at=0.0)
    put(queue, a_claim(2), at=LONGEST_QUEUED)
    assert [each.id for each in queue.remove_late(LONGEST_QUEUED + 0.1)] == [1]
    assert ready(queue) == [2]


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "send", "answer", "late", "fail"]), st.integers(1, 3)), max_size=80
    )
)
def test_nothing_is_lost_and_the_cap_holds_whatever_happens(steps: list[tuple[str, int]]) -> None:
    queue, number = a_queue(), 0
    wire: list[ClaimedDelivery] = []
    inside: set[int] = set()
    for step, endpoint in steps:
        if step == "put":
            number += 1
            put(queue, a_claim(number, endpoint), at=number / 10)
            inside.add(number)
        elif step == "send":
            for each in queue.ready(2, 0.0):
                wire.append(each.claimed)
                inside.remove(each.claimed.id)
        elif step == "answer" and wire:
            queue.done(wire.pop())
        elif step == "late":
            inside -= {each.id for each in queue.remove_late(number / 10)}
        elif step == "fail":
            inside -= {each.id for each in queue.remove(endpoint)}
        assert len(queue) == len(inside)
        for each in range(1, 4):
            assert sum(claimed.endpoint_id == each for claimed in wire) <= 2


@pytest.mark.parametrize(("cap", "most"), [(4, 4 + MOST_AHEAD), (64, 64 + ROUNDS_AHEAD * 64)])
def test_the_window_grows_with_each_quick_answer_and_no_further_than_it_may(cap: int, most: int) -> None:
    window, claimed = PrefetchWindow(), a_claim(1, cap=cap)
    window.answered(claimed, 0.001)
    assert window.ahead == {1: cap + 1}
    for _ in range(300):
        window.answered(claimed, 0.001)
    assert window.ahead == {1: most}


def test_nothing_is_claimed_ahead_of_a_partner_that_answers_slowly_or_fails() -> None:
    window, claimed = PrefetchWindow(), a_claim(1, cap=4)
    window.answered(claimed, 2 * PREFETCH)
    assert window.ahead == {}
    quick = a_claim(2, 2, cap=4)
    window.answered(quick, 0.001)
    window.failed(quick)
    assert window.ahead == {}


@pytest.mark.parametrize("took", [0.05, 0.1])
def test_no_more_is_in_hand_than_the_partner_answers_in_the_time(took: float) -> None:
    window, claimed = PrefetchWindow(), a_claim(1, cap=4)
    for _ in range(100):
        window.answered(claimed, took)
    assert window.ahead[1] <= 4 * PREFETCH / took
