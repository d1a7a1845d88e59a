"""Dateline keeps its promises while its parts are killed, stopped and wiped: nothing is lost, nothing is stale."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from threading import Event, Thread

import pytest
import requests

from tests.chaos import ledger
from tests.chaos.conftest import IN_FLIGHT, LONG
from tests.chaos.steps import (
    PATIENCE,
    a_story,
    post_all,
    seconds_until_pushed,
    seen_workers,
    some_stories,
    wait_until_all_is_well,
    wait_until_settled,
    wipe_redis,
    workers,
)
from tests.desk import RunningDesk, eventually
from tests.outlet import Outlet

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.xdist_group("desks")]

# One worker is killed each second; where workers start slowly, this goes on until there were so many kills.
ARTICLES, SECONDS, KILLS = (1200, 60.0, 30) if LONG else (300, 8.0, 6)
KILL_EVERY = 1.0


class Saboteur:
    """Kills the worker that has worked longest, once a second, and wipes Redis twice. It spares starting workers."""

    def __init__(self, desk: RunningDesk) -> None:
        self.kills = 0
        self.wipes = 0
        self._desk = desk
        self._killed_at: dict[str, str] = {}
        self._over = Event()
        self._thread = Thread(target=self._work)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(KILL_EVERY):
            working = self._working()
            if working:
                victim = min(working, key=working.__getitem__)
                self._killed_at[victim] = datetime.now(UTC).isoformat()
                self._desk.kill(victim)
                self.kills += 1
            if self.wipes < 2 and self.kills >= KILLS * (self.wipes + 1) / 3:
                wipe_redis(self._desk)
                self.wipes += 1

    def _working(self) -> dict[str, str]:
        """The workers by their names in `up`, with the time since which each works."""
        started = sorted(
            (each["started_at"], each["name"].partition(".")[0]) for each in seen_workers(self._desk)
        )
        return {name: at for at, name in started if at > self._killed_at.get(name, "")}


@pytest.mark.usefixtures("siege")
def test_the_ledger_balances_after_a_worker_was_killed_each_second_and_redis_wiped_twice(
    desk: RunningDesk, outlet: Outlet
) -> None:
    stories = some_stories(ARTICLES)
    saboteur = Saboteur(desk)
    try:
        post_all(desk, stories, SECONDS)
        eventually(
            lambda: saboteur.kills >= KILLS and saboteur.wipes == 2, within=PATIENCE, what=f"{KILLS} kills"
        )
    finally:
        saboteur.stop()
    wait_until_settled(desk, PATIENCE)

    balance = ledger.read(desk, outlet, stories)
    ledger.assert_nothing_is_lost(balance, stories, desk.endpoints)
    ledger.assert_nothing_is_stale(balance)
    ledger.assert_every_delivery_is_settled(balance)
    repeats = ledger.assert_repeats_are_the_same(balance)
    assert ledger.interrupted(balance) > 0, (
        "no worker was killed while it was sending: the test shows nothing"
    )
    assert repeats <= saboteur.kills * IN_FLIGHT * len(desk.endpoints)
    print(
        f"{saboteur.kills} workers killed, {ledger.interrupted(balance)} pushes cut off, {repeats} repeated"
    )
    assert outlet.refused == []


def test_deliveries_go_on_at_most_three_seconds_late_while_redis_does_not_answer(
    any_desk: RunningDesk, outlet: Outlet
) -> None:
    wait_until_all_is_well(any_desk)
    any_desk.kill("redis", signal.SIGSTOP)
    try:
        for _ in range(3):
            delay = seconds_until_pushed(any_desk, outlet, a_story())
            assert delay < 3
        assert requests.get(f"{any_desk.url}/readyz", timeout=20).status_code == 200
    finally:
        any_desk.kill("redis", signal.SIGCONT)
    wait_until_all_is_well(any_desk)
    assert seconds_until_pushed(any_desk, outlet, a_story()) < 3


def test_a_killed_redis_is_started_again_and_no_push_waits_for_it(
    any_desk: RunningDesk, outlet: Outlet
) -> None:
    wait_until_all_is_well(any_desk)
    killed = any_desk.kill("redis")
    assert seconds_until_pushed(any_desk, outlet, a_story()) < 3
    eventually(lambda: any_desk.children()["redis"] != killed, within=10, what="another Redis")
    wait_until_all_is_well(any_desk)
    assert seconds_until_pushed(any_desk, outlet, a_story()) < 3
    assert "DeprecationWarning" not in any_desk.log()


def test_a_story_is_pushed_though_the_web_is_killed_right_after_its_202(
    any_desk: RunningDesk, outlet: Outlet
) -> None:
    wait_until_all_is_well(any_desk)
    answer = any_desk.post(a_story())
    killed = any_desk.kill("web")
    assert answer.status_code == 202
    article = answer.json()["article"]
    eventually(lambda: len(outlet.of(article)) == len(any_desk.endpoints), within=10, what="its pushes")
    eventually(lambda: any_desk.children()["web"] != killed, within=10, what="another web")
    wait_until_all_is_well(any_desk)
    assert any_desk.get(f"/v1/articles/{article}").json()["revision"] == 1


def test_a_new_worker_pushes_everything_due_within_five_seconds_after_all_workers_died(
    any_desk: RunningDesk, outlet: Outlet
) -> None:
    wait_until_all_is_well(any_desk)
    articles = [any_desk.post(a_story()).json()["article"] for _ in range(5)]
    for name in workers(any_desk):  # while the first stories are on the wire
        any_desk.kill(name)
    articles += [any_desk.post(a_story()).json()["article"] for _ in range(5)]
    wipe_redis(any_desk)
    dead_at = datetime.now(UTC).isoformat()

    def there() -> bool:
        return any(each["running"] and each["started_at"] > dead_at for each in seen_workers(any_desk))

    eventually(there, within=PATIENCE, what="a worker")
    eventually(
        lambda: all(
            {each.path for each in outlet.of(article)} == set(any_desk.endpoints) for article in articles
        ),
        within=5,
        what="every push",
    )
    wait_until_settled(any_desk, within=5)
