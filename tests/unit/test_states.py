"""The rules of a delivery's states: the table of transitions, and which delivery of an article holds which back."""

from __future__ import annotations

import sqlite3
from dataclasses import FrozenInstanceError
from typing import NamedTuple

import pytest

from service.store.deliveries import states
from service.store.deliveries.states import TERMINAL, UNSETTLED, Priority, State, Transition, in_states

TAKEDOWN, NEWS = Priority.TAKEDOWN.value, Priority.NEWS.value
STATES = [each.value for each in State]


class Facts(NamedTuple):
    """A row of the table of deliveries, as far as these rules look at it."""

    revision: int
    state: str = "pending"
    priority: int = NEWS
    ordered: bool = False
    article: int = 1
    endpoint: int = 1


def goes(this: Facts, *others: Facts) -> bool:
    """Whether nothing holds `this` back, as a database finds it."""
    return asked(states.may_go("x"), this, *others)


def overtakes(newer: Facts, older: Facts) -> bool:
    condition = f"EXISTS (SELECT 1 FROM delivery o WHERE o.id <> x.id AND {states.overtakes('o', 'x')})"
    return asked(condition, older, newer)


def asked(condition: str, this: Facts, *others: Facts) -> bool:
    with sqlite3.connect(":memory:") as database:
        database.execute(
            "CREATE TABLE delivery"
            " (id INTEGER PRIMARY KEY, revision, state, priority, ordered, article_id, endpoint_id)"
        )
        database.executemany(
            "INSERT INTO delivery (revision, state, priority, ordered, article_id, endpoint_id) VALUES (?,?,?,?,?,?)",
            [this, *others],
        )
        return (
            database.execute(f"SELECT 1 FROM delivery x WHERE x.id = 1 AND {condition}").fetchone()
            is not None
        )


# The table of transitions.


def test_lower_priority_is_sent_first_and_zero_is_a_takedowns_alone() -> None:
    order = [Priority.TAKEDOWN, Priority.CORRECTION, Priority.NEWS, Priority.BACKFILL]
    assert [each.value for each in order] == [0, 1, 2, 3]


def test_transition_leads_from_its_sources_to_its_targets_only() -> None:
    settle = Transition("settle", (State.SENDING,), (State.DELIVERED, State.WAITING))
    allowed = {
        (before, after) for before in (None, *State) for after in State if settle.allows(before, after)
    }
    assert allowed == {(State.SENDING, State.DELIVERED), (State.SENDING, State.WAITING)}


def test_transition_that_makes_a_row_starts_from_no_state() -> None:
    enqueue = Transition("enqueue", (), (State.PENDING,))
    allowed = {
        (before, after) for before in (None, *State) for after in State if enqueue.allows(before, after)
    }
    assert allowed == {(None, State.PENDING)}


def test_transition_is_a_value_that_nobody_can_change() -> None:
    with pytest.raises(FrozenInstanceError):
        states.CLAIM.name = "seize"  # type: ignore[misc]


def test_delivery_is_either_settled_or_on_its_way() -> None:
    assert {*UNSETTLED, State.SENDING, *TERMINAL} == set(State)
    assert len(UNSETTLED) + 1 + len(TERMINAL) == len(State)


def test_states_are_asked_for_in_the_words_of_the_tables_indexes() -> None:
    """A partial index serves only a query that repeats its condition."""
    assert in_states(UNSETTLED) == "state IN ('pending', 'waiting')"
    assert in_states([State.SENDING]) == "state = 'sending'"
    assert in_states(UNSETTLED, "d") == "d.state IN ('pending', 'waiting')"
    assert in_states([State.DEAD], "d") == "d.state = 'dead'"


def test_guard_asks_for_the_sources_of_the_transition() -> None:
    assert states.CLAIM.guard() == in_states(UNSETTLED)
    assert states.REVIVE.guard("x") == "x.state = 'dead'"


# A newer revision overtakes an older one.


@pytest.mark.parametrize(("newer", "older"), [(2, 1), (9, 3)])
def test_newer_revision_overtakes_an_older_one_and_never_the_other_way_round(newer: int, older: int) -> None:
    assert overtakes(Facts(newer), Facts(older))
    assert not overtakes(Facts(older), Facts(newer))


def test_revision_does_not_overtake_itself() -> None:
    assert not overtakes(Facts(2), Facts(2))


