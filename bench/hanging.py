"""Row `hanging`: news and a kill for 20 healthy partners while 200 others hang, or answer after 14 s."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace

import requests

from bench import load
from bench.load import Load, PostingResult
from bench.processes import Failed
from bench.run import Run
from bench.sink import Sink
from bench.table import Line, at_most, at_most_times
from service.store import names

SIZE = 6 * 1024
SICK, HEALTHY = 200, 20
PER_SECOND = 2.0
SECONDS, SECONDS_QUICK = 10.0, 5.0
LONGEST_WAIT = 60.0  # seconds for the last arrival
BEHAVIOURS = {"hang": "200 of 220 hang", "late": "200 of 220 answer after 14 s"}


@dataclass(frozen=True)
class _Delays:
    """Of the healthy partners, in seconds: the p95 of the news, and the last arrival of the kill."""

    news: float
    kill: float


def measure(run: Run, database: str) -> list[Line]:
    """The healthy partners' p95 and a kill amid the trouble; beside them, the same where all 220 are well."""
    lines: list[Line] = []
    well = _delays(run, database, "ok")
    for behaviour, words in BEHAVIOURS.items():
        news = Line("hanging", database, f"healthy p95, {words}", "ms", at_most_times(2))
        kill = Line("hanging", database, f"kill at the last healthy, {words}", "s", at_most(2))
        found = _delays(run, database, behaviour)
        news.ours.append(found.news * 1000)
        news.bare.append(well.news * 1000)
        kill.ours.append(found.kill)
        kill.bare.append(well.kill)
        lines += [news, kill]
    return lines


def _delays(run: Run, database: str, behaviour: str) -> _Delays:
    with run.desk_and_sink(database, misbehaving=True) as (desk, sink, _):
        behaviours = [behaviour] * SICK + ["ok"] * HEALTHY
        desk.add_endpoints(sink.url(number, each) for number, each in enumerate(behaviours))
        desk.start()
        count = int(PER_SECOND * run.scaled(SECONDS, SECONDS_QUICK))
        wanted = replace(desk.load("h", count, SIZE), per_second=PER_SECOND)
        posted = load.run(wanted)
        if posted.refused:
            raise Failed(f"{posted.refused} posts were refused")
        news = _arrived(sink, posted)
        return _Delays(load.percentile(news, 0.95), max(_arrived(sink, _killed(wanted))))


def _killed(wanted: Load) -> PostingResult:
    """Kills the first story of the load."""
    due = time.time()
    answer = requests.post(
        wanted.url,
        data=json.dumps({"id": f"{wanted.name}-0", "status": "killed"}),
        headers={"Authorization": f"Bearer {wanted.api_key}", "Content-Type": "application/json"},
        timeout=30,
    )
    answer.raise_for_status()
    return PostingResult({answer.json()["event"]: due}, 0, [time.time() - due], due, time.time())


def _arrived(sink: Sink, posted: PostingResult) -> list[float]:
    """The delay of each event at each healthy partner, once all have all."""
    deadline = time.monotonic() + LONGEST_WAIT
    first: dict[tuple[str, int], float] = {}
    while len(first) < len(posted.accepted) * HEALTHY:
        if time.monotonic() > deadline:
            raise Failed(f"healthy partners had {len(first)} of their pushes after {LONGEST_WAIT:g} s")
        for at, name, _ in sink.arrivals():
            read = names.read_delivery_id(name)
            if read and read.endpoint_id > SICK and read.event in posted.accepted:
                first.setdefault((read.event, read.endpoint_id), at - posted.accepted[read.event])
    return list(first.values())
