"""Due times move where an endpoint is back and where the clock was put back, and nowhere else."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from service.store.database.record import Record
from service.store.deliveries import due_times, routing
from service.store.deliveries.states import State
from tests.builders import NOW, a_desk, an_article, an_endpoint, later, post
from tests.delivery_rows import add_attempt, deliveries, ids_of, one_delivery, set_article, set_delivery

STATES = [each.value for each in State]
MINUTE, HOUR = later(60), later(3600)


@pytest.fixture
def first(record: Record) -> int:
    """The first of four deliveries, each due in an hour: of two stories at two endpoints."""
    source = a_desk(record)
    for _ in range(2):
        an_endpoint(record)
    for number in range(2):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    for each in ids_of(record):
        set_delivery(record, each, state="waiting", due_at=HOUR, attempts=3)
    return ids_of(record)[0]


def due(record: Record, number: int) -> datetime:
    ((moment,)) = one_delivery(record, number, "due_at")
    assert isinstance(moment, datetime)
    return moment


# An endpoint is back.


def hasten(record: Record, number: int, now: datetime = MINUTE) -> None:
    ((endpoint_id,)) = one_delivery(record, number, "endpoint_id")
    with record.writing() as connection:
        due_times.hasten(connection, endpoint_id, now)


def an_attempt(record: Record, delivery_id: int, **columns: Any) -> None:
    values = {"number": 3, "started_at": NOW, "outcome": "timeout", "words": "was slow", "worker": "w1.test"}
    add_attempt(record, delivery_id, **values | columns)


def test_delivery_that_an_outage_put_off_is_due_as_soon_as_its_endpoint_is_back(
    record: Record, first: int
) -> None:
    hasten(record, first)
    assert deliveries(record, "due_at") == [(MINUTE,), (HOUR,), (MINUTE,), (HOUR,)]
    assert one_delivery(record, first, "state") == ("waiting",)


def test_only_what_waits_for_a_retry_is_hastened(record: Record, first: int) -> None:
    hastened = set()
    for state in STATES:
        set_delivery(record, first, state=state, due_at=HOUR)
        hasten(record, first)
        if due(record, first) == MINUTE:
            hastened.add(state)
    assert hastened == {"waiting"}


def test_delivery_that_is_due_already_keeps_its_time(record: Record, first: int) -> None:
    set_delivery(record, first, due_at=NOW)
    hasten(record, first)
    assert due(record, first) == NOW


@pytest.mark.parametrize("status", [None, 200, 302, 399, 408, 425, 429, 500, 503])
def test_failure_that_an_outage_explains_is_hastened(record: Record, first: int, status: int | None) -> None:
    set_delivery(record, first, last_status=status)
    hasten(record, first)
    assert due(record, first) == MINUTE


@pytest.mark.parametrize("status", [400, 401, 404, 407, 409, 424, 426, 428, 430, 499])
def test_refusal_keeps_its_time(record: Record, first: int, status: int) -> None:
    set_delivery(record, first, last_status=status)
    hasten(record, first)
    assert due(record, first) == HOUR


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_last_answer_that_asked_to_wait_is_obeyed(record: Record, first: int, name: str) -> None:
    an_attempt(record, first, response_headers=f'[["Server", "x"], ["{name}", "3600"]]')
    hasten(record, first)
    assert due(record, first) == HOUR


@pytest.mark.parametrize("headers", [None, "[]", '[["Server", "retry"], ["X-After", "1"]]'])
def test_last_answer_that_did_not_ask_to_wait_holds_nothing_up(
    record: Record, first: int, headers: str | None
) -> None:
    an_attempt(record, first, response_headers=headers)
    hasten(record, first)
    assert due(record, first) == MINUTE


@pytest.mark.parametrize("number", [1, 2])
def test_wish_to_wait_of_an_earlier_answer_holds_nothing_up(record: Record, first: int, number: int) -> None:
    an_attempt(record, first, number=number, response_headers='[["Retry-After", "3600"]]')
    hasten(record, first)
    assert due(record, first) == MINUTE


def test_wish_to_wait_of_another_delivery_holds_nothing_up(record: Record, first: int) -> None:
    an_attempt(record, ids_of(record)[1], response_headers='[["Retry-After", "3600"]]')
    hasten(record, first)
    assert due(record, first) == MINUTE


# The clock was put back.


def put_back(record: Record, was: datetime, now: datetime) -> int:
    with record.writing() as connection:
        return due_times.keep_due(connection, was, now)


@pytest.fixture
def news(record: Record, first: int) -> int:
    """The first delivery waits for its first attempt, and those beside it for another."""
    set_delivery(record, first, state="pending", due_at=HOUR)
    return first


def test_news_that_was_due_is_due_still_when_the_clock_is_put_back(record: Record, news: int) -> None:
    assert put_back(record, later(1860), MINUTE) == 1
    retry = later(1800)  # half an hour earlier, as the clock is
    assert deliveries(record, "due_at") == [(MINUTE,), (retry,), (retry,), (retry,)]


@pytest.mark.parametrize("seconds", [3600.0, 3601.0])
def test_retry_that_was_due_is_due_still_when_the_clock_is_put_back(
    record: Record, news: int, seconds: float
) -> None:
    assert put_back(record, later(seconds), MINUTE) == 1
    assert deliveries(record, "due_at") == [(MINUTE,)] * 4


def test_retry_goes_as_long_after_this_as_it_would_have_gone(record: Record, first: int) -> None:
    assert put_back(record, later(3599), MINUTE) == 0
    assert deliveries(record, "due_at") == [(later(61),)] * 4


def test_retry_that_is_due_keeps_its_time_when_the_clock_is_put_back(record: Record, first: int) -> None:
    set_delivery(record, first, due_at=later(59))
    put_back(record, HOUR, MINUTE)
    assert due(record, first) == later(59)


def test_retry_waits_for_the_embargo_of_its_story_when_the_clock_is_put_back(
    record: Record, first: int
) -> None:
    ((article_id,)) = one_delivery(record, first, "article_id")
    set_article(record, article_id, embargo_until=later(900))
    put_back(record, HOUR, MINUTE)
    assert due(record, first) == later(900)


def test_only_what_waits_is_due_still(record: Record, news: int) -> None:
    found = set()
    for state in STATES:
        set_delivery(record, news, state=state, due_at=HOUR)
        put_back(record, later(3601), MINUTE)
        if due(record, news) == MINUTE:
            found.add(state)
    assert found == {"pending", "waiting"}


# News waits for nothing but an embargo: what is due later without one was put off by the clock, however far ahead that
# was when nobody looked.
@pytest.mark.parametrize(
    ("seconds", "count"), [(59.9, 0), (60.0, 0), (60.1, 1), (3599.9, 1), (3600.0, 1), (3600.1, 1)]
)
def test_only_news_that_is_not_due_now_moves(record: Record, news: int, seconds: float, count: int) -> None:
    set_delivery(record, news, due_at=later(seconds))
    assert put_back(record, later(3600), MINUTE) == count
    assert due(record, news) == (MINUTE if count else later(seconds))


@pytest.mark.parametrize(
    ("embargo", "moment"), [(59.0, MINUTE), (60.0, MINUTE), (61.0, later(61)), (900.0, later(900))]
)
def test_embargo_of_its_story_keeps_its_time(
    record: Record, news: int, embargo: float, moment: datetime
) -> None:
    ((article_id,)) = one_delivery(record, news, "article_id")
    set_article(record, article_id, embargo_until=later(embargo))
    put_back(record, HOUR, MINUTE)
    assert due(record, news) == moment


def test_news_whose_time_is_the_end_of_its_embargo_is_not_counted_as_moved(record: Record, news: int) -> None:
    ((article_id,)) = one_delivery(record, news, "article_id")
    set_article(record, article_id, embargo_until=HOUR)
    assert put_back(record, later(3601), MINUTE) == 0
    assert due(record, news) == HOUR


@pytest.mark.parametrize(
    ("priority", "moment"), [(0, MINUTE), (1, later(900)), (2, later(900)), (3, later(900))]
)
def test_embargo_holds_up_no_takedown(record: Record, news: int, priority: int, moment: datetime) -> None:
    ((article_id,)) = one_delivery(record, news, "article_id")
    set_article(record, article_id, embargo_until=later(900))
    set_delivery(record, news, priority=priority)
    put_back(record, HOUR, MINUTE)
    assert due(record, news) == moment


def test_embargo_of_another_story_holds_nothing_up(record: Record, news: int) -> None:
    for number in {each for (each,) in deliveries(record, "article_id")}:
        set_article(record, number, embargo_until=later(900))
    ((article_id,)) = one_delivery(record, news, "article_id")
    set_article(record, article_id, embargo_until=None)
    put_back(record, HOUR, MINUTE)
    assert due(record, news) == MINUTE
