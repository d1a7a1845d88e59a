"""Row `sync`: a source of 10,000 stories compared with its system, in which nothing has changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import timedelta
from urllib.request import urlopen

from bench.content import SECTION
from bench.desk import BenchDesk
from bench.ghost_api import REQUESTS, post_id
from bench.hooks import GHOST_SOURCE, add_ghost
from bench.processes import Failed, answers, free_port, module
from bench.run import Run
from bench.table import Line
from service.intake.adapters import native
from service.intake.adapters.ghost import PAGE_POSTS
from service.store.articles import accept
from service.store.articles.posts import Post
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import Source
from service.times import now
from workers.fetch.__main__ import compare

STORIES = 10_000


def measure(run: Run, database: str) -> list[Line]:
    """Beside it: the same pages asked for one after another, and the ids in them counted."""
    took = Line("sync", database, "all ids compared", "ms")
    cpu = Line("sync", database, "CPU of the comparison", "ms")
    asked = Line("sync", database, "requests to the system", "")
    count = run.scaled(STORIES, STORIES // 10)
    with run.desk(database) as (desk, children):
        port = free_port()
        children.start("ghost", module("bench.ghost_api", str(port), str(count)))
        children.wait("ghost", lambda: answers(port))
        url = f"http://127.0.0.1:{port}"
        source = add_ghost(desk, SourceOptions(base_url=url, api_token="bench"))
        _fill(desk, source, count)
        compare(desk.record, desk.settings, GHOST_SOURCE, since=None, dry_run=False)
        for _ in run.rounds():
            run.databases.settle(database)
            bare_took, bare_cpu = _timed(lambda: _bare(url, count))
            took.bare.append(bare_took)
            cpu.bare.append(bare_cpu)
            before = _requests(url)
            ours_took, ours_cpu = _timed(lambda: _compared(desk))
            took.ours.append(ours_took)
            cpu.ours.append(ours_cpu)
            asked.ours.append(_requests(url) - before)
            asked.bare.append(-(-count // PAGE_POSTS))
    return [took, cpu, asked]


def _fill(desk: BenchDesk, source: Source, count: int) -> None:
    """Small stories, past the HTTP."""
    at = now() - timedelta(days=30)
    for number in range(count):
        fields = {
            "id": post_id(number),
            "headline": f"Story {number}",
            "sections": [SECTION],
            "body_text": "Text.",
        }
        body = json.dumps(fields).encode()
        digest = hashlib.sha256(body).hexdigest()
        accept.accept(desk.record, Post(source, native.read(body).posted, None, digest, "bench.example", at))


def _compared(desk: BenchDesk) -> None:
    told = compare(desk.record, desk.settings, GHOST_SOURCE, since=None, dry_run=False)
    if different := len(told["stories"]) + told["waiting"]:
        raise Failed(f"{different} stories were found to differ")


def _bare(url: str, count: int) -> None:
    seen = set()
    for page in range(1, -(-count // PAGE_POSTS) + 1):
        with urlopen(
            f"{url}/ghost/api/content/posts/?filter=visibility:public&page={page}", timeout=20
        ) as answer:
            seen |= {each["id"] for each in json.load(answer)["posts"]}
    assert len(seen) == count


def _requests(url: str) -> int:
    with urlopen(f"{url}{REQUESTS}", timeout=20) as answer:
        return int(answer.read())


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Milliseconds of time, and of this process's processor."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - started) * 1000, (time.process_time() - cpu) * 1000
