"""One push on its way: a libcurl easy handle with the address guard at its socket, which collects the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

import pycurl

from service.settings import Network
from workers.net import outcome
from workers.net.exchange import Exchange
from workers.net.socket_guard import SocketGuard

BODY_READ = 64 * 1024  # bytes of an answer's body, after decompression
_CONNECTION_LIFETIME = 300  # seconds; a partner that moves to another address is followed within this time


class Push(NamedTuple):
    """One POST. `token` is the caller's and comes back untouched; header values hold no line breaks."""

    token: Any
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes


class Timeouts(NamedTuple):
    """Seconds. `connect` covers name look-up, TCP and TLS; `total` all of a push."""

    connect: float = 5.0
    total: float = 15.0


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True)
class TransferOptions:
    """The same for all transfers of a sender. `ca_file`: the authorities that it trusts."""

    allowed: tuple[Network, ...]
    user_agent: str
    timeouts: Timeouts
    ca_file: str


class Transfer:
    """An easy handle, used for one push after another."""

    def __init__(self, options: TransferOptions) -> None:
        self.curl = pycurl.Curl()
        self._guard = SocketGuard(options.allowed)
        self._push: Push | None = None
        self._header_lines: list[bytes] = []
        self._body = bytearray()
        self._read = 0
        self._set_up(options)

    def begin(self, push: Push) -> None:
        """Prepares the handle for a push. Raises pycurl.error or ValueError for one that cannot be sent at all."""
        curl = self.curl
        url = push.url if push.url.isascii() else _ascii(push.url)
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.HTTPHEADER, ["Expect:", *[f"{name}: {value}" for name, value in push.headers]])
        curl.setopt(pycurl.POSTFIELDS, push.body)
        self._push = push
        self._header_lines.clear()
        self._body.clear()
        self._read = 0
        self._guard.begin()

    @property
    def push(self) -> Push:
        """The push that it is at."""
        assert self._push is not None
        return self._push

    def end(self, code: int, error: str) -> tuple[Push, Exchange]:
        """The push and the facts of its exchange; the handle is free for the next one."""
        assert self._push is not None
        push, self._push = self._push, None
        self._guard.end()
        info = self.curl.getinfo
        new_connections = info(pycurl.NUM_CONNECTS)
        # An answer over a connection that was there has no times of the connection's making to ask for.
        connecting = info if code or new_connections else _zero
        return push, Exchange(
            code=code,
            error=error,
            status=info(pycurl.RESPONSE_CODE),
            header_lines=self._header_lines,
            body=bytes(self._body),
            cut=self._read > BODY_READ,
            blocked=self._guard.blocked,
            verify=info(pycurl.SSL_VERIFYRESULT) if code else 0,
            request_bytes=info(pycurl.REQUEST_SIZE),
            new_connections=new_connections,
            address=info(pycurl.PRIMARY_IP) or "",
            https=push.url[:5].lower() == "https",
            lookup=connecting(pycurl.NAMELOOKUP_TIME_T),
            connected=connecting(pycurl.CONNECT_TIME_T),
            secured=connecting(pycurl.APPCONNECT_TIME_T),
            sent=info(pycurl.PRETRANSFER_TIME_T),
            first_byte=info(pycurl.STARTTRANSFER_TIME_T),
            total=info(pycurl.TOTAL_TIME_T),
            errno=info(pycurl.OS_ERRNO) if code == pycurl.E_COULDNT_CONNECT else 0,
        )

    def close(self) -> None:
        self._guard.end()
        self.curl.close()

    def _set_up(self, options: TransferOptions) -> None:
        curl = self.curl
        self._guard.set_up(curl)
        for option, value in (
            (pycurl.POST, 1),
            (pycurl.TCP_NODELAY, 1),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.ACCEPT_ENCODING, "gzip, deflate"),
            (pycurl.USERAGENT, options.user_agent),
            (pycurl.CONNECTTIMEOUT_MS, int(options.timeouts.connect * 1000)),
            (pycurl.TIMEOUT_MS, int(options.timeouts.total * 1000)),
            (pycurl.MAXLIFETIME_CONN, _CONNECTION_LIFETIME),
            (pycurl.CAINFO, options.ca_file),
            (pycurl.HEADERFUNCTION, self._header_lines.append),
            (pycurl.WRITEFUNCTION, self._read_body),
        ):
            curl.setopt(option, value)

    def _read_body(self, chunk: bytes) -> int:
        """Records the body's beginning. Past the limit it says that it took 0 bytes, at which libcurl hangs up."""
        self._read += len(chunk)
        if len(self._body) < outcome.BODY_LIMIT:
            self._body += chunk[: outcome.BODY_LIMIT]
        return len(chunk) if self._read <= BODY_READ else 0


def _zero(_: int) -> int:
    return 0


def _ascii(url: str) -> str:
    """The URL with its host in punycode and the rest percent-encoded, as it goes over the wire."""
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode()
    port = f":{parts.port}" if parts.port is not None else ""
    keep = "/%:@!$&'()*+,;=~-._?"
    return urlunsplit((parts.scheme, host + port, quote(parts.path, keep), quote(parts.query, keep), ""))
