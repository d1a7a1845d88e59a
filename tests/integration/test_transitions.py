"""Each statement that changes a delivery's state: which rows it changes, to what, and which it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from service.store import ledger
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, requeue, routing, settlements, state_writes
from service.store.deliveries.claims import ClaimedDelivery, Cursor
from service.store.deliveries.state_writes import NewRevision
from service.store.deliveries.states import State
from service.store.ledger import Channel, Receipt
from service.store.schema.deliveries import delivery
from tests.builders import NOW, a_desk, an_article, an_endpoint, later, post
from tests.delivery_rows import (
    add_delivery,
    deliveries,
    ids_of,
    one_delivery,
    set_article,
    set_delivery,
    set_endpoint,
)
from tests.seeded import a_settlement

WORKER, OTHER = "w1.test", "w2.test"
STATES = [each.value for each in State]
POSTGRESQL = pytest.mark.parametrize("record", ["postgresql"], indirect=True)


@pytest.fixture
def first(record: Record) -> int:
    """The first of four deliveries: of two stories at two endpoints."""
    source = a_desk(record)
    for _ in range(2):
        an_endpoint(record)
    for number in range(2):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    return ids_of(record)[0]


def within(record: Record, act: Callable[[Connection], Any]) -> Any:
    with record.writing() as connection:
        return act(connection)


def changed_states(record: Record, number: int, act: Callable[[], object]) -> dict[str, str]:
    """By the state that the delivery was in: the one that it has after the act, where that is another."""
    found = {}
    for state in STATES:
        set_delivery(record, number, state=state)
        act()
        ((after,)) = one_delivery(record, number, "state")
        if after != state:
            found[state] = after
    return found


def others(record: Record, number: int) -> list[tuple[Any, ...]]:
    """All that is written of the other deliveries."""
    with record.reading() as connection:
        query = select(delivery).where(delivery.c.id != number).order_by(delivery.c.id)
        return [tuple(row) for row in connection.execute(query)]


# Repeat.


def repeat(record: Record, *sequences: tuple[int, int]) -> None:
    within(record, lambda connection: requeue.repeat(connection, sequences, later(9)))


def test_repeat_adds_a_row_for_the_same_push_that_is_due_at_once(record: Record, first: int) -> None:
    set_delivery(
        record, first, state="delivered", attempts=3, forgiven=1, priority=1, owed=True, ordered=True
    )
    before = others(record, 0)
    repeat(record, (first, 77))
    assert others(record, ids_of(record)[-1]) == before
    same = ("endpoint_id", "event_id", "article_id", "revision", "priority", "owed", "ordered")
    added = ids_of(record)[-1]
    assert one_delivery(record, added, *same) == one_delivery(record, first, *same)
    own = (
        "state",
        "replay",
        "sequence",
        "due_at",
        "created_at",
        "reached",
        "attempts",
        "forgiven",
        "settled_at",
    )
    assert one_delivery(record, added, *own) == ("pending", 1, 77, later(9), later(9), True, 0, 0, None)


def test_repeat_of_a_repeat_counts_on(record: Record, first: int) -> None:
    set_delivery(record, first, state="delivered", replay=4)
    repeat(record, (first, 77))
    assert one_delivery(record, ids_of(record)[-1], "replay") == (5,)


@pytest.mark.parametrize("state", [each for each in STATES if each != "delivered"])
def test_delivery_that_was_not_delivered_is_not_repeated(record: Record, first: int, state: str) -> None:
    set_delivery(record, first, state=state)
    before = ids_of(record)
    repeat(record, (first, 77))
    assert ids_of(record) == before


# Supersede.


def supersede(record: Record, *newest: NewRevision, now: datetime = NOW) -> None:
    within(record, lambda connection: state_writes.supersede(connection, newest, now))


def article_of(record: Record, number: int) -> int:
    ((article_id,)) = one_delivery(record, number, "article_id")
    return int(article_id)


def test_newer_revision_supersedes_what_waits_and_nothing_else(record: Record, first: int) -> None:
    newest = NewRevision(article_of(record, first), 2, takedown=False)
    found = changed_states(record, first, lambda: supersede(record, newest))
    assert found == {"pending": "superseded", "waiting": "superseded"}


def test_superseded_delivery_says_by_which_revision_and_when(record: Record, first: int) -> None:
    supersede(record, NewRevision(article_of(record, first), 5, takedown=False), now=later(3))
    columns = ("state", "superseded_by", "settled_at")
    assert one_delivery(record, first, *columns) == ("superseded", 5, later(3))


def test_revision_supersedes_older_ones_of_its_own_article_at_every_endpoint(
    record: Record, first: int
) -> None:
    newest = NewRevision(article_of(record, first), 2, takedown=False)
    supersede(record, newest)
    assert deliveries(record, "state") == [("superseded",), ("superseded",), ("pending",), ("pending",)]


@pytest.mark.parametrize(("revision", "state"), [(2, "pending"), (3, "superseded"), (9, "superseded")])
def test_revision_supersedes_neither_itself_nor_a_newer_one(
    record: Record, first: int, revision: int, state: str
) -> None:
    set_delivery(record, first, revision=2)
    supersede(record, NewRevision(article_of(record, first), revision, takedown=False))
    assert one_delivery(record, first, "state") == (state,)


@pytest.mark.parametrize(
    ("ordered", "takedown", "wanted", "state"),
    [
        (True, False, True, "pending"),
        (True, False, False, "superseded"),
        (True, True, True, "superseded"),
        (True, True, False, "superseded"),
        (False, False, True, "superseded"),
        (False, False, False, "superseded"),
        (False, True, True, "superseded"),
    ],
)
def test_older_revision_stays_only_where_it_goes_in_turn_and_every_revision_is_wanted_still(
    record: Record, first: int, ordered: bool, takedown: bool, wanted: bool, state: str
) -> None:
    ((endpoint_id,)) = one_delivery(record, first, "endpoint_id")
    for number in {each for (each,) in deliveries(record, "endpoint_id")}:
        set_endpoint(record, number, every_revision=not wanted)
    set_endpoint(record, endpoint_id, every_revision=wanted)
    set_delivery(record, first, ordered=ordered)
    supersede(record, NewRevision(article_of(record, first), 2, takedown))
    assert one_delivery(record, first, "state") == (state,)


def test_revisions_of_several_articles_supersede_each_their_own(record: Record, first: int) -> None:
    one, other = article_of(record, first), article_of(record, ids_of(record)[-1])
    supersede(record, NewRevision(one, 2, takedown=False), NewRevision(other, 3, takedown=True))
    assert deliveries(record, "state", "superseded_by") == [
        *[("superseded", 2)] * 2,
        *[("superseded", 3)] * 2,
    ]


def test_no_revision_supersedes_nothing(record: Record, first: int) -> None:
    before = others(record, 0)
    supersede(record)
    assert others(record, 0) == before
    assert first == ids_of(record)[0]


def free_deliveries(record: Record) -> list[int]:
    """Those that nobody has locked."""
    with record.writing() as connection:
        rows = connection.execute(text("SELECT id FROM delivery ORDER BY id FOR UPDATE SKIP LOCKED"))
        return [number for (number,) in rows]


@POSTGRESQL
@pytest.mark.parametrize("awaits", [True, False])
def test_supersession_locks_what_waits_and_what_is_on_the_wire_if_settlements_are_awaited(
    record: Record, first: int, awaits: bool
) -> None:
    numbers = ids_of(record)
    article_id = article_of(record, first)
    for number, state in zip(numbers, ("sending", "waiting", "waiting", "sending"), strict=True):
        set_delivery(record, number, state=state, revision=1)
    done = add_delivery(record, first, state="delivered", revision=2)
    with record.writing() as connection:
        newest = [NewRevision(article_id, 1, takedown=False)]
        state_writes.supersede(connection, newest, NOW, await_settlements=awaits)
        locked = {*numbers, done} - set(free_deliveries(record))
    assert locked == ({numbers[0], numbers[1]} if awaits else {numbers[1]})


# What a newer revision has overtaken on its way back.


def supersede_overtaken(record: Record, *ids: int, now: datetime = NOW) -> None:
    within(record, lambda connection: state_writes.supersede_overtaken(connection, ids, now))


def test_delivery_that_came_back_is_superseded_by_the_newest_revision(record: Record, first: int) -> None:
    for revision in (2, 4, 3):
        add_delivery(record, first, revision=revision, state="cancelled")
    before = others(record, first)
    found = changed_states(record, first, lambda: supersede_overtaken(record, first))
    assert found == {"pending": "superseded", "waiting": "superseded"}
    set_delivery(record, first, state="waiting")
    supersede_overtaken(record, first, now=later(7))
    columns = ("state", "superseded_by", "settled_at")
    assert one_delivery(record, first, *columns) == ("superseded", 4, later(7))
    assert others(record, first) == before


def test_newest_revision_that_came_back_is_not_superseded(record: Record, first: int) -> None:
    set_delivery(record, first, revision=3)
    add_delivery(record, first, revision=2, state="delivered")
    add_delivery(record, first, revision=3, replay=1)
    supersede_overtaken(record, *ids_of(record))
    assert one_delivery(record, first, "state") == ("pending",)


@pytest.mark.parametrize("column", ["article_id", "endpoint_id"])
def test_newer_revision_of_another_article_or_endpoint_supersedes_nothing(
    record: Record, first: int, column: str
) -> None:
    numbers = {each for (each,) in deliveries(record, column)}
    ((own,)) = one_delivery(record, first, column)
    add_delivery(record, first, revision=9, **{column: (numbers - {own}).pop()})
    add_delivery(record, first, revision=2, state="dead")
    supersede_overtaken(record, first)
    assert one_delivery(record, first, "state", "superseded_by") == ("superseded", 2)
    set_delivery(record, first, state="pending", revision=3)
    supersede_overtaken(record, first)
    assert one_delivery(record, first, "state") == ("pending",)


def test_where_every_revision_is_wanted_only_a_takedown_supersedes_what_came_back(
    record: Record, first: int
) -> None:
    set_delivery(record, first, ordered=True)
    newer = add_delivery(record, first, revision=2, ordered=True)
    supersede_overtaken(record, first)
    assert one_delivery(record, first, "state") == ("pending",)
    set_delivery(record, newer, priority=0)
    supersede_overtaken(record, first)
    assert one_delivery(record, first, "state") == ("superseded",)


# Cancel.


def cancel(record: Record, article_id: int, revision: int) -> None:
    takedown = NewRevision(article_id, revision, takedown=True)
    within(record, lambda connection: state_writes.cancel(connection, [takedown]))


def test_delivery_that_a_takedown_superseded_is_cancelled_where_the_takedown_does_not_go(
    record: Record, first: int
) -> None:
    set_delivery(record, first, superseded_by=2)
    before = others(record, first)
    found = changed_states(record, first, lambda: cancel_again(record, first))
    assert found == {"superseded": "cancelled"}
    assert others(record, first) == before


def cancel_again(record: Record, number: int) -> None:
    set_delivery(record, number, superseded_by=2)
    cancel(record, article_of(record, number), 2)


def test_cancelled_delivery_names_no_superseder(record: Record, first: int) -> None:
    set_delivery(record, first, state="superseded", superseded_by=2)
    cancel(record, article_of(record, first), 2)
    assert one_delivery(record, first, "state", "superseded_by") == ("cancelled", None)


def test_delivery_that_another_revision_superseded_is_not_cancelled(record: Record, first: int) -> None:
    for superseder in (1, 3):
        set_delivery(record, first, state="superseded", superseded_by=superseder)
        cancel(record, article_of(record, first), 2)
        assert one_delivery(record, first, "state") == ("superseded",)


def test_only_what_is_of_the_takedowns_article_is_cancelled(record: Record, first: int) -> None:
    for number in ids_of(record):
        set_delivery(record, number, state="superseded", superseded_by=2)
    cancel(record, article_of(record, first), 2)
    assert deliveries(record, "state") == [("cancelled",), ("cancelled",), ("superseded",), ("superseded",)]


def test_where_the_takedown_goes_what_it_superseded_is_not_cancelled(record: Record, first: int) -> None:
    set_delivery(record, first, state="superseded", superseded_by=2)
    takedown = add_delivery(record, first, revision=2, priority=0, state="pending", superseded_by=None)
    cancel(record, article_of(record, first), 2)
    assert one_delivery(record, first, "state") == ("superseded",)
    set_delivery(record, takedown, revision=3)
    cancel(record, article_of(record, first), 2)
    assert one_delivery(record, first, "state") == ("cancelled",)


def test_takedown_of_another_article_at_the_same_endpoint_keeps_nothing_from_being_cancelled(
    record: Record, first: int
) -> None:
    set_delivery(record, first, state="superseded", superseded_by=2)
    add_delivery(
        record, first, article_id=article_of(record, ids_of(record)[-1]), revision=2, superseded_by=None
    )
    cancel(record, article_of(record, first), 2)
    assert one_delivery(record, first, "state") == ("cancelled",)


# From the wire: settled, given back, recovered.


def claim(record: Record, worker: str = WORKER, limit: int = 9) -> list[ClaimedDelivery]:
    heartbeats.heartbeat(record, worker, broker="up", now=NOW)
    return claims.claim(record, lease=worker, limit=limit, cursor=Cursor(), now=later(1))[0]


def settle(record: Record, claimed: ClaimedDelivery, state: str = "delivered", **changes: Any) -> set[int]:
    reached = changes.pop("reached", True)
    lease = changes.pop("lease", WORKER)
    end = a_settlement(claimed, state, "took it", NOW, **changes)._replace(reached=reached)
    return settlements.settle(record, [end], lease=lease, now=later(3))


@pytest.mark.parametrize(
    ("state", "settled_at"), [("delivered", later(3)), ("dead", later(3)), ("waiting", None)]
)
def test_settlement_frees_the_delivery_and_says_how_it_ended(
    record: Record, first: int, state: str, settled_at: datetime | None
) -> None:
    claimed = claim(record, limit=1)[0]
    before = others(record, claimed.id)
    set_delivery(record, claimed.id, settled_at=later(1))
    assert settle(record, claimed, state, due_at=later(60), status=202) == {first}
    columns = (
        "state",
        "due_at",
        "last_status",
        "last_words",
        "lease",
        "lease_until",
        "settled_at",
        "attempts",
    )
    expected = (state, later(60), 202, "took it", None, None, settled_at, 1)
    assert one_delivery(record, claimed.id, *columns) == expected
    assert others(record, claimed.id) == before


@pytest.mark.parametrize(("before", "now"), [(True, True), (True, False), (False, True), (False, False)])
def test_delivery_that_may_have_arrived_once_may_have_arrived_for_ever(
    record: Record, first: int, before: bool, now: bool
) -> None:
    claimed = claim(record, limit=1)[0]
    set_delivery(record, first, reached=before)
    settle(record, claimed, "waiting", reached=now)
    assert one_delivery(record, first, "reached") == (before or now,)


@pytest.mark.parametrize(
    "change", [{"lease": OTHER}, {"attempts": 2}, *({"state": each} for each in STATES if each != "sending")]
)
def test_settlement_of_a_claim_that_is_over_changes_nothing(
    record: Record, first: int, change: dict[str, Any]
) -> None:
    claimed = claim(record, limit=1)[0]
    set_delivery(record, first, **change)
    before = others(record, 0)
    assert settle(record, claimed) == set()
    assert others(record, 0) == before


def give_back(record: Record, *given: tuple[int, int], lease: str = WORKER) -> None:
    within(record, lambda connection: state_writes.give_back(connection, given, lease))


@pytest.mark.parametrize(
    ("attempts", "forgiven", "state"),
    [(1, 0, "pending"), (2, 0, "waiting"), (9, 0, "waiting"), (5, 4, "pending"), (6, 4, "waiting")],
)
def test_delivery_that_is_given_back_stands_as_before_its_claim(
    record: Record, first: int, attempts: int, forgiven: int, state: str
) -> None:
    claim(record, limit=1)
    before = others(record, first)
    set_delivery(record, first, attempts=attempts, forgiven=forgiven)
    give_back(record, (first, attempts))
    columns = ("state", "attempts", "forgiven", "lease", "lease_until", "due_at")
    assert one_delivery(record, first, *columns) == (state, attempts - 1, forgiven, None, None, NOW)
    assert others(record, first) == before


@pytest.mark.parametrize(
    "change", [{"lease": OTHER}, {"attempts": 2}, *({"state": each} for each in STATES if each != "sending")]
)
def test_claim_that_is_over_is_not_given_back(record: Record, first: int, change: dict[str, Any]) -> None:
    claim(record, limit=1)
    set_delivery(record, first, **change)
    before = others(record, 0)
    give_back(record, (first, 1))
    assert others(record, 0) == before


@POSTGRESQL
def test_all_that_is_given_back_is_locked(record: Record, first: int) -> None:
    """Those that are no longer the worker's, too: locked in one order, nobody waits in a circle."""
    numbers = ids_of(record)
    with record.writing() as connection:
        state_writes.give_back(connection, [(numbers[2], 1), (first, 1)], WORKER)
        assert set(numbers) - set(free_deliveries(record)) == {first, numbers[2]}


