"""Two machines that do not agree on the time, by half a minute each way: nothing lost, stale, or owned by both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from service.runtime.celery_app import DELIVER
from service.store.articles.sources import Source
from service.store.coordination import heartbeats, leases
from service.store.database.record import Record, open_record
from service.store.deliveries import claims, routing, settlements
from service.store.deliveries.claims import ClaimedDelivery, Cursor
from tests.builders import NOW, SECRET, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.desk import eventually
from tests.outlet import Outlet
from tests.seeded import a_settlement
from tests.worker import a_runner
from workers.hints.broker import BrokerState
from workers.leader import Clocks, LeaderLease
from workers.sweep import Sweep

AHEAD, BEHIND = 30.0, -30.0
LASTS = timedelta(seconds=3)


class OffClock:
    """This machine's time, `off` by so many seconds."""

    def __init__(self, off: float) -> None:
        self.off = off

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.off)


class Hours:
    """Time that stands until the test moves it: a time of day that is `off`, and a steady one."""

    def __init__(self, off: float = 0.0) -> None:
        self.seconds = 0.0
        self.off = off

    def __call__(self) -> datetime:
        return later(self.seconds + self.off)

    def steady(self) -> float:
        return self.seconds


def test_the_living_keep_their_leases_and_the_dead_do_not_whichever_clock_is_ahead(record: Record) -> None:
    for dead, off in (("ahead", 60.0), ("far ahead", 3600.0)):
        first, second = Hours(off), Hours()
        leader = LeaderLease(record, Clocks(first, first.steady))
        other = LeaderLease(record, Clocks(second, second.steady))
        assert leader.acquire("sweep", dead, LASTS)
        for second_of in range(1, 20):
            first.seconds = second.seconds = second_of
            assert leader.acquire("sweep", dead, LASTS)
            assert not other.acquire("sweep", "behind", LASTS)
        taken = []
        for second_of in range(20, 26):  # the leader is dead
            second.seconds = second_of
            taken.append(other.acquire("sweep", "behind", LASTS))
        assert taken == [False, False, False, False, True, True]
        leases.release(record, "sweep", "behind")


def test_a_lease_that_was_renewed_at_the_last_moment_is_not_taken_over(record: Record) -> None:
    assert leases.acquire(record, "sweep", "one", now=later(60), lasts=LASTS)
    seen = leases.find(record, "sweep")
    assert seen is not None
    assert leases.acquire(record, "sweep", "one", now=later(61), lasts=LASTS)
    assert not leases.take_over(record, seen, "two", now=NOW, lasts=LASTS)


class Machine:
    """A worker with a clock of its own, and what it needs to do all its work."""

    def __init__(self, name: str, record: Record, clock: OffClock, hint: Callable[[str], None]) -> None:
        self.name, self.record, self.clock = name, record, clock
        self.runner = a_runner(record, name, Clocks(clock), lambda task, _after: hint(task))
        self.sweep = Sweep(
            record,
            self.runner,
            name,
            broker=BrokerState(lambda: "up", hint),
            notify=lambda: None,
            clocks=Clocks(clock),
        )

    def close(self) -> None:
        self.runner.close()
        self.sweep.close()
        self.record.close()


@contextmanager
def machines(record: Record) -> Iterator[tuple[Machine, Machine]]:
    """Two at work on the same record, one ahead and one behind."""
    url = record.engine.url.render_as_string(hide_password=False)
    found: list[Machine] = []

    def hint(task: str) -> None:
        for each in found:
            each.runner.start(task)

    for name, off in (("ahead", AHEAD), ("behind", BEHIND)):
        opened = open_record(url, Fernet.generate_key().decode())
        opened.keyring = record.keyring
        found.append(Machine(name, opened, OffClock(off), hint))
    try:
        yield found[0], found[1]
    finally:
        for each in found:
            each.close()


def rows(record: Record, query: str) -> list[Any]:
    with record.reading() as connection:
        return list(connection.execute(text(query)).all())


def one_on_the_wire(record: Record, worker: str, now: datetime) -> ClaimedDelivery:
    source = a_desk(record)
    an_endpoint(record, url="https://127.0.0.1:9/")
    heartbeats.heartbeat(record, worker, broker="up", now=now)
    post(record, source, an_article(), now=now)
    routing.route(record, now)
    [claimed] = claims.claim(record, lease=worker, limit=9, cursor=Cursor(), now=now)[0]
    return claimed


def states(record: Record) -> list[str]:
    return [row.state for row in rows(record, "SELECT state FROM delivery ORDER BY id")]


