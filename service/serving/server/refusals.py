"""Refusals that the event loop answers by itself: problem details made once, and counted in the log once a second."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from service import logs
from service.http.problems import Problem

log = logs.get("http")

RETRY = (("Retry-After", "1"),)


@dataclass(frozen=True)
class Refusal:
    """`close`: the connection ends with it."""

    status: int
    kind: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = True

    def raw(self, method: str) -> tuple[bytes, bytes, bytes]:
        """The first line, the headers, and the body, which a HEAD does not get."""
        first, rest, body = _render(self)
        return first, rest, b"" if method == "HEAD" else body


def malformed(words: str) -> Refusal:
    return Refusal(400, "bad-request", f"not a request: {words}")


def head_too_large(limit: int) -> Refusal:
    return Refusal(431, "head-too-large", f"the head of a request may have {limit:,} bytes and 100 headers")


def too_slow(what: str, seconds: float) -> Refusal:
    words = f"the {what} of the request did not come in time ({seconds:g} s, or a least rate); send it again"
    return Refusal(408, "too-slow", words)


def too_large(limit: int) -> Refusal:
    size = f", {limit >> 20} MiB," if limit >= 1 << 20 else ""
    return Refusal(413, "too-large", f"a body may have {limit:,} bytes{size} at the most here")


OVERLOADED = Refusal(
    503,
    "overloaded",
    "more requests came than can be answered; nothing was accepted: send it again",
    RETRY,
    close=False,
)
OVER_SHARE = Refusal(
    429,
    "over-share",
    "more came from this sender than its share, and others wait; nothing was accepted: send it again",
    RETRY,
    close=False,
)
BODIES_FULL = Refusal(
    503, "overloaded", "too many bodies are being read; nothing was accepted: send it again", RETRY
)
CONNECTIONS_FULL = Refusal(503, "overloaded", "too many connections are in use; try again", RETRY)
FAULT = Refusal(500, "unexpected", "something went wrong on our side; see the log")


class RefusalLog:
    """Counts refusals, and writes one line a second for each kind of them."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, str]] = Counter()

    def count(self, refusal: Refusal) -> None:
        self._counts[refusal.status, refusal.kind] += 1

    def note(self, kind: str) -> None:
        """Something that is no answer, such as a connection that was closed for another."""
        self._counts[0, kind] += 1

    def write(self) -> None:
        """Call it once a second."""
        if not self._counts:
            return
        for (status, kind), count in self._counts.items():
            log.warning("http.limited", reason=kind, count=count, **({"status": status} if status else {}))
        self._counts.clear()


@lru_cache(maxsize=256)
def _render(refusal: Refusal) -> tuple[bytes, bytes, bytes]:
    response = Problem(refusal.status, refusal.kind, refusal.detail, headers=dict(refusal.headers)).response()
    body = response.get_data()
    lines = [(name.lower(), value) for name, value in response.headers if name.lower() != "content-length"]
    rest = "".join(f"{name}: {value}\r\n" for name, value in lines)
    rest += f"x-content-type-options: nosniff\r\ncontent-length: {len(body)}\r\n"
    phrase = HTTPStatus(refusal.status).phrase
    return f"HTTP/1.1 {refusal.status} {phrase}\r\n".encode(), rest.encode("latin-1"), body
