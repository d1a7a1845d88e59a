"""The tray and the pace: what is claimed ahead keeps to the cap on the wire, and is given back in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.deliveries.claims import Claimed
from tests.builders import NOW
from workers.deliver.prefetch import AHEAD, MOST_AHEAD, ROUNDS_AHEAD, Pace
from workers.deliver.send_queue import WAITS, Laid, Tray


def a_claim(number: int, endpoint: int = 1, *, cap: int = 2, priority: int = 2) -> Claimed:
    return Claimed(
        id=number,
        public_id=f"dlv_{number}",
        endpoint_id=endpoint,
        partner_id=1,
        event_id=number,
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


def laid(tray: Tray, *claimed: Claimed, at: float = 0.0) -> None:
    for each in claimed:
        tray.lay(Laid(each, b"", at))


def taken(tray: Tray, room: int = 100) -> list[int]:
    return [each.claimed.id for each in tray.ready(room)]


def test_no_more_goes_on_the_wire_than_the_cap_and_the_next_when_one_is_back() -> None:
    tray = Tray()
    claimed = [a_claim(number) for number in range(1, 6)]
    laid(tray, *claimed)
    assert taken(tray) == [1, 2]
    assert taken(tray) == []
    tray.landed(claimed[0])
    assert taken(tray) == [3]
    assert len(tray) == 2


def test_takedown_goes_first_and_waits_for_no_cap() -> None:
    tray = Tray()
    laid(tray, *(a_claim(number) for number in range(1, 4)))
    laid(tray, a_claim(7, priority=0), a_claim(8, priority=0), a_claim(9, priority=0))
    assert taken(tray, 4) == [7, 8, 9, 1]


def test_one_endpoint_that_is_full_keeps_no_other_waiting() -> None:
    tray = Tray()
    laid(
        tray,
        *(a_claim(number, 1, cap=1) for number in range(1, 4)),
        *(a_claim(10 + number, 2) for number in range(2)),
    )
    assert taken(tray) == [1, 10, 11]


def test_what_waits_for_an_endpoint_that_failed_is_taken_out() -> None:
    tray = Tray()
    laid(tray, *(a_claim(number) for number in range(1, 6)), a_claim(9, 2))
    assert taken(tray, 2) == [1, 2]
    assert [each.id for each in tray.withdraw(1)] == [3, 4, 5]
    assert taken(tray) == [9]
    assert len(tray) == 0


def test_what_waited_too_long_is_taken_out_and_what_came_later_stays() -> None:
    tray = Tray()
    laid(tray, a_claim(1), at=0.0)
    laid(tray, a_claim(2), at=WAITS)
    assert [each.id for each in tray.late(WAITS + 0.1)] == [1]
    assert taken(tray) == [2]


@given(
    st.lists(
        st.tuples(st.sampled_from(["lay", "go", "land", "late", "fail"]), st.integers(1, 3)), max_size=80
    )
)
def test_nothing_is_lost_and_the_cap_holds_whatever_happens(steps: list[tuple[str, int]]) -> None:
    tray, number = Tray(), 0
    wire: list[Claimed] = []
    inside: set[int] = set()
    for what, endpoint in steps:
        if what == "lay":
            number += 1
            laid(tray, a_claim(number, endpoint), at=number / 10)
            inside.add(number)
        elif what == "go":
            for each in tray.ready(2):
                wire.append(each.claimed)
                inside.remove(each.claimed.id)
        elif what == "land" and wire:
            tray.landed(wire.pop())
        elif what == "late":
            inside -= {each.id for each in tray.late(number / 10)}
        elif what == "fail":
            inside -= {each.id for each in tray.withdraw(endpoint)}
        assert len(tray) == len(inside)
        for each in range(1, 4):
            assert sum(claimed.endpoint_id == each for claimed in wire) <= 2


@pytest.mark.parametrize(("cap", "most"), [(4, 4 + MOST_AHEAD), (64, 64 + ROUNDS_AHEAD * 64)])
def test_pace_grows_with_each_quick_answer_and_no_further_than_it_may(cap: int, most: int) -> None:
    pace, claimed = Pace(), a_claim(1, cap=cap)
    pace.answered(claimed, 0.001)
    assert pace.ahead == {1: cap + 1}
    for _ in range(300):
        pace.answered(claimed, 0.001)
    assert pace.ahead == {1: most}


def test_nothing_is_claimed_ahead_of_who_answers_slowly_or_fails() -> None:
    pace, claimed = Pace(), a_claim(1, cap=4)
    pace.answered(claimed, 2 * AHEAD)
    assert pace.ahead == {}
    quick = a_claim(2, 2, cap=4)
    pace.answered(quick, 0.001)
    pace.failed(quick)
    assert pace.ahead == {}


@pytest.mark.parametrize("took", [0.05, 0.1])
def test_no_more_is_in_hand_than_is_answered_in_the_time(took: float) -> None:
    pace, claimed = Pace(), a_claim(1, cap=4)
    for _ in range(100):
        pace.answered(claimed, took)
    assert pace.ahead[1] <= 4 * AHEAD / took
