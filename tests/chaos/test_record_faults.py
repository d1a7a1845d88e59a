"""The database is cut off, crashes, runs out of room: every 202 is kept, and posts that cannot be kept are refused."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from service.runtime import supervise
from tests import postgres
from tests.chaos.conftest import LONG
from tests.chaos.steps import (
    PATIENCE,
    a_story,
    balance,
    seconds_until_pushed,
    some_stories,
    under_load,
    wait_until_all_is_well,
    wait_until_settled,
    workers,
)
from tests.desk import RunningDesk, eventually
from tests.outlet import Outlet

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.xdist_group("desks")]

ARTICLES, SECONDS = (300, 20.0) if LONG else (60, 5.0)
STANDS = 12.0 if LONG else 8.0


def test_the_ledger_balances_after_the_connections_were_cut_twice_and_the_database_crashed(
    postgresql_desk: RunningDesk, outlet: Outlet, postgres_server: Any
) -> None:
    wait_until_all_is_well(postgresql_desk)
    postgres.admin(postgres_server, "ALTER SYSTEM SET synchronous_commit = on")  # a commit outlives a crash
    postgres.admin(postgres_server, "SELECT pg_reload_conf()")
    stories = some_stories(ARTICLES)
    with under_load(postgresql_desk, stories, SECONDS) as posts:
        for _ in range(2):
            pushed = len(outlet.pushes)
            postgres.cut_connections(postgres_server, "faults")
            posts.wait_for_a_push(outlet, pushed)
        with postgres.crashed(postgres_server):
            refused = postgresql_desk.post(a_story())
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert "nothing was accepted" in refused.json()["detail"]
    balance(postgresql_desk, outlet, stories)
    wait_until_all_is_well(postgresql_desk)


def test_an_article_is_refused_in_words_and_changes_nothing_while_the_disk_is_full(
    sqlite_desk: RunningDesk, outlet: Outlet
) -> None:
    wait_until_all_is_well(sqlite_desk)
    story, before = a_story(), sqlite_desk.children()
    article = sqlite_desk.post(story).json()["article"]
    with no_room(sqlite_desk):
        for changed in ({**story, "headline": "A newer headline"}, a_story()):
            refused = sqlite_desk.post(changed)
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["Retry-After"]) > 0
            assert "nothing was accepted" in refused.json()["detail"]
        assert sqlite_desk.get(f"/v1/articles/{article}").json()["revision"] == 1
    assert sqlite_desk.get(f"/v1/articles/{article}").json()["revision"] == 1
    wait_until_settled(sqlite_desk, within=20)
    assert sqlite_desk.children() == before, "a part ended because the disk was full"


def test_the_ledger_balances_after_the_disk_was_full_under_load(
    sqlite_desk: RunningDesk, outlet: Outlet
) -> None:
    wait_until_all_is_well(sqlite_desk)
    stories = some_stories(ARTICLES)
    with under_load(sqlite_desk, stories, SECONDS) as posts:
        for _ in range(2):
            pushed = len(outlet.pushes)
            with no_room(sqlite_desk):
                assert sqlite_desk.post(a_story()).status_code == 503
            posts.wait_for_a_push(outlet, pushed)
    balance(sqlite_desk, outlet, stories)


def test_a_part_that_dies_while_the_disk_is_full_ends_no_other_and_works_when_there_is_room_again(
    sqlite_desk: RunningDesk, outlet: Outlet
) -> None:
    wait_until_all_is_well(sqlite_desk)
    before, supervisor = sqlite_desk.children(), supervisor_of(sqlite_desk)
    with no_room(sqlite_desk, supervisor):
        sqlite_desk.kill("w1", signal.SIGKILL)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            assert sqlite_desk.get("/healthz").status_code == 200
            assert sqlite_desk.get("/feeds/world.rss").status_code == 200
            time.sleep(0.2)
    for pid in children_of(supervisor):  # those started meanwhile have the limit of their parent
        resource.prlimit(pid, resource.RLIMIT_FSIZE, resource.prlimit(supervisor, resource.RLIMIT_FSIZE))
    # The state file is written again within a second; until then it names the worker that died.
    eventually(lambda: sqlite_desk.children() != before, within=PATIENCE, what="the new worker in up.json")
    wait_until_all_is_well(sqlite_desk)
    after = sqlite_desk.children()
    assert {name for name in before if before[name] != after[name]} == {"w1"}
    assert seconds_until_pushed(sqlite_desk, outlet, a_story()) < 10


def supervisor_of(desk: RunningDesk) -> int:
    state = supervise.read_state(desk.data_dir)
    assert state is not None
    return int(state["pid"])


def test_a_database_that_stands_still_holds_neither_the_web_nor_the_workers(
    postgresql_desk: RunningDesk, outlet: Outlet, postgres_server: Any
) -> None:
    wait_until_all_is_well(postgresql_desk)
    before = postgresql_desk.children()
    with postgres.standing_still(postgres_server), ThreadPoolExecutor(24) as newsrooms:
        until = time.monotonic() + STANDS
        posts = [newsrooms.submit(postgresql_desk.post, a_story()) for _ in range(24)]
        for each in posts:
            refused = each.result(timeout=STANDS)
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
        while time.monotonic() < until:
            asked = time.monotonic()
            assert postgresql_desk.get("/healthz").status_code == 200
            assert postgresql_desk.get("/feeds/world.rss").status_code == 200
            assert postgresql_desk.post(a_story()).status_code == 503
            assert time.monotonic() - asked < 6
    wait_until_all_is_well(postgresql_desk)
    assert postgresql_desk.children() == before, "a part ended because the database stood still"
    assert seconds_until_pushed(postgresql_desk, outlet, a_story()) < 10


@contextmanager
def no_room(desk: RunningDesk, *others: int) -> Iterator[None]:
    """Keeps the processes that write to the record from writing to any file, their logs included."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("only Linux can limit a running process")
    parts = [desk.children()["web"], *workers(desk).values()]
    pids = [*others, *(pid for part in parts for pid in (part, *children_of(part)))]
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    try:
        for pid, (_, hard) in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        yield
    finally:
        for pid, limit in limits.items():
            with suppress(ProcessLookupError):  # it was ended by the test
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


def children_of(pid: int) -> list[int]:
    """The processes below this one: the web answers from such a process."""
    lists = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for line in lists for child in line.split()]
