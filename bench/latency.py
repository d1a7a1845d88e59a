"""Row `latency`: from the time a post is due to its arrival at a partner, on an idle desk and at half its capacity."""

from __future__ import annotations

from dataclasses import replace

from bench import bare_push, load
from bench.balance import latencies
from bench.bare_push import BarePushes
from bench.desk import BenchDesk
from bench.load import Load, PostingResult
from bench.processes import answers, free_port, module
from bench.run import Run
from bench.sink import Sink
from bench.table import Line, at_most
from service.wsgi import processes

SIZE = 6 * 1024
ENDPOINTS = 3
IDLE_PER_SECOND = 10.0


def measure(run: Run, database: str) -> list[Line]:
    """Three endpoints. Beside them: one INSERT by bare Flask plus one bare push, one at a time."""
    idle = Line("latency", database, "idle, median", "ms", at_most(25))
    idle_p95 = Line("latency", database, "idle, p95", "ms", at_most(50))
    full = Line("latency", database, "articles to 3 endpoints, at most", "1/s")
    half_p95 = Line("latency", database, "at half of that, p95", "ms", at_most(150))
    lines = [idle, idle_p95, full, half_p95]
    with run.desk_and_sink(database) as (desk, sink, children):
        urls = [sink.url(number) for number in range(ENDPOINTS)]
        desk.add_endpoints(urls, max_in_flight=16)
        desk.start()
        port = free_port()
        words = (str(port), run.databases.url(database, run.folder()), str(processes(desk.settings)))
        children.start("bare", module("bench.bare_web", *words))
        children.wait("bare", lambda: answers(port))
        for number in run.rounds():
            wanted = _slow(desk, f"i{number}", run.scaled(60, 30))
            bare = replace(wanted, url=f"http://127.0.0.1:{port}/v1/articles")
            bare_took = load.run(bare).took
            posted = load.run(wanted)
            took, bodies = _arrived(desk, sink, posted, lines)
            pushed = bare_push.run(BarePushes(urls, bodies, desk.secret, at_once=1)).took
            sink.arrivals()
            for line, share in ((idle, 0.5), (idle_p95, 0.95)):
                line.ours.append(load.percentile(took, share) * 1000)
                both = load.percentile(bare_took, share) + load.percentile(pushed, share)
                line.bare.append(both * 1000)
            run.databases.settle(database)
            flood = replace(desk.load(f"f{number}", 5000, SIZE), seconds=run.scaled(4.0, 2.0))
            posted = load.run(flood)
            desk.wait_settled()
            capacity = len(posted.accepted) / (_settled(desk, sink, posted, lines) - posted.started)
            full.ours.append(capacity)
            run.databases.settle(database)
            count = int(capacity / 2 * run.scaled(5.0, 3.0))
            posted = load.run(
                replace(desk.load(f"h{number}", count, SIZE), per_second=capacity / 2, connections=64)
            )
            took, _ = _arrived(desk, sink, posted, lines)
            half_p95.ours.append(load.percentile(took, 0.95) * 1000)
    return lines


def _slow(desk: BenchDesk, name: str, count: int) -> Load:
    return replace(desk.load(name, count, SIZE), per_second=IDLE_PER_SECOND)


def _arrived(
    desk: BenchDesk, sink: Sink, posted: PostingResult, lines: list[Line]
) -> tuple[list[float], list[str]]:
    """The seconds that each delivery took, and the bodies of this round's pushes."""
    desk.wait_settled()
    bodies, arrivals = desk.bodies(), sink.arrivals()
    _note(lines, desk.balance(len(posted.accepted), ENDPOINTS, arrivals).void, posted)
    return latencies(posted, arrivals), bodies


def _settled(desk: BenchDesk, sink: Sink, posted: PostingResult, lines: list[Line]) -> float:
    balance = desk.balance(len(posted.accepted), ENDPOINTS, sink.arrivals())
    _note(lines, balance.void, posted)
    return balance.settled


def _note(lines: list[Line], void: str, posted: PostingResult) -> None:
    void = void or (f"{posted.refused} posts were refused" if posted.refused else "")
    for line in lines:
        line.void = line.void or void
