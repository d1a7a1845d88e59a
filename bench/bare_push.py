"""The bare building block of a delivery: sign and post, by curl's multi interface, and write nothing down.

`python -m bench.bare_push` reads a BarePushes as JSON and prints a PushTimes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pycurl

from bench.processes import ask
from service.webhooks.signatures import Signer


@dataclass(frozen=True)
class BarePushes:
    """The pushes to make: every body to every URL, `at_once` on the wire."""

    urls: list[str]
    bodies: list[str]
    secret: str
    at_once: int


@dataclass(frozen=True)
class PushTimes:
    """`seconds` of the clock and `cpu` seconds of the processor, from the first push to the last answer."""

    seconds: float
    cpu: float
    failed: int
    took: list[float]


def run(pushes: BarePushes) -> PushTimes:
    """Makes all the pushes from another process."""
    answer, _ = ask("bench.bare_push", json.dumps(asdict(pushes)))
    return PushTimes(**json.loads(answer))


def push(pushes: BarePushes) -> PushTimes:
    """The loop itself."""
    multi = pycurl.CurlMulti()
    idle = [_curl() for _ in range(pushes.at_once)]
    requests = _requests(pushes)
    took: list[float] = []
    failed = in_flight = 0
    started, cpu = time.perf_counter(), time.process_time()
    more = True
    while more or in_flight:
        while more and idle:
            request = next(requests, None)
            if request is None:
                more = False
                break
            curl = idle.pop()
            url, headers, body = request
            curl.setopt(pycurl.URL, url)
            curl.setopt(pycurl.HTTPHEADER, headers)
            curl.setopt(pycurl.POSTFIELDS, body)
            multi.add_handle(curl)
            in_flight += 1
        multi.perform()
        queued = 1
        while queued:
            queued, succeeded, broken = multi.info_read()
            for curl in [*succeeded, *(each[0] for each in broken)]:
                failed += curl.getinfo(pycurl.RESPONSE_CODE) != 200
                took.append(curl.getinfo(pycurl.TOTAL_TIME))
                multi.remove_handle(curl)
                idle.append(curl)
                in_flight -= 1
        if in_flight and not (more and idle):
            multi.select(0.1)
    return PushTimes(time.perf_counter() - started, time.process_time() - cpu, failed, took)


def _curl() -> pycurl.Curl:
    curl = pycurl.Curl()
    curl.setopt(pycurl.POST, 1)
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.TCP_NODELAY, 1)
    curl.setopt(pycurl.WRITEFUNCTION, len)
    return curl


def _requests(pushes: BarePushes) -> Iterator[tuple[str, list[str], bytes]]:
    signer = Signer([pushes.secret])
    for number, text in enumerate(pushes.bodies):
        body = text.encode()
        for partner, url in enumerate(pushes.urls):
            name = f"bare_{number}_{partner}"
            seconds = int(time.time())
            yield (
                url,
                [
                    "Expect:",
                    "Content-Type: application/json",
                    f"webhook-id: {name}",
                    f"webhook-timestamp: {seconds}",
                    f"webhook-signature: {signer.sign(name, seconds, body)}",
                    f"dateline-sequence: {number}",
                ],
                body,
            )


if __name__ == "__main__":
    print(json.dumps(asdict(push(BarePushes(**json.load(sys.stdin))))))
