"""Row `killed`: all workers are killed amid a backlog of 2,000 pushes, and started again at once."""

from __future__ import annotations

import time

from sqlalchemy import text

from bench.desk import BenchDesk
from bench.processes import Failed
from bench.run import Run
from bench.sink import Sink
from bench.table import Line, at_most

SIZE = 6 * 1024
ENDPOINTS, ARTICLES = 20, 100
UNDER_WAY_WITHIN = 30.0  # seconds
_UNDER_WAY = text("SELECT 1 FROM delivery WHERE state = 'sending' LIMIT 1")


def measure(run: Run, database: str) -> list[Line]:
    """Beside it the same backlog without a kill, from the same moment: when the first are on the wire."""
    backlog = ENDPOINTS * ARTICLES
    line = Line("killed", database, f"a backlog of {backlog:,}: kill to the last arrival", "s", at_most(5))
    with run.desk_and_sink(database) as (desk, sink, _):
        desk.add_endpoints([sink.url(number) for number in range(ENDPOINTS)])
        desk.hold()
        desk.start()
        for number in run.rounds():
            for killed in (False, True):
                last, void = _last_arrival(desk, sink, f"r{number}{killed}", killed=killed)
                (line.ours if killed else line.bare).append(last)
                line.void = line.void or void
    return [line]


def _last_arrival(desk: BenchDesk, sink: Sink, name: str, *, killed: bool) -> tuple[float, str]:
    """The seconds until the last push of the backlog arrived for the first time; why the round is void."""
    desk.hold()
    desk.feed(name, ARTICLES, SIZE)
    desk.release()
    _wait_until_under_way(desk)
    began = desk.replace_workers() if killed else time.time()
    desk.wait_settled()
    arrivals = sink.arrivals()
    first: dict[str, float] = {}
    for at, delivery, _ in arrivals:
        first.setdefault(delivery, at)
    balance = desk.balance(ARTICLES, ENDPOINTS, arrivals)
    return max(first.values()) - began, balance.void


def _wait_until_under_way(desk: BenchDesk) -> None:
    deadline = time.monotonic() + UNDER_WAY_WITHIN
    while time.monotonic() < deadline:
        with desk.record.reading() as connection:
            if connection.execute(_UNDER_WAY).first():
                return
        time.sleep(0.002)
    raise Failed(f"nothing was sent within {UNDER_WAY_WITHIN:g} s")
