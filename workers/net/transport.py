"""Sends pushes, many at once in one thread, by libcurl's multi interface (docs/decisions/0004-transport.md).

Knows nothing of deliveries, articles or the record: a Push goes in, the same Push comes out with its Outcome.
"""

from __future__ import annotations

import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

import certifi
import pycurl

from service import times
from workers.net import address_guard, outcome
from workers.net.address_guard import Network
from workers.net.outcome import Exchange, Outcome
from workers.net.wakeup_pipe import Bell

BODY_READ = 64 * 1024  # bytes of an answer's body, after decompression
_CONNECTION_LIFETIME = 300  # seconds; a partner that moves to another address is followed within this time


class Push(NamedTuple):
    """One POST. `token` is the caller's and comes back untouched; header values hold no line breaks."""

    token: Any
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes


class Full(RuntimeError):
    """More pushes were submitted than the capacity: poll first."""


class Sender:
    """Sends up to `capacity` pushes at once over kept-alive connections. For one thread; close() when done.

    Every connection is guarded on the address it goes to (guard.refusal, `allowed_networks` pass). Redirects,
    proxies, cookies and netrc are never used. `connect_timeout` covers name look-up, TCP and TLS,
    `total_timeout` all of a push; both in seconds. `ca_file`: the authorities trusted, by default the
    system's.
    """

    def __init__(
        self,
        allowed_networks: Sequence[Network],
        *,
        user_agent: str,
        connect_timeout: float = 5,
        total_timeout: float = 15,
        capacity: int = 256,
        ca_file: str | None = None,
        stops: Callable[[], int] = lambda: 0,
    ) -> None:
        """`stops`: how often this process stood still so far. What was on the wire then is dropped, not sent late."""
        self._capacity = capacity
        self._stops = stops
        self._stopped = stops()
        self._lines: list[_Line] = []  # idle
        self._busy: dict[pycurl.Curl, _Line] = {}
        self._failed: list[tuple[Push, Outcome]] = []
        self._due: float | None = None  # when libcurl wants to be called whatever happens; monotonic
        self._selector = selectors.DefaultSelector()
        self._bell: Bell | None = Bell()  # None: closed
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._woken = False
        self._new_line = _Options(
            tuple(allowed_networks),
            user_agent,
            int(connect_timeout * 1000),
            int(total_timeout * 1000),
            ca_file or ssl.get_default_verify_paths().cafile or certifi.where(),
        )
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._schedule)
        self._multi.setopt(pycurl.M_MAXCONNECTS, 2 * capacity)

    @property
    def in_flight(self) -> int:
        """How many pushes were submitted and not yet returned by poll()."""
        return len(self._busy) + len(self._failed)

    @property
    def room(self) -> int:
        """How many more may be submitted now."""
        return self._capacity - self.in_flight

    def submit(self, push: Push) -> None:
        """Takes a push; raises Full at capacity. What cannot be sent at all comes back by poll(), too."""
        if self.room <= 0:
            raise Full(f"{self._capacity} pushes are in flight; call poll() before submitting more")
        line = self._lines.pop() if self._lines else _Line(self._new_line)
        try:
            line.begin(push)
        except (pycurl.error, ValueError) as error:
            line.close()
            self._failed.append((push, outcome.unsent(f"could not be called: {error}")))
            return
        self._busy[line.curl] = line
        self._multi.add_handle(line.curl)

    def poll(self, timeout_seconds: float) -> list[tuple[Push, Outcome]]:
        """What has ended, waiting up to `timeout_seconds` for the first, or for `wake`.

        At once if nothing is in flight.
        """
        deadline = monotonic() + timeout_seconds
        while True:
            ended = self._ended()
            if ended or self._woken or not self._busy:
                self._woken = False
                return ended
            self._advance(deadline)
            if monotonic() >= deadline:
                return self._ended()

    def wake(self) -> None:
        """From any thread, and from signal handlers: who waits in poll(), or does next, returns at once."""
        if (bell := self._bell) is not None:
            bell.ring()

    def drop(self, told: Outcome) -> None:
        """Hangs up on everybody: what was on the wire comes back by poll() as `told`, which says if it was reached."""
        for line in self._busy.values():
            push, exchange = line.end(pycurl.E_OK, "")
            self._multi.remove_handle(line.curl)
            line.close()
            reached = exchange.request_bytes > 0
            words = f"{told.words}; it may have arrived" if reached else told.words
            self._failed.append((push, told._replace(words=words, reached=reached)))
        self._busy.clear()

    def close(self) -> None:
        """Drops all connections and what is in flight; drain with poll() first to lose no outcome."""
        for line in self._busy.values():
            self._multi.remove_handle(line.curl)
            line.close()
        for line in self._lines:
            line.close()
        self._busy.clear()
        self._lines.clear()
        self._failed.clear()
        self._multi.close()
        self._selector.close()
        self._bell = None

    def _advance(self, deadline: float) -> None:
        """One wait, and all the work that libcurl has then."""
        until = deadline if self._due is None else min(deadline, self._due)
        ready = self._selector.select(max(0.0, until - monotonic()))
        if self._stops() != self._stopped:
            self._stopped = self._stops()  # libcurl has done nothing since: nothing is sent late
            self.drop(outcome.unsent("the worker stood still while sending"))
            return
        for key, events in ready:
            if isinstance(key.fileobj, Bell):
                key.fileobj.hear()
                self._woken = True
                continue
            bits = pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0
            if events & selectors.EVENT_WRITE:
                bits |= pycurl.CSELECT_OUT
            self._multi.socket_action(key.fd, bits)
        if self._due is not None and self._due <= monotonic():
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _ended(self) -> list[tuple[Push, Outcome]]:
        ended, self._failed = self._failed, []
        now = times.now()
        more = 1
        while more:
            more, succeeded, failed = self._multi.info_read()
            ended += [self._end(curl, pycurl.E_OK, "", now) for curl in succeeded]
            ended += [self._end(curl, code, error, now) for curl, code, error in failed]
        return ended

    def _end(self, curl: pycurl.Curl, code: int, error: str, now: datetime) -> tuple[Push, Outcome]:
        line = self._busy.pop(curl)
        push, exchange = line.end(code, error)
        self._multi.remove_handle(curl)
        self._lines.append(line)
        return push, outcome.classify(exchange, now)

    def _schedule(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else monotonic() + milliseconds / 1000

    def _watch(self, what: int, fd: int, _multi: object, _data: object) -> None:
        """libcurl says which events of a socket it wants to hear of."""
        if what == pycurl.POLL_REMOVE:
            with suppress(KeyError, ValueError):
                self._selector.unregister(fd)
            return
        events = selectors.EVENT_READ if what & pycurl.POLL_IN else 0
        if what & pycurl.POLL_OUT:
            events |= selectors.EVENT_WRITE
        try:
            self._selector.modify(fd, events)
        except KeyError:
            self._selector.register(fd, events)


@dataclass(frozen=True)
class _Options:
    allowed: tuple[Network, ...]
    user_agent: str
    connect_timeout_ms: int
    total_timeout_ms: int
    ca_file: str


class _Line:
    """An easy handle, used for one push after another, and what it collects of the answer."""

    def __init__(self, options: _Options) -> None:
        self.curl = pycurl.Curl()
        self._allowed = options.allowed
        self._push: Push | None = None
        self._header_lines: list[bytes] = []
        self._body = bytearray()
        self._read = 0
        self._blocked: str | None = None
        self._dialled = False
        self._handed_over: list[socket.socket] = []
        self._set_up(options)

    def begin(self, push: Push) -> None:
        curl = self.curl
        url = push.url if push.url.isascii() else _ascii(push.url)
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.HTTPHEADER, ["Expect:", *[f"{name}: {value}" for name, value in push.headers]])
        curl.setopt(pycurl.POSTFIELDS, push.body)
        self._push = push
        self._header_lines.clear()
        self._body.clear()
        self._read = 0
        self._blocked = None
        self._dialled = False

    def end(self, code: int, error: str) -> tuple[Push, Exchange]:
        assert self._push is not None
        push, self._push = self._push, None
        self._let_go()
        info = self.curl.getinfo
        dialled = info(pycurl.NUM_CONNECTS)
        asked = info if code or dialled else _not_asked  # an answer over a connection that was there
        return push, Exchange(
            code=code,
            error=error,
            status=info(pycurl.RESPONSE_CODE),
            header_lines=self._header_lines,
            body=bytes(self._body),
            cut=self._read > BODY_READ,
            blocked=None if self._dialled else self._blocked,
            verify=info(pycurl.SSL_VERIFYRESULT) if code else 0,
            request_bytes=info(pycurl.REQUEST_SIZE),
            new_connections=dialled,
            address=info(pycurl.PRIMARY_IP) or "",
            https=push.url[:5].lower() == "https",
            lookup=asked(pycurl.NAMELOOKUP_TIME_T),
            connected=asked(pycurl.CONNECT_TIME_T),
            secured=asked(pycurl.APPCONNECT_TIME_T),
            sent=info(pycurl.PRETRANSFER_TIME_T),
            first_byte=info(pycurl.STARTTRANSFER_TIME_T),
            total=info(pycurl.TOTAL_TIME_T),
            errno=info(pycurl.OS_ERRNO) if code == pycurl.E_COULDNT_CONNECT else 0,
        )

    def close(self) -> None:
        self._let_go()
        self.curl.close()

    def _set_up(self, options: _Options) -> None:
        curl = self.curl
        for option, value in (
            (pycurl.POST, 1),
            (pycurl.NOSIGNAL, 1),
            (pycurl.TCP_NODELAY, 1),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.PROXY, ""),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.ACCEPT_ENCODING, "gzip, deflate"),
            (pycurl.USERAGENT, options.user_agent),
            (pycurl.CONNECTTIMEOUT_MS, options.connect_timeout_ms),
            (pycurl.TIMEOUT_MS, options.total_timeout_ms),
            (pycurl.MAXLIFETIME_CONN, _CONNECTION_LIFETIME),
            (pycurl.CAINFO, options.ca_file),
            (pycurl.OPENSOCKETFUNCTION, self._open_socket),
            (pycurl.HEADERFUNCTION, self._header_lines.append),
            (pycurl.WRITEFUNCTION, self._take),
        ):
            curl.setopt(option, value)

    def _take(self, chunk: bytes) -> int:
        """Keeps the body's beginning; past the limit it says 0 bytes taken, at which libcurl hangs up."""
        self._read += len(chunk)
        if len(self._body) < outcome.BODY_KEPT:
            self._body += chunk[: outcome.BODY_KEPT]
        return len(chunk) if self._read <= BODY_READ else 0

    def _open_socket(self, _purpose: int, address: Any) -> socket.socket | int:
        """The guard: libcurl asks for a socket to the very address it is about to connect to."""
        family, kind, protocol, target = address
        self._let_go()
        if not isinstance(target, tuple):
            self._blocked = "its address is not an internet address"
            return int(pycurl.SOCKET_BAD)
        if words := address_guard.refusal(str(target[0]), int(target[1]), self._allowed):
            self._blocked = words
            return int(pycurl.SOCKET_BAD)
        self._dialled = True
        opened = socket.socket(family, kind, protocol)
        self._handed_over.append(opened)
        return opened

    def _let_go(self) -> None:
        """pycurl works with a duplicate of the socket it is given: ours is to be closed, but afterwards."""
        while self._handed_over:
            self._handed_over.pop().close()


def _not_asked(_: int) -> int:
    return 0


def _ascii(url: str) -> str:
    """The URL with its host in punycode and the rest percent-encoded, as it goes over the wire."""
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode()
    port = f":{parts.port}" if parts.port is not None else ""
    keep = "/%:@!$&'()*+,;=~-._?"
    return urlunsplit((parts.scheme, host + port, quote(parts.path, keep), quote(parts.query, keep), ""))