@contextmanager
def a_looking_sweep(record: Record, hours: Hours) -> Iterator[Sweep]:
    clocks = Clocks(hours, hours.steady)
    runner = a_runner(record, "looks", clocks)
    broker = BrokerState(lambda: "up", lambda _: None)
    yield Sweep(record, runner, "looks", broker=broker, notify=lambda: None, clocks=clocks)
    runner.close()


@pytest.mark.parametrize("off", [AHEAD, BEHIND])
def test_a_push_stays_its_living_workers_and_is_free_soon_after_its_death(record: Record, off: float) -> None:
    theirs, ours = Hours(off), Hours()
    claimed = one_on_the_wire(record, "theirs", theirs())
    with a_looking_sweep(record, ours) as sweep:
        for second in range(20):
            theirs.seconds = ours.seconds = second
            heartbeats.heartbeat(record, "theirs", broker="up", now=theirs())
            sweep.run_once()
            assert states(record) == ["sending"]
        died_at = ours.seconds
        while states(record) == ["sending"]:
            ours.seconds += 1
            sweep.run_once()
            assert ours.seconds < died_at + 7
    assert states(record) == ["waiting"]
    late = a_settlement(claimed, "delivered", "took it", theirs())
    assert settlements.settle(record, [late], lease="theirs", now=theirs()) == set()


def test_pushes_of_a_leader_whose_clock_was_ahead_are_free_soon_after_its_death(record: Record) -> None:
    theirs, ours = Hours(AHEAD), Hours(BEHIND)
    one_on_the_wire(record, "theirs", theirs())
    assert leases.acquire(record, "sweep", "theirs", now=theirs(), lasts=LASTS)
    with a_looking_sweep(record, ours) as sweep:
        while states(record) == ["sending"]:
            sweep.run_once()
            ours.seconds += 1
            assert ours.seconds < 8
    held = leases.find(record, "sweep")
    assert held is not None
    assert held.holder == "looks"


def test_nothing_is_lost_stale_or_twice_though_two_machines_disagree_by_a_minute_and_then_the_other_way_round(
    record: Record,
) -> None:
    source = a_desk(record)
    with Outlet(seconds=0.02) as outlet:
        for path in ("/one", "/two"):
            outlet.secrets[path] = SECRET
            an_endpoint(record, url=outlet.url(path))
        with machines(record) as (ahead, behind):
            for each in (ahead, behind):  # each has its part, however fast the other is
                post(record, source, an_article(external_id=each.name), now=datetime.now(UTC))
                routing.route(record, each.clock())
                each.runner.do(DELIVER)
            for each in (ahead, behind):
                each.sweep.start()
            post_some(record, source, "before")
            eventually(lambda: len(outlet.pushes) > 10, within=15, what="the first pushes")
            ahead.clock.off, behind.clock.off = BEHIND, AHEAD
            post_some(record, source, "after")
            eventually(lambda: all_settled(record), within=30, what="all settled")
        assert len({each.id for each in outlet.pushes}) == len(outlet.pushes)
        assert outlet.refused == []
        newest = dict(tuple(row) for row in rows(record, "SELECT public_id, revision FROM article"))
        killed = {row[0] for row in rows(record, "SELECT public_id FROM article WHERE status = 'killed'")}
        for path in outlet.secrets:
            for article, revision in newest.items():
                came = [each.data["revision"] for each in outlet.of(article, path)]
                assert came == sorted(came)
                # A story killed before anything of it was sent there is not taken back.
                assert came[-1:] == [revision] or (not came and article in killed), (path, article, came)
    assert {row.worker for row in rows(record, "SELECT DISTINCT worker FROM attempt")} == {"ahead", "behind"}
    assert rows(record, "SELECT id FROM attempt WHERE outcome <> 'delivered'") == []


def post_some(record: Record, source: Source, prefix: str) -> None:
    """Stories in up to three revisions, one after another, every tenth killed; over a second."""
    for revision in range(3):
        for number in range(30):
            if number % (revision + 1) == 0:
                story = an_article(external_id=f"{prefix}{number}", headline=f"Version {revision}")
                post(record, source, story, now=datetime.now(UTC))
        time.sleep(0.3)  # the newsroom's own pace
    for number in range(0, 30, 10):
        post(record, source, a_takedown(external_id=f"{prefix}{number}"), now=datetime.now(UTC))


def all_settled(record: Record) -> bool:
    """Every event is routed, and every delivery ended."""
    unrouted = rows(record, "SELECT id FROM event WHERE routed_at IS NULL")
    return not unrouted and set(states(record)) <= {"delivered", "superseded", "cancelled"}
