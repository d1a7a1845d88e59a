"""The rules of a delivery's states that ask more than its own table: the embargo of its article, and its holders."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

import pytest

from service.store.deliveries import states
from service.store.deliveries.states import Priority

EARLIER, NOW, LATER = 900, 1_000, 1_100  # microseconds
HERE, ELSEWHERE = 1, 2  # endpoints
PRIORITIES = [Priority.CORRECTION, Priority.NEWS, Priority.BACKFILL]


class DeliveryRow(NamedTuple):
    """A row of the table of deliveries."""

    revision: int = 1
    state: str = "pending"
    priority: int = Priority.NEWS.value
    reached: bool = False
    article: int = 1
    endpoint: int = HERE


class ArticleRow(NamedTuple):
    """A row of the table of articles."""

    id: int = 1
    status: str = "usable"
    embargo_until: int | None = None


class DeskRows(NamedTuple):
    """The rows that the rules see: the first push is the one that is asked about."""

    pushes: tuple[DeliveryRow, ...] = (DeliveryRow(),)
    stories: tuple[ArticleRow, ...] = (ArticleRow(), ArticleRow(2, "usable", 5_000))
    receipts: tuple[tuple[int, int], ...] = ()  # article, endpoint

    def value(self, expression: str) -> Any:
        with sqlite3.connect(":memory:") as database:
            database.executescript(
                """
                CREATE TABLE delivery (id INTEGER PRIMARY KEY, revision, state, priority, reached, article_id,
                    endpoint_id, ordered DEFAULT 0);
                CREATE TABLE article (id INTEGER PRIMARY KEY, status, embargo_until);
                CREATE TABLE receipt (article_id, endpoint_id);
                """
            )
            database.executemany(
                "INSERT INTO delivery (revision, state, priority, reached, article_id, endpoint_id)"
                " VALUES (?,?,?,?,?,?)",
                self.pushes,
            )
            database.executemany("INSERT INTO article VALUES (?,?,?)", self.stories)
            database.executemany("INSERT INTO receipt VALUES (?,?)", self.receipts)
            query = f"SELECT {expression} FROM delivery x WHERE x.id = 1"
            return database.execute(query, {"now": NOW} if ":now" in query else {}).fetchone()[0]

    def may_hold(self) -> bool:
        return bool(self.value(states.may_hold("x")))

    def embargo(self) -> int:
        return int(self.value(states.embargo("x")))

    def due(self) -> int:
        return int(self.value(states.due("x")))

    def claimable(self) -> bool:
        return bool(self.value(states.claimable("x")))


def under_embargo(until: int | None, priority: int = Priority.NEWS.value, status: str = "usable") -> DeskRows:
    """The newest story has no embargo of its own: another's concerns it not."""
    return DeskRows(
        (DeliveryRow(priority=priority),),
        (ArticleRow(3), ArticleRow(1, status, until), ArticleRow(2, "usable", 5_000)),
    )


# --- the embargo of a delivery's article


@pytest.mark.parametrize("priority", PRIORITIES)
def test_embargo_of_its_story_keeps_every_delivery_but_a_takedown(priority: Priority) -> None:
    assert under_embargo(LATER, priority.value).embargo() == LATER
    assert under_embargo(LATER, Priority.TAKEDOWN.value).embargo() == 0


@pytest.mark.parametrize("status", ["withheld", "killed", "unpublished"])
def test_story_that_was_taken_down_is_under_no_embargo(status: str) -> None:
    assert under_embargo(LATER, status=status).embargo() == 0


def test_story_without_an_embargo_keeps_nothing() -> None:
    assert under_embargo(None).embargo() == 0


def test_delivery_is_due_when_the_embargo_ends_and_now_if_none_does() -> None:
    assert under_embargo(LATER).due() == LATER
    for until in (None, EARLIER, NOW):
        assert under_embargo(until).due() == NOW


def test_delivery_is_claimed_from_the_moment_that_the_embargo_ends() -> None:
    assert [under_embargo(until).claimable() for until in (None, EARLIER, NOW, NOW + 1)] == [
        True,
        True,
        True,
        False,
    ]
    assert under_embargo(LATER, Priority.TAKEDOWN.value).claimable()


@pytest.mark.parametrize(
    ("state", "free"),
    [("pending", True), ("waiting", True), ("sending", False), ("dead", False), ("delivered", False)],
)
def test_only_a_delivery_that_waits_is_claimed(state: str, free: bool) -> None:
    assert DeskRows((DeliveryRow(state=state),)).claimable() is free


def test_delivery_that_another_holds_back_is_not_claimed() -> None:
    assert not DeskRows((DeliveryRow(), DeliveryRow(revision=2))).claimable()


# --- who holds a story, or may


def test_endpoint_that_nothing_reached_holds_nothing() -> None:
    assert not DeskRows((DeliveryRow(), DeliveryRow(2, "dead"), DeliveryRow(3, "superseded"))).may_hold()


def test_endpoint_that_a_push_reached_may_hold_the_story() -> None:
    assert DeskRows((DeliveryRow(2), DeliveryRow(1, "dead", reached=True))).may_hold()
    assert DeskRows((DeliveryRow(2, reached=True),)).may_hold()


def test_endpoint_may_hold_what_is_on_the_wire_to_it() -> None:
    assert DeskRows((DeliveryRow(2), DeliveryRow(1, "sending"))).may_hold()


def test_endpoint_with_a_receipt_holds_the_story() -> None:
    assert DeskRows(receipts=((1, HERE),)).may_hold()


def test_endpoint_holds_nothing_by_what_another_endpoint_or_another_story_reached() -> None:
    for other in (DeliveryRow(2, reached=True, endpoint=ELSEWHERE), DeliveryRow(2, reached=True, article=2)):
        assert not DeskRows((DeliveryRow(), other)).may_hold()
    for other in (DeliveryRow(2, "sending", endpoint=ELSEWHERE), DeliveryRow(2, "sending", article=2)):
        assert not DeskRows((DeliveryRow(), other)).may_hold()
    for receipt in ((1, ELSEWHERE), (2, HERE)):
        assert not DeskRows(receipts=(receipt,)).may_hold()
