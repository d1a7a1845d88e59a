"""Each statement that moves due times, and the one that numbers: which rows it changes, to what, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.store.deliveries import due_times
from service.store.deliveries.states import State
from service.store.schema.base import from_micros
from tests.bare_tables import NOW, SECOND, BareTables, bare_tables

STATES = [each.value for each in State]
EARLIER, LATER, LATEST = NOW - SECOND, NOW + SECOND, NOW + 2 * SECOND
HOURS_26 = 26 * 3600 * SECOND
ELSEWHERE = 2  # an endpoint, or an article


@pytest.fixture
def tables() -> Iterator[BareTables]:
    with bare_tables() as tables:
        for number in (1, ELSEWHERE):
            tables.article(number)
            tables.endpoint(number)
        yield tables


def now() -> datetime:
    return from_micros(NOW)


def embargo(tables: BareTables, until: int) -> None:
    """Of a story that has no deliveries yet."""
    tables.article(3, embargo_until=until)


def moved(tables: BareTables, act: Any, **columns: Any) -> set[str]:
    """The states from which a delivery that is due later is moved."""
    number = tables.delivery(**columns)
    found = set()
    for state in STATES:
        tables.set(number, state=state, due_at=LATER)
        act()
        if tables.value(number, "due_at") != LATER:
            found.add(state)
    return found


# --- an endpoint is back


def hasten(tables: BareTables, *, refused: bool = False) -> None:
    due_times.hasten(tables.connection, 1, now(), refused=refused)


def test_refused_deliveries_are_hastened_only_if_that_is_asked_for(tables: BareTables) -> None:
    tables.delivery(state="waiting", due_at=LATER, last_status=404)
    hasten(tables)
    assert tables.column("due_at") == [LATER]
    hasten(tables, refused=True)
    assert tables.column("due_at") == [NOW]


def test_hastened_delivery_is_due_when_its_embargo_ends(tables: BareTables) -> None:
    embargo(tables, LATER)
    tables.delivery(article_id=3, state="waiting", due_at=LATEST)
    hasten(tables)
    assert tables.column("due_at") == [LATER]


def test_retry_that_is_due_at_this_moment_is_not_put_off_by_hastening(tables: BareTables) -> None:
    embargo(tables, LATER)
    tables.delivery(article_id=3, state="waiting", due_at=NOW)
    hasten(tables)
    assert tables.column("due_at") == [NOW]


# --- takedowns, after a success


def hasten_takedowns(tables: BareTables, failed_since: int | None = None) -> None:
    since = None if failed_since is None else from_micros(failed_since)
    due_times.hasten_takedowns(tables.connection, 1, now(), failed_since=since)


def test_takedown_that_waits_is_due_now_after_a_success(tables: BareTables) -> None:
    assert moved(tables, lambda: hasten_takedowns(tables), priority=0) == {"pending", "waiting"}


def test_success_hastens_takedowns_of_its_own_endpoint_alone_and_no_news(tables: BareTables) -> None:
    tables.delivery(priority=0, due_at=LATER)
    tables.delivery(priority=0, due_at=LATER, endpoint_id=ELSEWHERE)
    tables.delivery(priority=1, due_at=LATER, article_id=ELSEWHERE)
    tables.delivery(priority=0, due_at=EARLIER, revision=2)
    hasten_takedowns(tables)
    assert tables.column("due_at") == [NOW, LATER, LATER, EARLIER]


def test_takedown_whose_last_answer_asked_to_wait_waits_after_a_success(tables: BareTables) -> None:
    number = tables.delivery(priority=0, due_at=LATER, attempts=1)
    tables.attempt(number, response_headers='[["Retry-After", "9"]]')
    hasten_takedowns(tables)
    assert tables.column("due_at") == [LATER]


@pytest.mark.parametrize(
    ("starts", "due"),
    [
        ((EARLIER,), NOW),
        ((NOW,), NOW),
        ((EARLIER, NOW), LATER),
        ((EARLIER, LATER), LATER),
        ((NOW - 1, NOW), LATER),
        ((NOW, LATER), NOW),
        ((EARLIER, NOW - 1), NOW),
    ],
)
def test_takedown_that_failed_before_and_after_the_last_success_is_not_hastened(
    tables: BareTables, starts: tuple[int, ...], due: int
) -> None:
    """A success at NOW: an attempt that began then came after it."""
    number = tables.delivery(priority=0, due_at=LATER, attempts=len(starts))
    for attempt, start in enumerate(starts):
        tables.attempt(number, number=attempt, started_at=start)
    hasten_takedowns(tables, failed_since=NOW)
    assert tables.column("due_at") == [due]


@pytest.mark.parametrize(("own", "others"), [(EARLIER, LATER), (LATER, EARLIER)])
def test_attempts_of_another_delivery_keep_no_takedown_from_being_hastened(
    tables: BareTables, own: int, others: int
) -> None:
    number = tables.delivery(priority=0, due_at=LATER)
    tables.attempt(number, started_at=own)
    tables.attempt(tables.delivery(article_id=ELSEWHERE), started_at=others)
    hasten_takedowns(tables, failed_since=NOW)
    assert tables.value(number, "due_at") == NOW


def test_first_success_hastens_takedowns_whenever_they_were_tried(tables: BareTables) -> None:
    number = tables.delivery(priority=0, due_at=LATER, attempts=2)
    for start in (0, NOW):
        tables.attempt(number, started_at=start)
    hasten_takedowns(tables)
    assert tables.column("due_at") == [NOW]


# --- an operator tries an endpoint


def try_now(tables: BareTables) -> int:
    return due_times.try_now(tables.connection, 1, now())


def test_all_that_waits_is_tried_now(tables: BareTables) -> None:
    assert moved(tables, lambda: try_now(tables)) == {"pending", "waiting"}


def test_trial_moves_what_is_due_later_at_its_endpoint_alone_and_counts_it(tables: BareTables) -> None:
    embargo(tables, LATER)
    tables.delivery(due_at=LATER)
    tables.delivery(due_at=LATER, endpoint_id=ELSEWHERE)
    tables.delivery(due_at=EARLIER, article_id=ELSEWHERE)
    tables.delivery(due_at=NOW, article_id=ELSEWHERE, revision=2)
    tables.delivery(due_at=LATER, article_id=3)
    tables.delivery(due_at=LATEST, article_id=3, revision=2)
    assert try_now(tables) == 2
    assert tables.column("due_at") == [NOW, LATER, EARLIER, NOW, LATER, LATER]


# --- the clock was put back


def test_retry_that_is_due_at_this_moment_keeps_its_time_when_the_clock_is_put_back(
    tables: BareTables,
) -> None:
    embargo(tables, LATER)
    tables.delivery(article_id=3, state="waiting", due_at=NOW)
    due_times.keep_due(tables.connection, from_micros(LATER), now())
    assert tables.column("due_at") == [NOW]


# --- the clock was ahead


def release_late(tables: BareTables) -> int:
    return due_times.release_late(tables.connection, now())


def test_only_news_that_waits_is_late_at_once(tables: BareTables) -> None:
    assert moved(tables, lambda: release_late(tables)) == {"pending"}


@pytest.mark.parametrize(("wait", "count"), [(SECOND, 0), (HOURS_26, 0), (HOURS_26 + 1, 1)])
def test_retry_is_late_if_it_is_put_off_for_longer_than_any_may_be(
    tables: BareTables, wait: int, count: int
) -> None:
    tables.delivery(state="waiting", due_at=NOW + wait)
    assert release_late(tables) == count
    assert tables.column("due_at") == [NOW if count else NOW + wait]


@pytest.mark.parametrize("state", [each for each in STATES if each not in ("pending", "waiting")])
def test_delivery_that_waits_no_more_is_never_late(tables: BareTables, state: str) -> None:
    tables.delivery(state=state, due_at=NOW + HOURS_26 + 1)
    assert release_late(tables) == 0


@pytest.mark.parametrize(("due", "count"), [(NOW, 0), (LATER, 0), (LATEST, 0), (LATEST + 1, 1)])
def test_news_is_late_only_after_its_embargo(tables: BareTables, due: int, count: int) -> None:
    embargo(tables, LATEST)
    tables.delivery(article_id=3, due_at=due)
    assert release_late(tables) == count
    assert tables.column("due_at") == [LATEST if count else due]


def test_retry_is_late_only_after_its_embargo(tables: BareTables) -> None:
    embargo(tables, NOW + 2 * HOURS_26)
    tables.delivery(article_id=3, state="waiting", due_at=NOW + 2 * HOURS_26)
    assert release_late(tables) == 0


# --- an embargo is set, moved or lifted


def follow(tables: BareTables, *articles: int) -> None:
    due_times.follow_embargo(tables.connection, articles, now())


def test_waiting_deliveries_follow_the_embargo_of_its_story(tables: BareTables) -> None:
    embargo(tables, LATEST)
    assert moved(tables, lambda: follow(tables, 3), article_id=3) == {"pending", "waiting"}
    assert tables.column("due_at") == [LATER]  # of the last state


def test_embargo_moves_the_deliveries_of_its_own_articles_alone(tables: BareTables) -> None:
    embargo(tables, LATEST)
    tables.article(4, embargo_until=LATEST)
    for article_id in (1, 3, 4):
        tables.delivery(article_id=article_id, due_at=LATER)
    follow(tables)
    assert tables.column("due_at") == [LATER, LATER, LATER]
    follow(tables, 3)
    assert tables.column("due_at") == [LATER, LATEST, LATER]


@pytest.mark.parametrize(("priority", "due"), [(0, LATER), (1, LATEST), (2, LATEST), (3, LATEST)])
def test_embargo_moves_no_takedown(tables: BareTables, priority: int, due: int) -> None:
    embargo(tables, LATEST)
    tables.delivery(article_id=3, priority=priority, due_at=LATER)
    follow(tables, 3)
    assert tables.column("due_at") == [due]


def test_takedown_that_a_clock_put_off_does_not_follow_an_embargo(tables: BareTables) -> None:
    embargo(tables, EARLIER)
    tables.delivery(article_id=3, priority=0, due_at=LATER)
    follow(tables, 3)
    assert tables.column("due_at") == [LATER]


@pytest.mark.parametrize(
    ("until", "state", "due", "expected"),
    [
        (LATER, "pending", LATEST, LATER),  # it ends sooner than it did
        (LATER, "waiting", LATEST, LATEST),  # a retry keeps its time
        (LATER, "waiting", EARLIER, LATER),
        (EARLIER, "pending", LATER, NOW),  # it was lifted
        (EARLIER, "pending", EARLIER, EARLIER),  # what was due keeps its place
        (EARLIER, "pending", NOW - 2 * SECOND, NOW),
        (EARLIER, "waiting", EARLIER, EARLIER),
        (EARLIER, "waiting", LATER, LATER),
    ],
)
def test_delivery_is_due_when_the_present_embargo_ends(
    tables: BareTables, until: int, state: str, due: int, expected: int
) -> None:
    embargo(tables, until)
    tables.delivery(article_id=3, state=state, due_at=due)
    follow(tables, 3)
    assert tables.column("due_at") == [expected]


# --- back from the wire


def test_deliveries_that_came_back_respect_the_embargo_that_its_story_has_got(tables: BareTables) -> None:
    embargo(tables, LATEST)
    number = tables.delivery(article_id=3)
    respect = lambda: due_times.respect_embargoes(tables.connection, [number])  # noqa: E731
    assert moved(tables, respect) == set()
    found = set()
    for state in STATES:
        tables.set(number, state=state, due_at=LATER)
        respect()
        if tables.value(number, "due_at") == LATEST:
            found.add(state)
    assert found == {"pending", "waiting"}


def test_only_those_that_came_back_respect_an_embargo_and_none_goes_sooner_for_it(tables: BareTables) -> None:
    embargo(tables, LATER)
    one = tables.delivery(article_id=3, due_at=EARLIER)
    tables.delivery(article_id=3, due_at=EARLIER, endpoint_id=ELSEWHERE)
    late = tables.delivery(article_id=3, due_at=LATEST, endpoint_id=3)
    due_times.respect_embargoes(tables.connection, [one, late])
    assert tables.column("due_at") == [LATER, EARLIER, LATEST]


# --- numbers


def test_delivery_without_a_number_gets_its_own_and_keeps_it(tables: BareTables) -> None:
    numbers = [
        tables.delivery(sequence=sequence, revision=revision)
        for revision, sequence in enumerate((-1, 0, 5, -4))
    ]
    due_times.set_numbers(tables.connection, dict(zip(numbers[:3], (7, 8, 9), strict=True)))
    assert tables.column("sequence") == [7, 0, 5, -4]
    due_times.set_numbers(tables.connection, {numbers[0]: 11})
    assert tables.column("sequence") == [7, 0, 5, -4]


def test_no_wait_for_an_outage_is_longer_than_26_hours() -> None:
    assert timedelta(hours=26) == due_times.LONGEST_OUTAGE_WAIT
