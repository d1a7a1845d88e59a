"""One thread does the work; a wish that comes meanwhile is heeded by that thread, and none is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from workers.single_flight import SingleFlight

SOON = 10.0  # seconds


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


class HeldWork:
    """Work that waits in its first run until the test lets it go on."""

    def __init__(self) -> None:
        self.runs = 0
        self.begun = threading.Event()
        self.goes_on = threading.Event()

    def __call__(self) -> int:
        self.runs += 1
        self.begun.set()
        assert self.goes_on.wait(SOON)
        return 1


def test_the_work_is_done_once_and_its_amount_returned() -> None:
    assert SingleFlight(lambda: 7).run() == 7


def test_many_wishes_during_a_run_make_one_more_run_of_the_thread_at_work(pool: ThreadPoolExecutor) -> None:
    work = HeldWork()
    flight = SingleFlight(work)
    first = pool.submit(flight.run)
    assert work.begun.wait(SOON)
    assert [flight.run() for _ in range(5)] == [0] * 5
    work.goes_on.set()
    assert first.result(SOON) == 2
    assert work.runs == 2


def test_a_wish_reaches_a_thread_that_waits_within_its_work(pool: ThreadPoolExecutor) -> None:
    waiting, interrupted = threading.Event(), threading.Event()

    def work() -> int:
        waiting.set()
        assert interrupted.wait(SOON)
        return 1

    flight = SingleFlight(work, interrupt=interrupted.set)
    running = pool.submit(flight.run)
    assert waiting.wait(SOON)
    assert flight.run() == 0
    assert running.result(SOON) == 2


def test_a_request_is_heeded_by_the_thread_at_work_and_else_left_to_the_caller(
    pool: ThreadPoolExecutor,
) -> None:
    work = HeldWork()
    flight = SingleFlight(work)
    assert not flight.request()
    running = pool.submit(flight.run)
    assert work.begun.wait(SOON)
    assert flight.request()
    work.goes_on.set()
    assert running.result(SOON) == 2
    assert not flight.request()


def test_a_wish_that_the_work_takes_itself_makes_no_further_run() -> None:
    wishes: list[bool] = []

    def work() -> int:
        wishes.append(flight.take_wish())
        flight.request()
        wishes.append(flight.take_wish())
        return 1

    flight = SingleFlight(work)
    assert flight.run() == 1
    assert wishes == [False, True]


def test_work_may_wish_for_one_more_run_of_itself() -> None:
    left = [3]

    def work() -> int:
        left[0] -= 1
        if left[0]:
            flight.request()
        return 1

    flight = SingleFlight(work)
    assert flight.run() == 3


def test_work_that_fails_does_not_keep_the_next_from_running() -> None:
    results = iter([True, False])

    def work() -> int:
        if next(results):
            raise OSError("the record is away")
        return 1

    flight = SingleFlight(work)
    with pytest.raises(OSError, match="the record is away"):
        flight.run()
    assert flight.run() == 1


def test_a_wait_ends_with_the_next_wish_and_a_pause_only_with_the_stop(pool: ThreadPoolExecutor) -> None:
    paused = threading.Event()

    def work() -> int:
        flight.wait(60.0)
        paused.set()
        flight.pause(60.0)
        return 1

    flight = SingleFlight(work)
    running = pool.submit(flight.run)
    while not paused.is_set():
        flight.request()
    flight.request()
    assert not running.done()
    flight.stop()
    assert running.result(SOON) == 1


def test_nothing_begins_after_the_stop_and_closing_waits_for_the_run_at_hand(
    pool: ThreadPoolExecutor,
) -> None:
    work = HeldWork()
    flight = SingleFlight(work)
    running = pool.submit(flight.run)
    assert work.begun.wait(SOON)
    flight.run()  # a wish
    flight.stop()
    assert flight.stopped()
    assert not flight.close(0.01)
    work.goes_on.set()
    assert running.result(SOON) == 1
    assert flight.close(SOON)
    assert flight.run() == 0


def test_no_wish_of_many_threads_is_lost(pool: ThreadPoolExecutor) -> None:
    """After every wish there is a run that began after it."""
    asked = 0
    seen = 0
    counting = threading.Lock()

    def work() -> int:
        nonlocal seen
        seen = asked
        return 1

    flight = SingleFlight(work)

    def ask() -> None:
        nonlocal asked
        for _ in range(500):
            with counting:
                asked += 1
            flight.run()

    for each in [pool.submit(ask) for _ in range(8)]:
        each.result(60)
    assert seen == asked == 4000
