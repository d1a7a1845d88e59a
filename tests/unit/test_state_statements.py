"""Statements that put deliveries on the wire and take them off it: which rows change, to what, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.store.database.sql import Statement
from service.store.deliveries import state_writes
from service.store.deliveries.state_writes import ClaimedRow, NewRevision
from service.store.deliveries.states import State
from service.store.schema.base import from_micros
from tests.bare_tables import NOW, SECOND, BareTables, bare_tables

STATES = [each.value for each in State]
EARLIER, LATER = NOW - SECOND, NOW + SECOND
WORKER, OTHER = "w1.test", "w2.test"
ELSEWHERE = 2  # an endpoint, or an article
MOMENT = from_micros(NOW)


@pytest.fixture
def tables() -> Iterator[BareTables]:
    with bare_tables() as tables:
        for number in (1, ELSEWHERE):
            tables.article(number)
            tables.endpoint(number)
            tables.event(number, article_id=number)
        yield tables


def on_the_wire(tables: BareTables, **columns: Any) -> int:
    row = {"state": "sending", "lease": WORKER, "lease_until": LATER, "attempts": 3}
    return tables.delivery(**row | columns)


def changed(tables: BareTables, number: int, *names: str) -> tuple[Any, ...]:
    return tuple(tables.value(number, name) for name in names)


# --- a newer revision


def test_one_revision_and_several_supersede_each_what_is_older_of_its_article(tables: BareTables) -> None:
    newest = [NewRevision(1, 3, takedown=False), NewRevision(ELSEWHERE, 4, takedown=False)]
    for count in (1, 2):
        for article_id in (1, ELSEWHERE):
            tables.delivery(article_id=article_id, replay=count)
        state_writes.supersede(tables.connection, newest[:count], MOMENT)
        expected = [3, None] if count == 1 else [3, 4, 3, 4]
        assert tables.column("superseded_by") == expected


@pytest.mark.parametrize("wanting", [1, ELSEWHERE])
def test_only_the_endpoint_that_wants_every_revision_keeps_the_older_one(
    tables: BareTables, wanting: int
) -> None:
    tables.connection.exec_driver_sql(f"UPDATE endpoint SET every_revision = (id = {wanting})")
    for number in (1, ELSEWHERE):
        tables.delivery(endpoint_id=number, ordered=True)
    state_writes.supersede(tables.connection, [NewRevision(1, 2, takedown=False)], MOMENT)
    states = dict(zip((1, ELSEWHERE), tables.column("state"), strict=True))
    assert states == {1: "superseded", ELSEWHERE: "superseded"} | {wanting: "pending"}


def test_of_what_is_overtaken_only_that_which_came_back_is_superseded(tables: BareTables) -> None:
    numbers = [tables.delivery(endpoint_id=number) for number in (1, ELSEWHERE)]
    for number in (1, ELSEWHERE):
        tables.delivery(endpoint_id=number, revision=2)
    state_writes.supersede_overtaken(tables.connection, numbers[:1], MOMENT)
    assert tables.column("state") == ["superseded", "pending", "pending", "pending"]


# --- claimed


def claim(tables: BareTables, *ids: int) -> list[ClaimedRow]:
    found = state_writes.claim(tables.connection, list(ids), WORKER, from_micros(LATER), MOMENT)
    return sorted(found)


@pytest.mark.parametrize("state", STATES)
def test_only_what_waits_is_put_on_the_wire(tables: BareTables, state: str) -> None:
    number = tables.delivery(state=state, attempts=3)
    before = tables.rows()
    claimed = claim(tables, number)
    if state not in ("pending", "waiting"):
        assert (claimed, tables.rows()) == ([], before)
        return
    assert changed(tables, number, "state", "attempts", "lease", "lease_until") == (
        "sending",
        4,
        WORKER,
        LATER,
    )
    assert [(each.id, each.attempts) for each in claimed] == [(number, 4)]


def test_claim_takes_those_that_are_named_with_what_their_endpoints_and_events_say(
    tables: BareTables,
) -> None:
    tables.endpoint(3, failures=1, schedule="[5]", max_in_flight=9)
    tables.event(3)
    one = tables.delivery()
    tables.delivery(article_id=ELSEWHERE)
    other = tables.delivery(endpoint_id=3, event_id=3, article_id=ELSEWHERE, due_at=EARLIER, replay=2)
    first, second = claim(tables, one, other)
    assert tables.column("state") == ["sending", "pending", "sending"]
    assert (first.url, first.partner_id, first.event_public_id) == ("https://1.test/", 11, "evt_1")
    assert (second.url, second.partner_id, second.event_public_id) == ("https://3.test/", 13, "evt_3")
    assert (first.healthy, first.schedule, first.due_at, first.replay) == (True, None, NOW, 0)
    assert (second.healthy, second.schedule, second.due_at, second.replay) == (False, "[5]", EARLIER, 2)
    assert (first.max_in_flight, second.max_in_flight) == (4, 9)


@pytest.mark.parametrize(
    "trouble",
    [{"breaker": "half_open"}, {"failures": 1}, {"failing_since": NOW}, {"slow_start": 64}],
    ids=repr,
)
def test_any_trouble_of_an_endpoint_makes_it_unhealthy(tables: BareTables, trouble: dict[str, Any]) -> None:
    tables.endpoint(3, **trouble)
    [claimed] = claim(tables, tables.delivery(endpoint_id=3))
    assert not claimed.healthy


# --- settled


def test_delivery_is_the_workers_only_on_the_wire_and_under_its_lease(tables: BareTables) -> None:
    number = on_the_wire(tables)
    other = on_the_wire(tables, article_id=ELSEWHERE, attempts=5, created_at=EARLIER)
    on_the_wire(tables, article_id=3)
    ours = lambda: state_writes.ours(tables.connection, [number, other], WORKER)  # noqa: E731
    assert ours() == {(number, 3, NOW), (other, 5, EARLIER)}
    tables.set(other, lease=OTHER)
    assert ours() == {(number, 3, NOW)}
    for state in STATES:
        tables.set(number, state=state)
        assert ours() == ({(number, 3, NOW)} if state == "sending" else set())


SETTLED = {
    "state": "delivered",
    "due_at": LATER,
    "reached": True,
    "status": 202,
    "words": "took it",
    "attempts": 3,
    "created_at": NOW,
}


def settle_by_id(tables: BareTables, rows: list[dict[str, Any]], _ids: list[int]) -> None:
    state_writes.settle(tables.connection, [row | {"now": NOW} for row in rows])


def settle_in_one(tables: BareTables, rows: list[dict[str, Any]], ids: list[int]) -> list[tuple[Any, ...]]:
    """By the part of a larger statement, which is written for PostgreSQL: SQLite understands it, too."""
    names = ["id", *SETTLED]
    connection = tables.connection
    connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS v ({', '.join(names)})")
    connection.exec_driver_sql("CREATE TEMP TABLE IF NOT EXISTS locked (id)")
    for table in ("v", "locked"):
        connection.exec_driver_sql(f"DELETE FROM {table}")
    for row in rows:
        places = ", ".join("?" * len(names))
        connection.exec_driver_sql(f"INSERT INTO v VALUES ({places})", tuple(row[name] for name in names))
    connection.exec_driver_sql("INSERT INTO locked SELECT id FROM delivery")
    changes, returned = state_writes.settling("v").rsplit("RETURNING", 1)
    text = f"{changes} RETURNING {returned.replace('d.', '')}"  # where it has no names of tables
    return sorted(Statement(text).rows(connection, ids=ids, lease=WORKER, now=NOW))


@pytest.mark.parametrize("settle", [settle_by_id, settle_in_one])
@pytest.mark.parametrize(("state", "settled_at"), [("delivered", NOW), ("dead", NOW), ("waiting", None)])
@pytest.mark.parametrize(("before", "reached"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_each_delivery_is_settled_as_it_ended_and_no_other(
    tables: BareTables, settle: Any, state: str, settled_at: int | None, before: int, reached: int
) -> None:
    number = on_the_wire(tables, settled_at=EARLIER, reached=bool(before))
    other = on_the_wire(tables, article_id=ELSEWHERE)
    left = on_the_wire(tables, article_id=3)
    unlike = SETTLED | {"id": other, "state": "dead", "words": "gone", "status": 410, "due_at": EARLIER}
    rows = [SETTLED | {"id": number, "state": state, "reached": reached}, unlike]
    settle(tables, rows, [number, other])
    names = ("state", "due_at", "reached", "last_status", "last_words", "lease", "lease_until", "settled_at")
    assert changed(tables, number, *names) == (
        state,
        LATER,
        max(before, reached),
        202,
        "took it",
        None,
        None,
        settled_at,
    )
    assert changed(tables, other, *names) == ("dead", EARLIER, 1, 410, "gone", None, None, NOW)
    assert changed(tables, left, "state", "lease") == ("sending", WORKER)


def test_settlement_in_one_statement_says_of_each_which_push_it_was(tables: BareTables) -> None:
    number = on_the_wire(tables, endpoint_id=ELSEWHERE, revision=7)
    assert settle_in_one(tables, [SETTLED | {"id": number}], [number]) == [(number, 1, ELSEWHERE, 7)]


@pytest.mark.parametrize(
    "change",
    [
        {"lease": OTHER},
        {"attempts": 4},
        {"created_at": LATER},
        *({"state": each} for each in STATES if each != "sending"),
    ],
    ids=repr,
)
def test_settlement_in_one_statement_leaves_a_claim_that_is_over_alone(
    tables: BareTables, change: dict[str, Any]
) -> None:
    number = on_the_wire(tables, **change)
    before = tables.rows()
    assert settle_in_one(tables, [SETTLED | {"id": number}], [number]) == []
    assert tables.rows() == before


# --- given back, recovered, forgiven


OVER = [{"lease": OTHER}, {"attempts": 4}, *({"state": each} for each in STATES if each != "sending")]


@pytest.mark.parametrize(
    ("attempts", "forgiven", "state"),
    [(1, 0, "pending"), (2, 0, "waiting"), (5, 4, "pending"), (6, 4, "waiting")],
)
def test_delivery_given_back_is_as_before_its_claim_and_no_other_is(
    tables: BareTables, attempts: int, forgiven: int, state: str
) -> None:
    number = on_the_wire(tables, attempts=attempts, forgiven=forgiven)
    other = on_the_wire(tables, attempts=attempts, article_id=ELSEWHERE)
    state_writes.give_back(tables.connection, [(number, attempts)], WORKER)
    names = ("state", "attempts", "lease", "lease_until", "due_at")
    assert changed(tables, number, *names) == (state, attempts - 1, None, None, NOW)
    assert changed(tables, other, *names) == ("sending", attempts, WORKER, LATER, NOW)


@pytest.mark.parametrize("change", OVER, ids=repr)
def test_claim_that_is_over_is_neither_given_back_nor_recovered(
    tables: BareTables, change: dict[str, Any]
) -> None:
    number = on_the_wire(tables, **change)
    before = tables.rows()
    state_writes.give_back(tables.connection, [(number, 3)], WORKER)
    assert not state_writes.recover(tables.connection, number, 3, WORKER, MOMENT)
    assert tables.rows() == before


def test_delivery_of_a_lost_worker_waits_and_may_have_arrived_and_no_other(tables: BareTables) -> None:
    number = on_the_wire(tables, due_at=EARLIER)
    other = on_the_wire(tables, article_id=ELSEWHERE)
    assert state_writes.recover(tables.connection, number, 3, WORKER, MOMENT)
    names = ("state", "reached", "due_at", "lease", "lease_until", "attempts")
    assert changed(tables, number, *names) == ("waiting", 1, NOW, None, None, 3)
    assert changed(tables, other, *names) == ("sending", 0, NOW, WORKER, LATER, 3)


def test_attempt_is_forgiven_to_those_that_are_named(tables: BareTables) -> None:
    numbers = [tables.delivery(revision=revision, forgiven=2) for revision in range(2)]
    state_writes.forgive(tables.connection, numbers[:1])
    assert tables.column("forgiven") == [3, 2]


# --- words


def test_other_last_words_are_given_to_those_that_are_named(tables: BareTables) -> None:
    numbers = [tables.delivery(revision=revision, last_words="old") for revision in range(3)]
    state_writes.reword(tables.connection, {numbers[2]: "third", numbers[0]: "first"})
    assert tables.column("last_words") == ["first", "old", "third"]
