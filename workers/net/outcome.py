"""What became of a push, classed and in words that an operator understands. Pure: facts in, Outcome out."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import pycurl

from service.plain_text import printable

# The kinds of outcome. The record's attempt.outcome and the metrics' `outcome` label use these very words.
OUTCOMES = (
    "delivered",  # 2xx
    "refused",  # 4xx but the next two
    "gone",  # 410
    "throttled",  # 429, 503
    "server_error",  # 5xx but 503
    "redirect",  # 3xx: never followed
    "timeout",  # too slow, at whichever stage
    "dns",  # the name leads nowhere
    "connect",  # nobody answers at the address
    "tls",  # the certificate or the handshake
    "blocked",  # the address guard
    "closed",  # the connection broke off before an answer
    "garbled",  # an answer that is not HTTP, or not as it says
    "unsent",  # never tried: the URL or a fault of ours
    "lost",  # cut off by the end of the worker; it may have arrived. The partner has no part in it
)
BODY_KEPT = 4096  # bytes
HEADERS_KEPT = 64
USUAL = 2048  # bytes of headers: what is longer is not remembered, and may be hundreds of kilobytes
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
    """One attempt's result. `kind` is one of OUTCOMES; `words` say it to an operator.

    `retry_after` is seconds from now, never negative, uncapped. `reached`: bytes of the request were sent, so
    the partner may hold it. `body` is the first 4 KiB of the answer's.
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


class Exchange(NamedTuple):
    """The bare facts of one HTTP exchange as libcurl tells them. Times are µs since its start (0: never).

    `code` and `error` are CURLE_… and its text; `verify` is OpenSSL's X509_V_… of the certificate; `errno` is the
    system's, of a connection that failed;
    `header_lines` all header lines received, status lines too; `blocked` the guard's words, if every address
    of the host was refused; `cut`: the body was not read to its end because it is too long.
    """

    code: int
    error: str
    status: int
    header_lines: Sequence[bytes]
    body: bytes
    cut: bool
    blocked: str | None
    verify: int
    request_bytes: int
    new_connections: int
    address: str
    https: bool
    lookup: int
    connected: int
    secured: int
    sent: int
    first_byte: int
    total: int
    errno: int = 0


