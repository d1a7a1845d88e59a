"""A client of content systems' own APIs: one request at a time, bounded in time and bytes, guarded at the socket.

A request goes to the system's own host alone, and only to addresses that pushes may go to (address_guard.py).
Redirects, proxies, cookies and netrc are never used: a redirect is the answer.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

import certifi
import pycurl

from service.intake.adapters.adapter import ApiAnswer, ApiRequest
from service.settings import Network
from workers.net.socket_guard import SocketGuard

API_BYTES_MOST = 8 * 1024 * 1024  # of an answer, after decompression
API_HEADERS_MOST = 100
API_CONNECT_SECONDS = 5.0
API_TOTAL_SECONDS = 20.0
_METHODS = frozenset(("GET", "POST", "HEAD"))


class ApiUnreachable(OSError):
    """No whole answer came. The text says why; it has no secret in it."""


class ApiClient:
    """Asks one system at a time. For one thread; close() when done."""

    def __init__(
        self, allowed: Sequence[Network], *, user_agent: str, seconds: float = API_TOTAL_SECONDS
    ) -> None:
        self._guard = SocketGuard(allowed)
        self._curl = pycurl.Curl()
        self._user_agent = user_agent
        self._seconds = seconds
        self._ca_file = ssl.get_default_verify_paths().cafile or certifi.where()

    def ask(self, request: ApiRequest, base_url: str, token: str) -> ApiAnswer:
        """The system's answer, whatever its status. Raises ApiUnreachable."""
        token = token.strip()  # as it was pasted
        if words := _fault(request, base_url) or _fault_of_token(token):
            raise ApiUnreachable(words)
        body = bytearray()
        lines: list[bytes] = []

        def read(chunk: bytes) -> int:
            body.extend(chunk)
            return len(chunk) if len(body) <= API_BYTES_MOST else 0

        self._prepare(request, token)
        self._curl.setopt(pycurl.WRITEFUNCTION, read)
        self._curl.setopt(pycurl.HEADERFUNCTION, lines.append)
        try:
            self._curl.perform()
        except pycurl.error as error:
            if len(body) > API_BYTES_MOST:
                raise ApiUnreachable(f"answered with more than {API_BYTES_MOST:,} bytes") from None
            blocked = self._guard.blocked
            words = f"was not called: {blocked}" if blocked else f"did not answer: {error.args[1]}"
            raise ApiUnreachable(words[:300]) from None
        finally:
            self._guard.end()
        return ApiAnswer(self._curl.getinfo(pycurl.RESPONSE_CODE), _headers(lines), bytes(body))

    def close(self) -> None:
        self._guard.end()
        self._curl.close()

    def _prepare(self, request: ApiRequest, token: str) -> None:
        curl = self._curl
        curl.reset()  # the connections stay
        self._guard.begin()
        self._guard.set_up(curl)
        headers = {name: value.replace("{token}", token) for name, value in request.headers.items()}
        if request.body is not None:
            headers.setdefault("Content-Type", "application/json")
        for option, value in (
            (pycurl.URL, request.url.replace("{token}", quote(token, safe="")).encode()),
            (pycurl.ACCEPT_ENCODING, "gzip, deflate"),
            (pycurl.USERAGENT, self._user_agent),
            (pycurl.CONNECTTIMEOUT_MS, int(API_CONNECT_SECONDS * 1000)),
            (pycurl.TIMEOUT_MS, int(self._seconds * 1000)),
            (pycurl.CAINFO, self._ca_file),
            (
                pycurl.HTTPHEADER,
                ["Expect:", *[f"{name}: {value}".encode() for name, value in headers.items()]],
            ),
        ):
            curl.setopt(option, value)
        if request.method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        elif request.method == "POST":
            curl.setopt(pycurl.POST, 1)
            curl.setopt(pycurl.POSTFIELDS, b"" if request.body is None else json.dumps(request.body).encode())


def _fault(request: ApiRequest, base_url: str) -> str | None:
    """The reason why a request is not sent at all."""
    if request.method not in _METHODS:
        return f"was not called: {request.method} is no method that only reads"
    if not request.url.isascii() or any(ord(character) < 0x21 for character in request.url):
        return "was not called: the address has blanks or letters that must be percent-encoded"
    if _origin(request.url) is None or _origin(request.url) != _origin(base_url):
        return f"was not called: {_host(request.url)} is not the source's own address {base_url}"
    if any(mark in text for pair in request.headers.items() for text in pair for mark in "\r\n\0"):
        return "was not called: a header has a line break"
    return None


def _fault_of_token(token: str) -> str | None:
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in token):
        return "was not called: the API token has a line break or a control character in it: --api-token T sets it"
    return None


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    if port is None or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0][:100]


def _headers(lines: Sequence[bytes]) -> dict[str, str]:
    """The headers of the final answer."""
    start = max((place for place, line in enumerate(lines) if line[:5] == b"HTTP/"), default=0)
    pairs = [
        line.decode("latin-1").partition(":") for line in lines[start + 1 : start + 1 + API_HEADERS_MOST]
    ]
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}
