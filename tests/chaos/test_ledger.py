"""The ledger itself, on invented arrivals: a good one passes, and each thing that must never happen is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.chaos import ledger
from tests.chaos.ledger import Ledger
from tests.chaos.load import LoadStory
from tests.outlet import OutletPush

PATHS = ("/one", "/two")
KEPT, KILLED = "tag:kept", "tag:killed"


def the_stories() -> list[LoadStory]:
    """One story in three versions, and one in two versions that is then killed."""
    return [
        LoadStory([{"version": number} for number in (1, 2, 3)], KEPT),
        LoadStory([{"version": 1}, {"version": 2}, {"version": 3, "status": "killed"}], KILLED),
    ]


@dataclass
class Books:
    """Good books to be falsified: the desk's account and the arrivals, with one repeat after a worker's death."""

    revisions: dict[str, int] = field(default_factory=lambda: {KEPT: 3, KILLED: 3})
    deliveries: dict[tuple[str, str, int], dict[str, Any]] = field(default_factory=dict)
    pushes: dict[tuple[str, str], list[OutletPush]] = field(default_factory=dict)
    routed_at: str | None = "2026-11-24T08:00:00Z"

    def __post_init__(self) -> None:
        for path in PATHS:
            for article in (KEPT, KILLED):
                for revision in (1, 2, 3):
                    self.deliveries[path, article, revision] = self._delivery(path, article, revision)
                self.pushes[path, article] = [a_push(path, article, each) for each in (1, 1, 3)]

    def _delivery(self, path: str, article: str, revision: int) -> dict[str, Any]:
        superseded = revision == 2
        tries = [] if superseded else [{"outcome": "lost"}, {"outcome": "delivered"}]
        state = "superseded" if superseded else "delivered"
        return {"id": name(path, article, revision), "state": state, "attempts": tries}

    def of(self, path: str = "/one", article: str = KEPT) -> list[OutletPush]:
        return self.pushes[path, article]

    def closed(self) -> Ledger:
        events = [{"id": "evt_1", "routed_at": self.routed_at, "deliveries": list(self.deliveries.values())}]
        articles = {article: {"revision": revision} for article, revision in self.revisions.items()}
        return Ledger(events, articles, self.pushes)


def name(path: str, article: str, revision: int) -> str:
    return f"dlv_{path}{article}{revision}"


def a_push(path: str, article: str, revision: int, *, id: str = "", words: str = "") -> OutletPush:
    body = json.dumps({"data": {"article": article, "revision": revision, "headline": words}}).encode()
    return OutletPush(0.0, path, {"webhook-id": id or name(path, article, revision)}, body)


def audit(books: Books) -> int:
    """Makes the checks of the fault tests; returns the number of repeated pushes."""
    found = books.closed()
    ledger.assert_nothing_is_lost(found, the_stories(), PATHS)
    ledger.assert_nothing_is_stale(found)
    ledger.assert_every_delivery_is_settled(found)
    return ledger.assert_repeats_are_the_same(found)


def test_a_good_ledger_passes_and_its_repeats_and_losses_are_counted() -> None:
    books = Books()
    assert audit(books) == 4
    assert ledger.interrupted(books.closed()) == 8


def test_a_story_killed_before_any_of_it_was_sent_needs_no_kill() -> None:
    books = Books()
    books.of("/two", KILLED).clear()
    for revision in (1, 2, 3):
        books.deliveries["/two", KILLED, revision] |= {"state": "cancelled", "attempts": []}
    audit(books)


def an_older_version_after_a_newer(books: Books) -> None:
    books.of().insert(-1, a_push("/one", KEPT, 3))
    books.of().insert(-1, a_push("/one", KEPT, 1))


def a_late_repeat_of_an_older_version(books: Books) -> None:
    books.of().append(a_push("/one", KEPT, 1))


def a_version_after_the_kill(books: Books) -> None:
    books.of(article=KILLED).append(a_push("/one", KILLED, 1))


def a_kill_that_did_not_come(books: Books) -> None:
    books.of(article=KILLED).pop()


def a_story_that_one_endpoint_never_got(books: Books) -> None:
    books.of("/two").clear()


def a_newest_version_that_did_not_come(books: Books) -> None:
    books.of().pop()


def a_version_that_is_no_revision(books: Books) -> None:
    books.revisions[KEPT] = 2


def two_ids_for_one_version(books: Books) -> None:
    books.of().append(a_push("/one", KEPT, 3, id="dlv_another"))
    books.deliveries["/one", KEPT, 4] = {
        "id": "dlv_another",
        "state": "delivered",
        "attempts": [{"outcome": "delivered"}],
    }


def one_id_for_two_versions(books: Books) -> None:
    books.of()[-1] = a_push("/one", KEPT, 3, id=name("/one", KEPT, 1))
    books.deliveries["/one", KEPT, 3]["state"] = "superseded"


def a_repeat_that_says_something_else(books: Books) -> None:
    books.of().append(a_push("/one", KEPT, 3, words="Second thoughts"))


def a_delivery_that_never_ends(books: Books) -> None:
    books.deliveries["/one", KEPT, 2]["state"] = "sending"


def an_event_that_was_not_routed(books: Books) -> None:
    books.routed_at = None


def a_delivery_that_was_given_up(books: Books) -> None:
    books.deliveries["/one", KEPT, 1]["state"] = "dead"


def a_delivered_push_that_did_not_come(books: Books) -> None:
    books.deliveries["/one", KEPT, 2]["state"] = "delivered"


def a_push_that_was_never_tried(books: Books) -> None:
    books.deliveries["/one", KEPT, 1] |= {"state": "superseded", "attempts": []}


@pytest.mark.parametrize(
    ("falsify", "found_by"),
    [
        (an_older_version_after_a_newer, "assert_nothing_is_stale"),
        (a_late_repeat_of_an_older_version, "assert_nothing_is_lost"),
        (a_version_after_the_kill, "assert_nothing_is_lost"),
        (a_kill_that_did_not_come, "assert_nothing_is_lost"),
        (a_story_that_one_endpoint_never_got, "assert_nothing_is_lost"),
        (a_newest_version_that_did_not_come, "assert_nothing_is_lost"),
        (a_version_that_is_no_revision, "assert_nothing_is_lost"),
        (two_ids_for_one_version, "assert_repeats_are_the_same"),
        (one_id_for_two_versions, "assert_repeats_are_the_same"),
        (a_repeat_that_says_something_else, "assert_repeats_are_the_same"),
        (a_delivery_that_never_ends, "assert_every_delivery_is_settled"),
        (an_event_that_was_not_routed, "assert_every_delivery_is_settled"),
        (a_delivery_that_was_given_up, "assert_every_delivery_is_settled"),
        (a_delivered_push_that_did_not_come, "assert_every_delivery_is_settled"),
        (a_push_that_was_never_tried, "assert_every_delivery_is_settled"),
    ],
)
def test_the_ledger_refuses(falsify: Callable[[Books], None], found_by: str) -> None:
    books = Books()
    falsify(books)
    with pytest.raises(AssertionError) as refused:
        audit(books)
    assert found_by in [each.name for each in refused.traceback]


@pytest.mark.parametrize("falsify", [a_late_repeat_of_an_older_version, a_version_after_the_kill])
def test_a_stale_push_is_refused_for_being_stale_too(falsify: Callable[[Books], None]) -> None:
    books = Books()
    falsify(books)
    with pytest.raises(AssertionError):
        ledger.assert_nothing_is_stale(books.closed())
