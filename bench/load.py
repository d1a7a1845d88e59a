"""The newsroom's side, in a process of its own: a curl loop that costs little posts articles.

`python -m bench.load` reads a Load as JSON and prints a PostingResult. Closed loop: each of `connections` posts as
soon as it has its answer. Open loop (`per_second`): each post is due at its time, whether the last was answered or not,
and its latency counts from that time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pycurl

from bench.content import article, ghost_hook, ghost_signature
from bench.processes import ask


@dataclass(frozen=True)
class Load:
    """`count` articles of `size` bytes, for `seconds` at the most. `name` begins their ids."""

    url: str
    api_key: str
    name: str
    count: int
    size: int
    connections: int = 32
    seconds: float = 60.0
    per_second: float | None = None
    ghost_secret: str = ""  # of a source that runs Ghost: the articles go as its signed webhooks


@dataclass(frozen=True)
class PostingResult:
    """`accepted`: event id → the Unix time at which its post was due. `took`: seconds of each answer."""

    accepted: dict[str, float]
    refused: int
    took: list[float]
    started: float
    ended: float

    @property
    def per_second(self) -> float:
        return len(self.took) / (self.ended - self.started)


def run(load: Load) -> PostingResult:
    """Posts the whole load from another process."""
    answer, _ = ask("bench.load", json.dumps(asdict(load)))
    return PostingResult(**json.loads(answer))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of them lies; nan for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class _PostConnection:
    """One connection of the newsroom, and the time at which its current post was due."""

    def __init__(self, load: Load) -> None:
        self.curl = pycurl.Curl()
        self.answer = bytearray()
        self.due = 0.0
        curl = self.curl
        self.ghost_secret = load.ghost_secret
        self.headers = ["Expect:", "Content-Type: application/json"]
        curl.setopt(pycurl.URL, load.url)
        curl.setopt(pycurl.HTTPHEADER, [*self.headers, f"Authorization: Bearer {load.api_key}"])
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.WRITEFUNCTION, self.take)

    def take(self, chunk: bytes) -> None:
        self.answer += chunk

    def begin(self, body: bytes, due: float) -> None:
        self.answer.clear()
        self.due = due
        self.curl.setopt(pycurl.POSTFIELDS, body)
        if self.ghost_secret:
            mark = ghost_signature(body, self.ghost_secret)
            self.curl.setopt(pycurl.HTTPHEADER, [*self.headers, f"X-Ghost-Signature: {mark}"])


def post(load: Load) -> PostingResult:
    """The loop itself. All bodies are made before its clock starts."""
    bodies = [article(f"{load.name}-{number}", load.size) for number in range(load.count)]
    if load.ghost_secret:
        bodies = [ghost_hook(each) for each in bodies]
    multi = pycurl.CurlMulti()
    idle = [_PostConnection(load) for _ in range(load.connections)]
    busy: dict[pycurl.Curl, _PostConnection] = {}
    accepted: dict[str, float] = {}
    took: list[float] = []
    refused = next_body = 0
    started = time.time()
    while True:
        now = time.time()
        over = next_body >= len(bodies) or now - started > load.seconds
        if over and not busy:
            return PostingResult(accepted, refused, took, started, now)
        while idle and not over:
            due = now if load.per_second is None else started + next_body / load.per_second
            if due > now:
                break
            connection = idle.pop()
            connection.begin(bodies[next_body], due)
            busy[connection.curl] = connection
            multi.add_handle(connection.curl)
            next_body += 1
            over = next_body >= len(bodies)
        multi.perform()
        for connection in _ended(multi, busy):
            if 200 <= connection.curl.getinfo(pycurl.RESPONSE_CODE) < 300:
                took.append(time.time() - connection.due)
                accepted[_event(connection.answer, len(took))] = connection.due
            else:
                refused += 1
            idle.append(connection)
        _pause(multi, load, started, next_body, idle)


def _ended(multi: pycurl.CurlMulti, busy: dict[pycurl.Curl, _PostConnection]) -> Sequence[_PostConnection]:
    ended: list[_PostConnection] = []
    more = 1
    while more:
        more, succeeded, failed = multi.info_read()
        for curl in [*succeeded, *(each[0] for each in failed)]:
            multi.remove_handle(curl)
            ended.append(busy.pop(curl))
    return ended


def _event(answer: bytearray, number: int) -> str:
    found: Any = json.loads(answer) if answer.startswith(b"{") else {}
    return str(found.get("event", number))


def _pause(
    multi: pycurl.CurlMulti, load: Load, started: float, next_body: int, idle: Sequence[_PostConnection]
) -> None:
    wait = 0.1
    if load.per_second is not None and idle:
        wait = max(0.0, min(wait, started + next_body / load.per_second - time.time()))
    if multi.select(wait) < 0:  # nothing is on the wire
        time.sleep(wait)


if __name__ == "__main__":
    print(json.dumps(asdict(post(Load(**json.load(sys.stdin))))))