def recover(record: Record, number: int, attempts: int = 1, lease: str = WORKER) -> bool:
    found = within(
        record, lambda connection: state_writes.recover(connection, number, attempts, lease, later(5))
    )
    assert isinstance(found, bool)
    return found


def test_delivery_of_a_lost_worker_is_due_at_once_and_may_have_arrived(record: Record, first: int) -> None:
    claim(record)
    before = others(record, first)
    assert recover(record, first)
    columns = ("state", "due_at", "reached", "lease", "lease_until", "attempts")
    assert one_delivery(record, first, *columns) == ("waiting", later(5), True, None, None, 1)
    assert others(record, first) == before


@pytest.mark.parametrize(
    "change", [{"lease": OTHER}, {"attempts": 2}, *({"state": each} for each in STATES if each != "sending")]
)
def test_claim_that_is_over_is_not_recovered(record: Record, first: int, change: dict[str, Any]) -> None:
    claim(record)
    set_delivery(record, first, **change)
    before = others(record, 0)
    assert not recover(record, first)
    assert others(record, 0) == before


def test_attempt_is_forgiven_to_its_own_delivery(record: Record, first: int) -> None:
    before = others(record, first)
    set_delivery(record, first, forgiven=2)
    within(record, lambda connection: state_writes.forgive(connection, [first]))
    assert one_delivery(record, first, "forgiven") == (3,)
    assert others(record, first) == before


