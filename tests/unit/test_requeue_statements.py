"""Deliveries that go again, and takedowns that turn out to be no news: which rows change, to what, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.store.deliveries import requeue, withdrawals
from service.store.deliveries.state_writes import NewRevision
from service.store.deliveries.states import State
from service.store.schema.base import from_micros
from tests.bare_tables import NOW, SECOND, BareTables, bare_tables

STATES = [each.value for each in State]
UNSETTLED = {"pending", "waiting"}
EARLIER, LATER = NOW - SECOND, NOW + SECOND
ELSEWHERE = 2  # an endpoint, or an article
MOMENT = from_micros(NOW)


@pytest.fixture
def tables() -> Iterator[BareTables]:
    with bare_tables() as tables:
        for number in (1, ELSEWHERE):
            tables.article(number)
            tables.endpoint(number)
        yield tables


# --- sent again as a row of its own


def repeat(tables: BareTables, *sequences: tuple[int, int]) -> None:
    requeue.repeat(tables.connection, sequences, MOMENT)


@pytest.mark.parametrize("state", STATES)
def test_only_what_was_delivered_is_repeated(tables: BareTables, state: str) -> None:
    number = tables.delivery(state=state)
    tables.delivery(state="delivered", article_id=ELSEWHERE)
    repeat(tables, (number, 77))
    assert tables.column("sequence") == [1, 2, 77][: 3 if state == "delivered" else 2]


def test_repeated_delivery_is_the_same_push_with_a_number_of_its_own(tables: BareTables) -> None:
    row = {"event_id": 5, "revision": 6, "replay": 3, "priority": 1, "owed": True, "ordered": True}
    number = tables.delivery(state="delivered", due_at=EARLIER, created_at=EARLIER, attempts=4, **row)
    repeat(tables, (number, 77))
    assert [tables.value(number + 1, name) for name in row] == list((row | {"replay": 4}).values())
    new = {"state": "pending", "due_at": NOW, "created_at": NOW, "reached": 1, "sequence": 77, "attempts": 0}
    assert {name: tables.value(number + 1, name) for name in new} == new


# --- given up, and sent again as itself


def dead(tables: BareTables, **columns: Any) -> int:
    row = {"state": "dead", "settled_at": EARLIER, "created_at": EARLIER, "due_at": EARLIER, "attempts": 7}
    return tables.delivery(**row | columns)


def revive(tables: BareTables, *ids: int) -> None:
    requeue.revive(tables.connection, ids, MOMENT)


@pytest.mark.parametrize("state", STATES)
def test_only_what_was_given_up_is_sent_again_as_itself(tables: BareTables, state: str) -> None:
    number = dead(tables, state=state)
    before = tables.rows()
    revive(tables, number)
    if state != "dead":
        assert tables.rows() == before
        return
    new = {
        "state": "pending",
        "due_at": NOW,
        "created_at": NOW,
        "forgiven": 7,
        "attempts": 7,
        "settled_at": None,
    }
    assert {name: tables.value(number, name) for name in new} == new


def test_only_those_that_are_named_are_sent_again(tables: BareTables) -> None:
    numbers = [dead(tables, revision=revision) for revision in range(3)]
    revive(tables)
    assert tables.column("state") == ["dead"] * 3
    revive(tables, numbers[0], numbers[2])
    assert tables.column("state") == ["pending", "dead", "pending"]


def test_delivery_that_is_sent_again_waits_for_its_embargo(tables: BareTables) -> None:
    tables.article(3, embargo_until=LATER)
    revive(tables, dead(tables, article_id=3))
    assert tables.column("due_at") == [LATER]


# --- missed by an endpoint that is back


def missed(tables: BareTables, since: int = EARLIER) -> int:
    return requeue.revive_missed(tables.connection, 1, from_micros(since), MOMENT)


@pytest.mark.parametrize("state", STATES)
def test_only_what_was_given_up_was_missed(tables: BareTables, state: str) -> None:
    dead(tables, state=state)
    assert missed(tables) == (1 if state == "dead" else 0)
    assert tables.column("state") == ["pending" if state == "dead" else state]


@pytest.mark.parametrize(("settled", "count"), [(EARLIER - 1, 0), (EARLIER, 1), (EARLIER + 1, 1)])
def test_deliveries_given_up_since_were_missed(tables: BareTables, settled: int, count: int) -> None:
    dead(tables, settled_at=settled)
    assert missed(tables) == count


def test_deliveries_that_another_endpoint_missed_stay_given_up(tables: BareTables) -> None:
    for number in (1, ELSEWHERE):
        dead(tables, endpoint_id=number)
    assert missed(tables) == 1
    assert tables.column("state") == ["pending", "dead"]


@pytest.mark.parametrize(
    ("other", "count"),
    [
        ({"revision": 2}, 0),
        ({"revision": 0, "replay": 9}, 1),
        ({"replay": 2}, 0),
        ({"replay": 0}, 1),
        ({"revision": 2, "article_id": ELSEWHERE}, 1),
        ({"revision": 2, "endpoint_id": ELSEWHERE}, 1),
        ({"replay": 2, "article_id": ELSEWHERE}, 1),
        ({"replay": 2, "endpoint_id": ELSEWHERE}, 1),
    ],
)
def test_only_the_newest_of_a_story_was_missed(tables: BareTables, other: dict[str, int], count: int) -> None:
    dead(tables, replay=1)
    tables.delivery(**{"state": "cancelled"} | other)
    assert missed(tables) == count


@pytest.mark.parametrize(
    ("place", "revision", "count"),
    [((1, 1), 0, 1), ((1, 1), 1, 0), ((1, 1), 2, 0), ((ELSEWHERE, 1), 2, 1), ((1, ELSEWHERE), 2, 1)],
)
def test_story_that_the_endpoint_holds_was_not_missed(
    tables: BareTables, place: tuple[int, int], revision: int, count: int
) -> None:
    dead(tables)
    tables.receipt(*place, revision)
    assert missed(tables) == count


@pytest.mark.parametrize(("revision", "count"), [(0, 0), (1, 1), (2, 0)])
def test_revision_that_is_the_storys_no_more_was_not_missed(
    tables: BareTables, revision: int, count: int
) -> None:
    tables.article(3, revision=revision)
    dead(tables, article_id=3)
    assert missed(tables) == count


@pytest.mark.parametrize(
    ("status", "priority", "reached", "count"),
    [
        ("usable", 2, False, 1),
        ("usable", 0, False, 1),
        ("killed", 2, True, 0),
        ("killed", 1, True, 0),
        ("killed", 0, False, 0),
        ("killed", 0, True, 1),
        ("withheld", 0, True, 1),
    ],
)
def test_of_a_story_that_was_taken_down_only_the_takedown_was_missed_and_only_by_a_holder(
    tables: BareTables, status: str, priority: int, reached: bool, count: int
) -> None:
    tables.article(3, status=status)
    dead(tables, article_id=3, priority=priority, reached=reached)
    assert missed(tables) == count


# --- takedowns that are no news


def withdraw(tables: BareTables, article_id: int = 1) -> None:
    withdrawals.withdraw(tables.connection, [NewRevision(article_id, 2, takedown=True)], MOMENT)


def kill(tables: BareTables, **columns: Any) -> int:
    return tables.delivery(**{"revision": 2, "priority": 0} | columns)


@pytest.mark.parametrize("state", STATES)
def test_takedown_that_waits_is_withdrawn_where_nothing_of_the_story_is_held(
    tables: BareTables, state: str
) -> None:
    number = kill(tables, state=state, superseded_by=9)
    before = tables.rows()
    withdraw(tables)
    if state not in UNSETTLED:
        assert tables.rows() == before
        return
    new = {"state": "cancelled", "superseded_by": None, "settled_at": NOW}
    assert {name: tables.value(number, name) for name in new} == new


@pytest.mark.parametrize("priority", [1, 2, 3])
def test_news_is_no_takedown_to_be_withdrawn(tables: BareTables, priority: int) -> None:
    kill(tables, priority=priority)
    withdraw(tables)
    assert tables.column("state") == ["pending"]


def test_takedown_goes_where_the_story_may_be_held(tables: BareTables) -> None:
    kill(tables)
    tables.delivery(state="dead", reached=True)
    withdraw(tables)
    assert tables.column("state") == ["pending", "dead"]


def test_takedown_of_another_story_is_not_withdrawn(tables: BareTables) -> None:
    for number in (1, ELSEWHERE):
        kill(tables, article_id=number)
        kill(tables, article_id=number, endpoint_id=ELSEWHERE)
    withdraw(tables)
    assert tables.column("state") == ["cancelled", "cancelled", "pending", "pending"]


@pytest.mark.parametrize(
    ("takedown", "state"),
    [
        ({}, "cancelled"),
        ({"state": "waiting"}, "cancelled"),
        ({"state": "delivered"}, "superseded"),
        ({"state": "dead"}, "superseded"),
        ({"priority": 1}, "superseded"),
        ({"revision": 3}, "superseded"),
        ({"article_id": ELSEWHERE}, "superseded"),
        ({"endpoint_id": ELSEWHERE}, "superseded"),
    ],
)
def test_delivery_that_the_withdrawn_takedown_superseded_there_is_cancelled_with_it(
    tables: BareTables, takedown: dict[str, Any], state: str
) -> None:
    number = tables.delivery(state="superseded", superseded_by=2, settled_at=EARLIER)
    kill(tables, **takedown)
    withdraw(tables)
    assert tables.value(number, "state") == state
    assert tables.value(number, "settled_at") == EARLIER
    assert tables.value(number, "superseded_by") == (None if state == "cancelled" else 2)


@pytest.mark.parametrize("state", [each for each in STATES if each not in {"superseded", *UNSETTLED}])
def test_delivery_settled_otherwise_stays_as_it_is(tables: BareTables, state: str) -> None:
    number = tables.delivery(state=state, superseded_by=2)
    kill(tables)
    withdraw(tables)
    assert tables.value(number, "state") == state


@pytest.mark.parametrize("state", STATES)
def test_refusal_withdraws_the_takedown_only_once_the_push_goes_no_more(
    tables: BareTables, state: str
) -> None:
    number = tables.delivery(state=state)
    takedown = kill(tables)
    withdrawals.withdraw_after(tables.connection, [number], MOMENT)
    assert tables.value(takedown, "state") == ("cancelled" if state in {"dead", "superseded"} else "pending")


def test_push_that_may_have_arrived_withdraws_nothing(tables: BareTables) -> None:
    """Its receipts aside: the row alone says so."""
    number = tables.delivery(state="dead", reached=True)
    takedown = kill(tables)
    withdrawals.withdraw_after(tables.connection, [number], MOMENT)
    assert tables.value(takedown, "state") == "pending"


def test_refusal_withdraws_the_takedown_of_its_own_story_at_its_own_endpoint(tables: BareTables) -> None:
    number = tables.delivery(state="dead")
    tables.delivery(state="dead", endpoint_id=ELSEWHERE)
    tables.delivery(state="dead", article_id=ELSEWHERE)
    own = kill(tables)
    kill(tables, endpoint_id=ELSEWHERE)
    kill(tables, article_id=ELSEWHERE)
    withdrawals.withdraw_after(tables.connection, [], MOMENT)
    assert "cancelled" not in tables.column("state")
    withdrawals.withdraw_after(tables.connection, [number], MOMENT)
    assert tables.value(own, "state") == "cancelled"
    assert tables.column("state").count("cancelled") == 1
