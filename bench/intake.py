"""Row `intake`: articles accepted a second at the front door, `dateline web`."""

from __future__ import annotations

from dataclasses import replace

from bench import load
from bench.databases import POSTGRESQL
from bench.load import Load
from bench.processes import Processes, answers, cpu_of, free_port, module
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
    server = Line("intake", database, "CPU of PostgreSQL, each", "µs")
    lines = [rate, cpu, slow, *([server] if database == POSTGRESQL else [])]
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
            for name, wanted in (("bare", bare), ("web", ours)):
                run.databases.settle(database)
                accepted, figures = _post(run, children, name, wanted)
                for line in lines:
                    if (value := figures[line.what]) is not None:
                        (line.ours if name == "web" else line.bare).append(value)
            rate.void = rate.void or desk.balance(accepted, 0, []).void
    for line in lines:
        line.void = rate.void
    return lines


def _post(run: Run, children: Processes, name: str, wanted: Load) -> tuple[int, dict[str, float | None]]:
    """The number of posts that were accepted, and the figures of the lines."""
    postgres = [run.databases.server_process] if run.databases.server_process else []
    before, before_server = children.cpu(name), cpu_of(postgres)
    posted = load.run(wanted)
    after, after_server = children.cpu(name), cpu_of(postgres)
    count = max(1, len(posted.took))
    return len(posted.took), {
        "articles accepted": posted.per_second,
        "CPU of the web, each": _each(before, after, count),
        "p99 of the answer": load.percentile(posted.took, 0.99) * 1000,
        "CPU of PostgreSQL, each": _each(before_server, after_server, count),
    }


def _each(before: float | None, after: float | None, count: int) -> float | None:
    return None if before is None or after is None else (after - before) / count * 1e6