# Revive.


def dead(record: Record, number: int, **columns: Any) -> None:
    set_delivery(record, number, state="dead", **({"settled_at": later(2), "attempts": 7} | columns))


def revive(record: Record, *ids: int) -> None:
    within(record, lambda connection: requeue.revive(connection, ids, later(9)))


def test_given_up_delivery_begins_anew(record: Record, first: int) -> None:
    before = others(record, first)
    dead(record, first)
    revive(record, first)
    columns = ("state", "due_at", "created_at", "forgiven", "attempts", "settled_at")
    assert one_delivery(record, first, *columns) == ("pending", later(9), later(9), 7, 7, None)
    assert others(record, first) == before


def test_only_what_was_given_up_is_revived(record: Record, first: int) -> None:
    assert changed_states(record, first, lambda: revive(record, first)) == {"dead": "pending"}


def test_only_those_that_are_named_are_revived(record: Record, first: int) -> None:
    numbers = ids_of(record)
    for number in numbers:
        dead(record, number)
    revive(record)
    assert deliveries(record, "state") == [("dead",)] * 4
    revive(record, first, numbers[2])
    assert deliveries(record, "state") == [("pending",), ("dead",), ("pending",), ("dead",)]


# What an endpoint missed.


def missed(record: Record, number: int, since: datetime = NOW) -> int:
    """How many are revived of what the delivery's endpoint missed."""
    ((endpoint_id,)) = one_delivery(record, number, "endpoint_id")
    found = within(record, lambda connection: requeue.revive_missed(connection, endpoint_id, since, later(9)))
    return int(found)


