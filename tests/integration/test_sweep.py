"""The sweep finds, mends and reports without a hint, whatever is done to the time of day."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import structlog.testing
from sqlalchemy import text

from service.store import notices
from service.store.coordination import heartbeats, leases
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.views.pipeline import workers_now
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, later, post
from tests.integration.test_notices import switch_off
from tests.seeded import WORKER, claim_all, deliver_all
from tests.worker import a_runner
from workers.hints.broker import BrokerState
from workers.leader import Clocks
from workers.net.transport import Timeouts
from workers.sweep import Sweep


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def partner() -> Iterator[tuple[str, list[str]]]:
    """A partner that takes everything: its URL, and the ids it took."""
    taken: list[str] = []

    class PartnerHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            taken.append(self.headers["webhook-id"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), PartnerHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", taken
        server.shutdown()
        thread.join()


def test_idle_worker_delivers_though_another_one_leads_and_took_the_hint(
    record: Record, partner: tuple[str, list[str]]
) -> None:
    url, taken = partner
    source = a_desk(record)
    an_endpoint(record, url=url)
    post(record, source, an_article(), now=now())
    routing.route(record, now())
    assert leases.acquire(record, "sweep", "the-leader", now=now(), lasts=timedelta(minutes=1))
    hints: list[str] = []
    runner = a_runner(record, "idle", Clocks(now), lambda task, _: hints.append(task))
    broker = BrokerState(lambda: "up", hints.append)
    sweep = Sweep(record, runner, "idle", broker=broker, notify=lambda: None, clocks=Clocks(now))
    sweep.run_once()
    deadline = time.monotonic() + 10
    while not taken and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    runner.close()
    assert len(taken) == 1
    assert hints == []  # it is for the leader to hint at the work


class MachineClock:
    """A machine's time as the test sets it: the time of day, and `steady`, which nobody can put back."""

    def __init__(self) -> None:
        self.now = NOW
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return self.now

    def steady(self) -> float:
        return self.seconds

    def go_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds

    def put_back(self, seconds: float) -> None:
        self.now -= timedelta(seconds=seconds)


@contextmanager
def a_sweep(
    record: Record, clock: MachineClock, notify: Callable[[], None] = lambda: None
) -> Iterator[Sweep]:
    """The sweep of a worker that can reach 127.0.0.1 alone."""
    clocks = Clocks(clock, clock.steady)
    runner = a_runner(record, "leader", clocks, timeouts=Timeouts(connect=0.5))
    broker = BrokerState(lambda: "up", lambda _: None)
    yield Sweep(record, runner, "leader", broker=broker, notify=notify, clocks=clocks)
    runner.close()


def names(record: Record) -> set[str]:
    return {each.name for each in workers_now(record)}


def test_workers_that_died_are_removed_after_an_hour_and_those_that_live_are_not(record: Record) -> None:
    clock = MachineClock()
    heartbeats.heartbeat(record, "dead", broker="up", now=NOW)
    heartbeats.heartbeat(record, "behind", broker="up", now=later(-7200))
    heartbeats.heartbeat(record, "dead ahead", broker="up", now=later(7300))
    with a_sweep(record, clock) as sweep:
        for _ in range(3):
            sweep.run_once()
            clock.go_on(15)
            heartbeats.heartbeat(record, "behind", broker="up", now=clock.now - timedelta(hours=2))
        assert names(record) == {"leader", "dead", "behind"}
        clock.go_on(3600)
        for _ in range(2):
            sweep.run_once()
            clock.go_on(15)
            heartbeats.heartbeat(record, "behind", broker="up", now=clock.now - timedelta(hours=2))
    assert names(record) == {"leader", "behind"}


def test_news_that_was_due_goes_out_though_the_clock_was_put_back_and_embargoes_keep_their_time(
    record: Record,
) -> None:
    clock = MachineClock()
    source = a_desk(record)
    an_endpoint(record, max_in_flight=8)
    post(record, source, an_article(external_id="news"))
    post(record, source, an_article(external_id="secret", embargo_until=later(1800)))
    post(
        record, source, an_article(external_id="open at eight", embargo_until=later(-1800)), now=later(-3000)
    )
    routing.route(record, NOW)
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    with a_sweep(record, clock) as sweep:
        sweep.run_once()
        clock.go_on(1)
        clock.put_back(3600)
        assert claim_all(record, clock.now) == []
        sweep.run_once()
    claimed = claim_all(record, clock.now)
    assert [external_id(record, each.article_id) for each in claimed] == ["news"]
    assert [external_id(record, each.article_id) for each in claim_all(record, later(-1800))] == [
        "open at eight"
    ]
    assert claim_all(record, later(1799)) == []
    assert [external_id(record, each.article_id) for each in claim_all(record, later(1800))] == ["secret"]


