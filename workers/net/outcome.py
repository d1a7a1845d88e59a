"""The outcome of a push: its kind, and words that an operator understands. Pure: facts in, Outcome out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import pycurl

from service import times
from service.plain_text import printable
from workers.net.exchange import Exchange
from workers.net.failures import failure

BODY_LIMIT = 4096  # bytes of an answer's body that are recorded
HEADERS_LIMIT = 64  # headers of an answer that are recorded
LOCATION_LIMIT = 200  # characters of a redirect's target that its words show
CACHEABLE_HEADERS = 2048  # bytes: longer headers are not cached, for they may be hundreds of kilobytes
# A gateway's words about the server behind it, which had the push, or may have had it, and did not answer in time.
GATEWAY_FAILURES = frozenset({502, 504, 520, 524})  # the last two are Cloudflare's
_STATUS_WORDS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Timings(NamedTuple):
    """Milliseconds of each stage; None where it was not reached or not needed (a connection used again).

    `first_byte` is the wait from the request's last byte to the answer's first; `total` is all of it.
    """

    lookup: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None
    total: float


class Outcome(NamedTuple):
    """One attempt's result. `kind` is one of attempts.OUTCOMES; `words` say it to an operator.

    `retry_after` is seconds from now, never negative, uncapped. `reached`: the partner may hold it, for bytes of the
    request were sent, and it did not answer that it did not take them. `body` is the first 4 KiB of the answer's.
    """

    kind: str
    status: int | None
    words: str
    retry_after: float | None
    reached: bool
    timings: Timings
    address: str | None
    response_headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def delivered(self) -> bool:
        return self.kind == "delivered"


def classify(exchange: Exchange, now: datetime) -> Outcome:
    """The Outcome of an exchange; `now` turns a Retry-After date into seconds.

    A status line with all its headers is the partner's answer, and counts even if the body after it never
    ends, breaks off or is too long.
    """
    headers = _headers(exchange.header_lines)
    retry_after = None
    answered = headers is not None and exchange.status >= 200 and not exchange.blocked
    if headers is not None and answered:
        if not 200 <= exchange.status < 300:
            retry_after = _retry_after(headers, now)
        kind, words = _kind_of_status(exchange.status), _answer_words(exchange, headers, retry_after)
    else:
        kind, words = failure(exchange)
    return Outcome(
        kind=kind,
        status=exchange.status if headers is not None and exchange.status else None,
        words=words,
        retry_after=retry_after,
        reached=exchange.request_bytes > 0 and not (answered and _declines(exchange.status)),
        timings=_timings(exchange),
        address=exchange.address or None,
        response_headers=headers or (),
        body=exchange.body[:BODY_LIMIT],
    )


def unsent(words: str) -> Outcome:
    """The outcome of a push that could not even be tried."""
    return Outcome("unsent", None, words, None, False, Timings(None, None, None, None, 0.0), None, (), b"")


def lost(words: str) -> Outcome:
    """The outcome of a push that its own worker cut off."""
    return unsent(words)._replace(kind="lost")


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Seconds to wait by RFC 9110 section 10.2.3 (seconds or a date), at least 0; None if it is neither."""
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,10}", text):
        return float(text)
    if len(text) > 40:  # no date is longer
        return None
    moment = times.from_http(text)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def _headers(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...] | None:
    """The final answer's headers; None unless they came whole (ended by an empty line)."""
    # A partner sends the same headers with all its answers of one second.
    return _cached(tuple(lines)) if sum(map(len, lines)) <= CACHEABLE_HEADERS else _parse(lines)


def _parse(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...] | None:
    if not lines or lines[-1] not in (b"\r\n", b"\n"):
        return None
    start = 1  # after the status line
    if lines.count(lines[-1]) > 1:  # 1xx answers went before
        start += max((index for index, line in enumerate(lines) if line[:5] == b"HTTP/"), default=0)
    pairs = [line.decode("latin-1").partition(":") for line in lines[start : start + HEADERS_LIMIT]]
    return tuple([(name, value.strip()) for name, colon, value in pairs if colon])


_cached = lru_cache(maxsize=64)(_parse)


def _retry_after(headers: Sequence[tuple[str, str]], now: datetime) -> float | None:
    values = [value for name, value in headers if name.lower() == "retry-after"]
    return parse_retry_after(values[0], now) if values else None


def _declines(status: int) -> bool:
    """Whether this answer says that the push was not taken."""
    return status >= 300 and status not in GATEWAY_FAILURES


def _kind_of_status(status: int) -> str:
    if status < 300:
        return "delivered"
    if status < 400:
        return "redirect"
    if status in (429, 503):
        return "throttled"
    if status == 410:
        return "gone"
    return "refused" if status < 500 else "server_error"


def _answer_words(exchange: Exchange, headers: Sequence[tuple[str, str]], retry_after: float | None) -> str:
    words = f"answered {_STATUS_WORDS.get(exchange.status, exchange.status)}"
    if 300 <= exchange.status < 400:
        words += (
            f", a redirect{_target(headers)}:"
            " redirects are never followed; change the endpoint to its final address"
        )
    if exchange.status == 410:
        words += ": it wants no more pushes"
    if retry_after is not None:
        words += f" and asked to wait {retry_after:.0f} s"
    if exchange.cut:
        words += " (its body is over 64 KiB; the rest was not read)"
    elif exchange.code != pycurl.E_OK:
        words += f" (its body did not come whole: {failure(exchange)[1]})"
    return words


def _target(headers: Sequence[tuple[str, str]]) -> str:
    """Where a redirect leads, as its words say it; empty if it does not say."""
    locations = (value for name, value in headers if name.lower() == "location")
    return next((f" to {printable(value[:LOCATION_LIMIT])}" for value in locations), "")


def _timings(exchange: Exchange) -> Timings:
    total = exchange.total / 1000
    first = _span(exchange.sent, exchange.first_byte)
    if not exchange.new_connections:
        return Timings(None, None, None, first, total)
    return Timings(
        lookup=_span(0, exchange.lookup),
        connect=_span(exchange.lookup, exchange.connected),
        tls=_span(exchange.connected, exchange.secured),
        first_byte=first,
        total=total,
    )


def _span(start: int, end: int) -> float | None:
    return max(0, end - start) / 1000 if end else None