def receive(record: Record, number: int, revision: int, **changes: int) -> None:
    row = one_delivery(record, number, "article_id", "endpoint_id")
    place = dict(zip(("article_id", "endpoint_id"), row, strict=True)) | changes
    receipt = Receipt(place["article_id"], 1, place["endpoint_id"], revision)
    within(record, lambda connection: ledger.write(connection, [receipt], Channel.PUSH, NOW))


def test_endpoint_that_is_back_gets_what_was_given_up_meanwhile(record: Record, first: int) -> None:
    for number in ids_of(record):
        dead(record, number)
    assert missed(record, first) == 2
    columns = ("state", "due_at", "created_at", "forgiven", "settled_at")
    revived, left = ("pending", later(9), later(9), 7, None), ("dead", NOW, NOW, 0, later(2))
    assert deliveries(record, *columns) == [revived, left, revived, left]


def test_only_what_was_given_up_is_taken_for_missed(record: Record, first: int) -> None:
    def act() -> None:
        set_delivery(record, first, settled_at=later(2))
        missed(record, first)

    assert changed_states(record, first, act) == {"dead": "pending"}


@pytest.mark.parametrize(("settled", "found"), [(1.9, 0), (2.0, 1), (2.1, 1)])
def test_only_what_was_given_up_since_then_is_taken_for_missed(
    record: Record, first: int, settled: float, found: int
) -> None:
    dead(record, first, settled_at=later(settled))
    assert missed(record, first, since=later(2)) == found


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"revision": 2}, 0),
        ({"revision": 1, "replay": 1}, 0),
        ({"revision": 0, "replay": 1}, 1),
        ({"revision": 0, "replay": 0}, 1),
    ],
)
def test_only_the_newest_delivery_of_an_article_is_revived(
    record: Record, first: int, changes: dict[str, int], found: int
) -> None:
    add_delivery(record, first, state="cancelled", **changes)
    dead(record, first)
    assert missed(record, first) == found


