"""Row `hook`: a Ghost webhook of 40 KB, verified, kept, read and answered, at a steady pace; `dateline web`."""

from __future__ import annotations

from dataclasses import replace

from bench import load
from bench.desk import BenchDesk
from bench.load import Load, PostingResult
from bench.processes import answers, free_port, module
from bench.run import Run
from bench.table import Line, at_most
from service.http import credentials
from service.store import operations
from service.store.articles import sources
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import Source
from service.times import now
from service.wsgi import processes

GHOST_SOURCE = "blog"
HOOK_SIZE = 40 * 1024
HOOKS_PER_SECOND = 50.0
_GHOST_SECRET = "bench-made-up-secret"


def measure(run: Run, database: str) -> list[Line]:
    """Open loop: each is due at its time. Beside them, Flask under the same server INSERTs the same bytes."""
    median = Line("hook", database, "answered, median", "ms")
    slow = Line("hook", database, "answered, p95", "ms", at_most(50))
    cpu = Line("hook", database, "CPU of the web, each", "µs")
    lines = [median, slow, cpu]
    count = run.scaled(500, 100)
    with run.desk(database) as (desk, children):
        add_ghost(desk)
        desk.start(workers=False)
        port = free_port()
        words = (str(port), run.databases.url(database, run.folder()), str(processes(desk.settings)))
        children.start("bare", module("bench.bare_web", *words))
        children.wait("bare", lambda: answers(port))
        for number in run.rounds():
            wanted = hook_load(desk, f"r{number}", count)
            for name, url in (("bare", f"http://127.0.0.1:{port}/v1/articles"), ("web", wanted.url)):
                run.databases.settle(database)
                before = children.cpu(name)
                posted = load.run(replace(wanted, url=url))
                after = children.cpu(name)
                for line, value in zip(lines, _figures(posted, before, after), strict=True):
                    if value is not None:
                        (line.ours if name == "web" else line.bare).append(value)
            refused = f"{posted.refused} hooks were refused" if posted.refused else ""
            median.void = median.void or refused or desk.balance(len(posted.took), 0, []).void
    slow.void = cpu.void = median.void
    return lines


def _figures(
    posted: PostingResult, before: float | None, after: float | None
) -> tuple[float, float, float | None]:
    each = None if before is None or after is None else (after - before) / len(posted.took) * 1e6
    return load.percentile(posted.took, 0.5) * 1000, load.percentile(posted.took, 0.95) * 1000, each


def add_ghost(desk: BenchDesk, options: SourceOptions | None = None) -> Source:
    """Adds a source that runs Ghost."""
    key = credentials.new_api_key()
    new = sources.NewSource(
        GHOST_SOURCE, "Blog", "ghost", key_id=key.key_id, key_hash=key.hash, secret=_GHOST_SECRET
    )
    return operations.add_source(desk.record, new, options, actor="operator", now=now())


def hook_load(desk: BenchDesk, name: str, count: int) -> Load:
    url = f"http://{desk.settings.listen}/v1/hooks/{GHOST_SOURCE}"
    wanted = Load(url, "", name, count, HOOK_SIZE, per_second=HOOKS_PER_SECOND)
    return replace(wanted, ghost_secret=_GHOST_SECRET)
