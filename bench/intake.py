"""Row `intake`: articles accepted a second at the front door, `dateline web`."""

from __future__ import annotations

from dataclasses import replace

from bench import load
from bench.load import Load
from bench.processes import Processes, answers, free_port, module
from bench.run import Run
from bench.table import Line
from service.wsgi import processes

SIZE = 8 * 1024
CONNECTIONS = 32


def measure(run: Run, database: str) -> list[Line]:
    """32 connections post 8 KB articles; beside them, Flask under the same server INSERTs the same bytes."""
    rate = Line("intake", database, "articles accepted", "1/s")
    cpu = Line("intake", database, "CPU of the web, each", "µs")
    slow = Line("intake", database, "p99 of the answer", "ms")
    count, seconds = run.scaled(20_000, 4_000), run.scaled(5.0, 2.0)
    with run.desk(database) as (desk, children):
        desk.start(workers=False)
        folder, port = run.folder(), free_port()
        words = (str(port), run.databases.url(database, folder), str(processes(desk.settings)))
        children.start("bare", module("bench.bare_web", *words))
        children.wait("bare", lambda: answers(port))
        for number in run.rounds():
            ours = replace(desk.load(f"r{number}", count, SIZE), connections=CONNECTIONS, seconds=seconds)
            bare = replace(ours, url=f"http://127.0.0.1:{port}/v1/articles")
            _post(run, database, children, "bare", bare, (rate.bare, cpu.bare, slow.bare))
            accepted = _post(run, database, children, "web", ours, (rate.ours, cpu.ours, slow.ours))
            rate.void = rate.void or desk.balance(accepted, 0, []).void
    cpu.void = slow.void = rate.void
    return [rate, cpu, slow]


def _post(
    run: Run,
    database: str,
    children: Processes,
    name: str,
    wanted: Load,
    into: tuple[list[float], list[float], list[float]],
) -> int:
    run.databases.settle(database)
    before = children.cpu(name)
    posted = load.run(wanted)
    after = children.cpu(name)
    rates, cpu, slow = into
    rates.append(posted.per_second)
    slow.append(load.percentile(posted.took, 0.99) * 1000)
    if before is not None and after is not None:
        cpu.append((after - before) / len(posted.took) * 1e6)
    return len(posted.took)