@pytest.mark.parametrize("column", ["article_id", "endpoint_id"])
def test_newer_delivery_of_another_article_or_endpoint_keeps_nothing_from_being_revived(
    record: Record, first: int, column: str
) -> None:
    numbers = {each for (each,) in deliveries(record, column)}
    ((own,)) = one_delivery(record, first, column)
    add_delivery(record, first, state="cancelled", revision=2, **{column: (numbers - {own}).pop()})
    dead(record, first)
    assert missed(record, first) == 1


@pytest.mark.parametrize(("held", "found"), [(0, 1), (1, 0), (2, 0)])
def test_endpoint_that_holds_the_revision_already_does_not_get_it_again(
    record: Record, first: int, held: int, found: int
) -> None:
    dead(record, first)
    receive(record, first, held)
    assert missed(record, first) == found


@pytest.mark.parametrize("column", ["article_id", "endpoint_id"])
def test_receipt_of_another_article_or_endpoint_keeps_nothing_from_being_revived(
    record: Record, first: int, column: str
) -> None:
    numbers = {each for (each,) in deliveries(record, column)}
    ((own,)) = one_delivery(record, first, column)
    dead(record, first)
    receive(record, first, 1, **{column: (numbers - {own}).pop()})
    assert missed(record, first) == 1