def classify(exchange: Exchange, now: datetime) -> Outcome:
    """The Outcome of an exchange; `now` turns a Retry-After date into seconds.

    A status line with all its headers is the partner's answer, and counts even if the body after it never
    ends, breaks off or is too long.
    """
    headers = _headers(exchange.header_lines)
    retry_after = None
    if headers is not None and exchange.status >= 200 and not exchange.blocked:
        if not 200 <= exchange.status < 300:
            retry_after = _retry_after(headers, now)
        kind, words = _kind_of_status(exchange.status), _answered(exchange, headers, retry_after)
    else:
        kind, words = _failure(exchange)
    return Outcome(
        kind=kind,
        status=exchange.status if headers is not None and exchange.status else None,
        words=words,
        retry_after=retry_after,
        reached=exchange.request_bytes > 0,
        timings=_timings(exchange),
        address=exchange.address or None,
        response_headers=headers or (),
        body=exchange.body[:BODY_KEPT],
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
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _headers(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...] | None:
    """The final answer's headers; None unless they came whole (ended by an empty line)."""
    # A partner says the same to all that come within a second.
    return _usual(tuple(lines)) if sum(map(len, lines)) <= USUAL else _parsed(lines)


def _parsed(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...] | None:
    if not lines or lines[-1] not in (b"\r\n", b"\n"):
        return None
    start = 1  # after the status line
    if lines.count(lines[-1]) > 1:  # 1xx answers went before
        start += max((index for index, line in enumerate(lines) if line[:5] == b"HTTP/"), default=0)
    pairs = [line.decode("latin-1").partition(":") for line in lines[start : start + HEADERS_KEPT]]
    return tuple([(name, value.strip()) for name, colon, value in pairs if colon])


_usual = lru_cache(maxsize=64)(_parsed)


def _retry_after(headers: Sequence[tuple[str, str]], now: datetime) -> float | None:
    values = [value for name, value in headers if name.lower() == "retry-after"]
    return parse_retry_after(values[0], now) if values else None


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


def _answered(exchange: Exchange, headers: Sequence[tuple[str, str]], retry_after: float | None) -> str:
    words = f"answered {_STATUS_WORDS.get(exchange.status, exchange.status)}"
    if 300 <= exchange.status < 400:
        to = next(
            (f" to {printable(value[:200])}" for name, value in headers if name.lower() == "location"), ""
        )
        words += f", a redirect{to}: redirects are never followed; change the endpoint to its final address"
    if exchange.status == 410:
        words += ": it wants no more pushes"
    if retry_after is not None:
        words += f" and asked to wait {retry_after:.0f} s"
    if exchange.cut:
        words += " (its body is over 64 KiB; the rest was not read)"
    elif exchange.code != pycurl.E_OK:
        words += f" (its body did not come whole: {_failure(exchange)[1]})"
    return words


# What OpenSSL found wrong with the certificate (X509_V_ERR_…).
_CERTIFICATE_FAULTS = {
    7: "the partner's certificate has a signature that does not fit",
    9: "the partner's certificate is not valid yet",
    10: "the partner's certificate has expired",
    18: "the partner's certificate is self-signed, so nobody vouches for it",
    19: "the partner's certificate is from an authority not trusted here",
    20: "the partner's certificate is from an authority not trusted here, or its chain is incomplete",
    21: "the partner's certificate chain is incomplete",
    23: "the partner's certificate was revoked",
    24: "the partner's certificate is from one that may not issue any",
    26: "the partner's certificate is not one for a server",
    62: "the partner's certificate is for another name",
    64: "the partner's certificate is for another address",
    66: "the partner's certificate has a key that is too weak",
    68: "the partner's certificate is signed by a method that is too weak",
}
_KINDS_OF_FAILURE = {
    pycurl.E_OK: "closed",  # libcurl is content with an answer that ends among its headers
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    pycurl.E_COULDNT_RESOLVE_HOST: "dns",
    pycurl.E_COULDNT_CONNECT: "connect",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls",
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_SSL_CERTPROBLEM: "tls",
    pycurl.E_SSL_CIPHER: "tls",
    pycurl.E_SSL_CACERT_BADFILE: "tls",
    pycurl.E_SSL_ISSUER_ERROR: "tls",
    pycurl.E_SSL_INVALIDCERTSTATUS: "tls",
    pycurl.E_GOT_NOTHING: "closed",
    pycurl.E_RECV_ERROR: "closed",
    pycurl.E_SEND_ERROR: "closed",
    pycurl.E_PARTIAL_FILE: "closed",
    pycurl.E_SEND_FAIL_REWIND: "closed",
}


def _failure(exchange: Exchange) -> tuple[str, str]:
    """Kind and words of an exchange that brought no answer."""
    if exchange.blocked:
        return "blocked", f"was not called: {exchange.blocked}"
    kind = _KINDS_OF_FAILURE.get(exchange.code, "garbled" if exchange.request_bytes else "unsent")
    return kind, _FAILURE_WORDS[kind](exchange)


def _timeout_words(exchange: Exchange) -> str:
    after = f"{round(exchange.total / 1_000_000, 1):g} s"
    if exchange.header_lines:
        return f"did not finish its answer within {after} (it had begun)"
    if exchange.request_bytes:
        return f"did not answer within {after} (connected, no first byte)"
    if exchange.connected and exchange.https:
        return f"did not finish the TLS handshake within {after} (connected)"
    if exchange.lookup:
        return f"did not accept a connection within {after}"
    return f"the partner's name was not found within {after} (no answer from DNS)"


_CONNECT_FAULTS = {
    errno.ECONNREFUSED: "refused the connection: nothing listens at that port",
    errno.ECONNRESET: "broke the connection off as it was being made",
    errno.EHOSTUNREACH: "no machine answers at that address",
    errno.ENETUNREACH: "no network leads to that address from here",
    errno.EADDRNOTAVAIL: "no address or port of this machine is left to call from",
}


def _connect_words(exchange: Exchange) -> str:
    fault = _CONNECT_FAULTS.get(exchange.errno)
    return fault or f"nobody answers at that address ({_plain(exchange.error)})"


def _tls_words(exchange: Exchange) -> str:
    if fault := _CERTIFICATE_FAULTS.get(exchange.verify):
        return fault
    if "subject name" in exchange.error or "does not match" in exchange.error:
        return _CERTIFICATE_FAULTS[62]
    if exchange.code == pycurl.E_PEER_FAILED_VERIFICATION:
        return f"the partner's certificate cannot be trusted ({_plain(exchange.error)})"
    return f"no secure connection could be agreed on ({_plain(exchange.error)})"


def _closed_words(exchange: Exchange) -> str:
    if exchange.header_lines:
        return "closed the connection in the middle of its answer"
    if exchange.request_bytes:
        return "closed the connection without an answer"
    return "closed the connection before the push was sent"


_FAILURE_WORDS: dict[str, Callable[[Exchange], str]] = {
    "timeout": _timeout_words,
    "dns": lambda _: "no server with that name (DNS)",
    "connect": _connect_words,
    "tls": _tls_words,
    "closed": _closed_words,
    "garbled": lambda exchange: f"sent an answer that cannot be read: {_plain(exchange.error)}",
    "unsent": lambda exchange: f"could not be called: {_plain(exchange.error)}",
}


def _plain(error: str) -> str:
    return printable(error.strip().rstrip(".")[:200]) or "no reason was given"


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
