"""Row `fairness`: the delay of healthy partners while a tenth of all never answers and a tenth answers 500."""

from __future__ import annotations

from dataclasses import replace

from bench import load
from bench.balance import latencies
from bench.run import Run
from bench.table import Line, at_most_times

SIZE = 6 * 1024
ENDPOINTS = 40
PER_SECOND = 5.0


def measure(run: Run, database: str) -> list[Line]:
    """The healthy partners' p95 amid the trouble; beside it, the same without the trouble."""
    line = Line("fairness", database, "healthy partners' p95 amid trouble", "ms", at_most_times(2))
    for _ in range(run.scaled(2, 1)):
        for into, sick in ((line.bare, 0), (line.ours, ENDPOINTS // 10)):
            p95, void = _p95(run, database, sick)
            into.append(p95 * 1000)
            line.void = line.void or void
    return [line]


def _p95(run: Run, database: str, sick: int) -> tuple[float, str]:
    """The healthy partners' p95 while `sick` others hang and as many fail; and, in words, any imbalance."""
    with run.desk_and_sink(database, misbehaving=True) as (desk, sink, _):
        behaviours = ["hang"] * sick + ["fail"] * sick + ["ok"] * (ENDPOINTS - 2 * sick)
        desk.add_endpoints(sink.url(number, behaviour) for number, behaviour in enumerate(behaviours))
        desk.start()
        wanted = desk.load("f", int(PER_SECOND * run.scaled(10.0, 5.0)), SIZE)
        posted = load.run(replace(wanted, per_second=PER_SECOND))
        desk.wait_delivered(len(posted.accepted) * behaviours.count("ok"))
        arrivals = sink.arrivals()
        balance = desk.balance(len(posted.accepted), ENDPOINTS, arrivals, all_delivered=not sick)
        void = balance.void or (f"{posted.refused} posts were refused" if posted.refused else "")
        return load.percentile(latencies(posted, arrivals), 0.95), void