def test_revision_that_the_article_has_no_more_is_not_revived(record: Record, first: int) -> None:
    dead(record, first)
    set_article(record, article_of(record, first), revision=2)
    assert missed(record, first) == 0


@pytest.mark.parametrize("status", ["withheld", "killed", "unpublished"])
def test_story_that_was_taken_down_is_not_revived(record: Record, first: int, status: str) -> None:
    dead(record, first)
    set_delivery(record, first, reached=True)
    set_article(record, article_of(record, first), status=status)
    assert missed(record, first) == 0


@pytest.mark.parametrize(
    ("priority", "reached", "found"), [(0, True, 1), (0, False, 0), (1, True, 0), (2, True, 0)]
)
def test_takedown_is_revived_where_the_story_may_have_arrived(
    record: Record, first: int, priority: int, reached: bool, found: int
) -> None:
    dead(record, first, priority=priority)
    set_article(record, article_of(record, first), status="killed")
    add_delivery(record, first, state="delivered", revision=0, reached=reached)
    assert missed(record, first) == found


@pytest.mark.parametrize("column", ["article_id", "endpoint_id"])
def test_takedown_is_not_revived_for_what_arrived_of_another_article_or_at_another_endpoint(
    record: Record, first: int, column: str
) -> None:
    numbers = {each for (each,) in deliveries(record, column)}
    ((own,)) = one_delivery(record, first, column)
    dead(record, first, priority=0)
    set_article(record, article_of(record, first), status="killed")
    place = {column: (numbers - {own}).pop()}
    add_delivery(record, first, state="delivered", revision=0, reached=True, **place)
    assert missed(record, first) == 0
