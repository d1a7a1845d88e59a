"""The order of claims, however the rows lie, and what bounds them: SQLite's part of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.store.deliveries import claims
from service.store.deliveries.claims import ClaimedDelivery, Cursor
from service.store.schema.base import from_micros
from tests.bare_tables import NOW, SECOND, BareTables, bare_tables

WORKER = "w1.test"
FIRST_TURN = Cursor()


@pytest.fixture
def tables() -> Iterator[BareTables]:
    with bare_tables(last_first=True) as tables:
        tables.event()
        for number in range(1, 13):
            tables.article(number)
        yield tables


def claim(
    tables: BareTables, *, limit: int = 100, cursor: Cursor = FIRST_TURN, seconds: int = 60
) -> tuple[list[ClaimedDelivery], Cursor]:
    now = from_micros(NOW + seconds * SECOND)
    return claims.claim_within(tables.connection, lease=WORKER, limit=limit, cursor=cursor, now=now)


def due(tables: BareTables, endpoint_id: int, *seconds: int, priority: int = 2) -> list[int]:
    """Deliveries of as many articles that became due then; their ids."""
    return [
        tables.delivery(
            endpoint_id=endpoint_id, article_id=number, due_at=NOW + second * SECOND, priority=priority
        )
        for number, second in enumerate(seconds, 1)
    ]


def in_turn(tables: BareTables) -> list[list[int]]:
    """The ids of each claim until there is no more to claim, each ending before the next."""
    order = []
    while claimed := claim(tables)[0]:
        order.append([each.id for each in claimed])
        for each in claimed:
            tables.set(each.id, state="delivered")
    return order


def test_earlier_due_goes_first_and_at_the_same_moment_the_one_routed_first(tables: BareTables) -> None:
    tables.endpoint(max_in_flight=2)
    ids = due(tables, 1, 50, 30, 30, 30, 10, 20)
    assert in_turn(tables) == [[ids[4], ids[5]], [ids[1], ids[2]], [ids[3], ids[0]]]


@pytest.mark.parametrize("seconds", [(10, 20, 30), (30, 20, 10), (20, 10, 30)])
def test_earlier_due_goes_first_at_an_endpoint_that_has_less_room_than_another(
    tables: BareTables, seconds: tuple[int, ...]
) -> None:
    tables.endpoint(1, max_in_flight=1)
    tables.endpoint(2, max_in_flight=4)
    narrow = due(tables, 1, *seconds)
    due(tables, 2, 40, 30, 20, 10)
    assert [each.id for each in claim(tables)[0] if each.endpoint_id == 1] == [narrow[seconds.index(10)]]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_small_claim_takes_what_is_due_longest_of_its_endpoint(tables: BareTables, limit: int) -> None:
    tables.endpoint(max_in_flight=8)
    ids = due(tables, 1, 20, 40, 10, 30)
    assert [each.id for each in claim(tables, limit=limit)[0]] == [ids[2], ids[0], ids[3]][:limit]


def test_claim_looks_at_no_more_endpoints_than_it_takes_to_reach_its_limit(tables: BareTables) -> None:
    for number in range(1, 6):
        tables.endpoint(number, max_in_flight=2)
        due(tables, number, 10, 20)
    claimed, cursor = claim(tables, limit=4, cursor=Cursor(endpoint_id=2))
    assert {each.endpoint_id for each in claimed} == {3, 4}
    assert cursor == Cursor(endpoint_id=4, more=True)


def test_endpoint_gets_no_more_than_it_has_room_for_of_all_that_is_due(tables: BareTables) -> None:
    for number, room in ((1, 1), (2, 3)):
        tables.endpoint(number, max_in_flight=room)
        due(tables, number, 10, 20, 30, 40, 50)
    taken = [each.endpoint_id for each in claim(tables)[0]]
    assert (taken.count(1), taken.count(2)) == (1, 3)


def test_each_endpoint_gets_what_it_has_room_for_however_different_their_rooms(tables: BareTables) -> None:
    rooms = {1: 1, 2: 11, 3: 7, 4: 8, 5: 9}
    for number, room in rooms.items():
        tables.endpoint(number, max_in_flight=room)
        due(tables, number, *range(12))
    taken = [each.endpoint_id for each in claim(tables)[0]]
    assert {number: taken.count(number) for number in rooms} == rooms


def test_next_turn_begins_with_the_endpoint_that_the_limit_kept_out_whatever_their_rooms(
    tables: BareTables,
) -> None:
    for endpoint_id, room in ((1, 10), (2, 2), (3, 2)):
        tables.endpoint(endpoint_id, max_in_flight=room)
    for endpoint_id, stories in ((1, 3), (2, 2), (3, 2)):
        due(tables, endpoint_id, *[10] * stories)
    claimed, cursor = claim(tables, limit=5)
    assert [each.endpoint_id for each in claimed] == [1, 1, 1, 2, 2]
    assert cursor.endpoint_id == 2


# --- numbers


def test_claim_numbers_what_has_no_number_yet_and_nothing_else(tables: BareTables) -> None:
    tables.endpoint(sequence=40)
    numbered = tables.delivery(sequence=7)
    first = tables.delivery(sequence=-1, article_id=2, due_at=NOW + 2)
    second = tables.delivery(sequence=-6, article_id=3, due_at=NOW + 1)
    claimed = claim(tables)[0]
    assert {each.id: each.sequence for each in claimed} == {numbered: 7, first: 42, second: 41}
    assert tables.column("sequence") == [7, 42, 41]


# --- lanes


def test_takedowns_cost_an_endpoint_with_a_rate_no_tokens(tables: BareTables) -> None:
    tables.endpoint(rate_per_second=0.5, tokens=1.0, refilled_at=NOW)
    due(tables, 1, 0, 0, priority=0)
    claimed, cursor = claim(tables, seconds=0)
    assert (len(claimed), cursor.limited) == (2, True)
    assert tables.connection.exec_driver_sql("SELECT tokens FROM endpoint").scalar_one() == 1.0