@pytest.mark.parametrize(
    ("newer", "older", "stale"),
    [(True, True, False), (True, False, True), (False, True, True), (False, False, True)],
)
def test_older_revision_still_goes_only_where_every_revision_was_wanted_for_both(
    newer: bool, older: bool, stale: bool
) -> None:
    assert overtakes(Facts(2, ordered=newer), Facts(1, ordered=older)) is stale


def test_takedown_overtakes_even_where_every_revision_is_wanted() -> None:
    for ordered in (True, False):
        assert overtakes(Facts(2, priority=TAKEDOWN, ordered=ordered), Facts(1, ordered=ordered))
    assert not overtakes(Facts(2, priority=Priority.CORRECTION.value, ordered=True), Facts(1, ordered=True))


def test_takedown_is_overtaken_by_news_that_follows_it_unless_every_revision_is_wanted() -> None:
    assert overtakes(Facts(2), Facts(1, priority=TAKEDOWN))
    assert not overtakes(Facts(2, ordered=True), Facts(1, priority=TAKEDOWN, ordered=True))


# One delivery holds another back.


def test_delivery_alone_goes() -> None:
    assert goes(Facts(1))


@pytest.mark.parametrize("revision", [1, 2, 3])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("priority", [TAKEDOWN, NEWS])
def test_revision_on_the_wire_holds_back_every_other_of_its_article_there(
    revision: int, ordered: bool, priority: int
) -> None:
    assert not goes(
        Facts(2, ordered=ordered, priority=priority),
        Facts(revision, "sending", ordered=ordered),
    )


@pytest.mark.parametrize("state", STATES)
def test_overtaken_revision_never_goes_whatever_became_of_the_newer_one(state: str) -> None:
    assert not goes(Facts(1), Facts(2, state))
    assert not goes(Facts(1, ordered=True), Facts(2, state, priority=TAKEDOWN, ordered=True))


@pytest.mark.parametrize("state", [each for each in STATES if each != "sending"])
def test_newest_revision_goes_whatever_became_of_the_older_ones(state: str) -> None:
    assert goes(Facts(2), Facts(1, state))


@pytest.mark.parametrize("state", [each for each in STATES if each != "sending"])
def test_where_every_revision_is_wanted_the_next_one_waits_for_an_older_one_that_waits(state: str) -> None:
    assert goes(Facts(2, ordered=True), Facts(1, state, ordered=True)) is (
        state not in ("pending", "waiting")
    )


@pytest.mark.parametrize("state", [each for each in STATES if each != "sending"])
def test_where_every_revision_is_wanted_the_older_one_goes_before_a_newer_one(state: str) -> None:
    assert goes(Facts(1, ordered=True), Facts(2, state, ordered=True))


@pytest.mark.parametrize("state", ["pending", "waiting"])
def test_next_revision_waits_only_where_both_are_of_those_that_go_in_turn(state: str) -> None:
    assert goes(Facts(2, ordered=True), Facts(1, state))
    assert goes(Facts(2), Facts(1, state, ordered=True))


@pytest.mark.parametrize("state", ["pending", "waiting"])
def test_takedown_waits_for_nothing_that_waits(state: str) -> None:
    assert goes(Facts(2, priority=TAKEDOWN, ordered=True), Facts(1, state, ordered=True))
    assert not goes(
        Facts(2, priority=Priority.CORRECTION.value, ordered=True),
        Facts(1, state, ordered=True),
    )


@pytest.mark.parametrize("state", ["pending", "waiting"])
def test_two_of_one_revision_do_not_wait_for_each_other(state: str) -> None:
    """One of them is a replay: the first that is claimed goes first."""
    assert goes(Facts(2, ordered=True), Facts(2, state, ordered=True))


@pytest.mark.parametrize("elsewhere", [{"article": 2}, {"endpoint": 2}])
def test_another_article_or_endpoint_holds_nothing_back(elsewhere: dict[str, int]) -> None:
    this = Facts(1, ordered=True)
    for other in (
        Facts(2, "sending"),
        Facts(2, priority=TAKEDOWN),
        Facts(0, ordered=True),
    ):
        assert not goes(this, other)
        assert goes(this, other._replace(**elsewhere))  # type: ignore[arg-type]


def test_one_of_several_is_enough_to_hold_it_back() -> None:
    assert not goes(
        Facts(2),
        Facts(1, "delivered"),
        Facts(3, "dead"),
        Facts(1, "superseded"),
    )
