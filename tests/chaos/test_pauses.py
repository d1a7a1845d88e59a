"""Parts are stopped for seconds and go on, or are killed while they are stopped."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from tests.chaos import ledger
from tests.chaos.conftest import LONG, WORKERS
from tests.chaos.steps import (
    a_story,
    balance,
    redis_of,
    seconds_until_pushed,
    some_stories,
    under_load,
    wait_until_all_is_well,
    workers,
)
from tests.desk import RunningDesk, eventually
from tests.outlet import Outlet

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.xdist_group("desks")]

ARTICLES = 300 if LONG else 60
REDIS_STANDS = 20.0 if LONG else 5.0
WORKER_STANDS = 8.0  # twice the time after which it is taken for dead
LATE = 3.0  # the longest time that a push takes while Redis is away


def test_workers_take_hints_again_by_themselves_after_redis_stood_still_and_was_killed(
    any_desk: RunningDesk, outlet: Outlet
) -> None:
    wait_until_all_is_well(any_desk)
    stories = some_stories(ARTICLES)
    with under_load(any_desk, stories, REDIS_STANDS):
        until = time.monotonic() + REDIS_STANDS
        standing = any_desk.kill("redis", signal.SIGSTOP)
        try:
            while time.monotonic() < until:
                assert seconds_until_pushed(any_desk, outlet, a_story()) < LATE
        finally:
            os.kill(standing, signal.SIGKILL)
    eventually(lambda: any_desk.children()["redis"] != standing, within=10, what="another Redis")
    wait_until_all_is_well(any_desk)
    with redis_of(any_desk) as client:  # a worker that waits for a hint is a blocked client of Redis
        eventually(
            lambda: client.info("clients")["blocked_clients"] >= WORKERS,
            within=10,
            what="workers that listen",
        )
    balance(any_desk, outlet, stories)


def test_a_worker_that_stood_still_while_sending_sends_nothing_stale_when_it_goes_on(
    sqlite_desk: RunningDesk, outlet: Outlet
) -> None:
    wait_until_all_is_well(sqlite_desk)
    stories = some_stories(ARTICLES)
    with under_load(sqlite_desk, stories, WORKER_STANDS):
        standing = stop_one_that_sends(sqlite_desk)
        try:
            until = time.monotonic() + WORKER_STANDS
            while time.monotonic() < until:
                assert seconds_until_pushed(sqlite_desk, outlet, a_story()) < LATE
        finally:
            os.kill(standing, signal.SIGCONT)
    found = balance(sqlite_desk, outlet, stories)
    assert ledger.interrupted(found) > 0, (
        "no delivery was taken from the stopped worker: the test shows nothing"
    )
    wait_until_all_is_well(sqlite_desk)


def stop_one_that_sends(desk: RunningDesk) -> int:
    """Stops a worker that has pushes on the wire, but not while it holds the file's lock: that would stop everybody."""
    found: list[int] = []

    def stopped() -> bool:
        for name, pid in workers(desk).items():
            os.kill(pid, signal.SIGSTOP)
            if sends(desk, name):
                found.append(pid)
                return True
            os.kill(pid, signal.SIGCONT)
        return False

    eventually(stopped, within=10, what="a worker that sends")
    return found[0]


def sends(desk: RunningDesk, worker: str) -> bool:
    with closing(sqlite3.connect(desk.data_dir / "dateline.db", timeout=0.1, isolation_level=None)) as record:
        try:
            record.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        query = "SELECT count(*) FROM delivery WHERE state = 'sending' AND lease LIKE ?"
        return bool(record.execute(query, [f"{worker}.%"]).fetchone()[0])