def test_a_kill_is_not_held_by_the_embargo_of_its_story_when_the_clock_was_put_back(record: Record) -> None:
    clock = MachineClock()
    source = a_desk(record)
    an_endpoint(record)
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    post(record, source, an_article(embargo_until=later(-60)), now=later(-120))
    deliver_all(record, NOW)
    post(record, source, a_takedown())
    routing.route(record, NOW)
    with a_sweep(record, clock) as sweep:
        sweep.run_once()
        clock.put_back(3600)
        sweep.run_once()
    assert [each.priority for each in claim_all(record, clock.now)] == [0]


def test_a_clock_that_is_only_being_adjusted_changes_nothing(record: Record) -> None:
    clock = MachineClock()
    source = a_desk(record)
    an_endpoint(record)
    post(record, source, an_article())
    routing.route(record, NOW)
    with a_sweep(record, clock) as sweep:
        sweep.run_once()
        clock.put_back(1.5)
        sweep.run_once()
    assert claim_all(record, later(-0.5)) == []
    assert len(claim_all(record, NOW)) == 1


class StandingClock(MachineClock):
    """The machine stands still for some seconds at a chosen reading of one of its clocks."""

    def __init__(self, at_reading: int, seconds: float) -> None:
        super().__init__()
        self.at_reading, self.for_seconds = at_reading, seconds
        self.readings = 0

    def __call__(self) -> datetime:
        self._stand()
        return super().__call__()

    def steady(self) -> float:
        self._stand()
        return super().steady()

    def _stand(self) -> None:
        self.readings += 1
        if self.readings == self.at_reading:
            self.go_on(self.for_seconds)


@pytest.mark.parametrize("reading", range(1, 21))
def test_a_worker_that_stands_still_between_two_looks_at_its_clocks_raises_no_alarm(
    sqlite_record: Record, reading: int
) -> None:
    clock = StandingClock(reading, 30)
    with a_sweep(sqlite_record, clock) as sweep, structlog.testing.capture_logs() as lines:
        for _ in range(4):
            sweep.run_once()
            clock.go_on(1)
    assert "clock.put_back" not in [each["event"] for each in lines]
    assert clock.readings >= reading


def test_a_sweep_that_waits_long_for_the_record_raises_no_alarm_and_a_real_one_is_raised(
    sqlite_record: Record,
) -> None:
    clock = MachineClock()
    clocks = Clocks(clock, clock.steady)
    runner = a_runner(sqlite_record, "leader", clocks)

    def state() -> str:
        clock.go_on(9)  # what comes before the first statement may take long, and each statement too
        return "up"

    broker = BrokerState(state, lambda _: None)
    sweep = Sweep(sqlite_record, runner, "leader", broker=broker, notify=lambda: None, clocks=clocks)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            sweep.run_once()
        assert "clock.put_back" not in [each["event"] for each in lines]
        clock.put_back(60)
        sweep.run_once()
    runner.close()
    assert [each["seconds"] for each in lines if each["event"] == "clock.put_back"] == [pytest.approx(60)]


def external_id(record: Record, article_id: int) -> str:
    with record.reading() as connection:
        query = text("SELECT external_id FROM article WHERE id = :id")
        return str(connection.execute(query, {"id": article_id}).scalar_one())


def test_new_endpoint_is_filled_by_the_sweep_without_anybody_asking(
    record: Record, partner: tuple[str, list[str]]
) -> None:
    url, taken = partner
    clock = MachineClock()
    source = a_desk(record)
    for number in range(3):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    an_endpoint(record, url=url, backfill_since=NOW)
    with a_sweep(record, clock) as sweep:
        deadline = time.monotonic() + 10
        while len(taken) < 3 and time.monotonic() < deadline:
            sweep.run_once()
            clock.go_on(1)
            threading.Event().wait(0.02)
    assert len(set(taken)) == 3


def test_the_sweep_reports_a_takedown_that_nobody_confirms_within_seconds_of_the_quarter_hour(
    record: Record,
) -> None:
    clock = MachineClock()
    notified: list[datetime] = []
    source = a_desk(record)
    endpoint = an_endpoint(record)
    heartbeats.heartbeat(record, WORKER, broker="up", now=NOW)
    post(record, source, an_article())
    deliver_all(record, NOW)
    post(record, source, a_takedown())
    routing.route(record, NOW)
    switch_off(record, endpoint.id)
    with a_sweep(record, clock, notify=lambda: notified.append(clock.now)) as sweep:
        clock.go_on(890)
        while "takedown.late" not in [each.kind for each in notices.latest(record)]:
            sweep.run_once()
            clock.go_on(1)
            assert clock.now < later(950)
        raised_at = clock.now
        sweep.run_once()
    assert raised_at >= later(900)
    assert notified[-1] == raised_at
