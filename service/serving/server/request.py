"""A request as it is read: its head with the checks of RFC 9112, its body, and the WSGI environment of both."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import httptools

from service.serving.server.refusals import Refusal, malformed, too_large

Environ = dict[str, Any]
RawHeaders = list[tuple[bytes, bytes]]
_NOT_IN_HOST = frozenset(b" \t,/?#@\\<>\"'")


@dataclass(frozen=True)
class Plan:
    """For a method and a path: the threads that answer, the most that its body may have, and the answer to more."""

    lane: str
    body_limit: int
    refusal: Refusal


Planner = Callable[[str, str], Plan]
_NO_PLAN = Plan("", 0, too_large(0))


class Request:
    """One request of a connection. `response`: the answer that the loop has already."""

    __slots__ = (
        "body", "body_bytes", "complete", "continues", "discard", "flow", "headers", "keep_alive", "method", "path",
        "plan", "query", "response", "url", "version", "wire_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.url = b""
        self.headers: RawHeaders = []
        self.method = self.path = self.query = self.version = ""
        self.plan: Plan = _NO_PLAN
        self.keep_alive = True
        self.continues = False  # the client waits for 100 Continue
        self.body: list[bytes] = []
        self.body_bytes = self.wire_bytes = 0
        self.complete = False
        self.discard = False  # the rest of its body is read and thrown away
        self.flow: tuple[Any, ...] = ()
        self.response: Refusal | None = None

    def read_head(self, parser: httptools.HttpRequestParser) -> Refusal | None:
        """Fills the fields from the head; returns the refusal of one that is wrong."""
        self.version = parser.get_http_version()
        self.method = parser.get_method().decode("ascii")
        self.keep_alive = self.version == "1.1" and parser.should_keep_alive()
        if self.version not in {"1.1", "1.0"}:
            return malformed(f"HTTP/{self.version} is not spoken here; send HTTP/1.1")
        return self._read_target() or self._check_headers()

    def _read_target(self) -> Refusal | None:
        url = self.url
        if b"#" in url:
            return malformed("the address has a fragment")
        if not url.startswith(b"/"):
            if self.method == "CONNECT":
                return malformed("this is no proxy")
            url = _origin_form(url)
            if not url:
                return malformed("the address is neither a path nor a web address")
        path, _, query = url.partition(b"?")
        if b"%" in path:
            path = unquote_to_bytes(path)
        self.path, self.query = path.decode("latin-1"), query.decode("latin-1")
        return None

    def _check_headers(self) -> Refusal | None:
        hosts = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
                if not _NOT_IN_HOST.isdisjoint(value) or not value.isascii():
                    return malformed("the header Host is no name of a host")
            elif name == b"expect":
                self.continues = value.lower() == b"100-continue" and self.version == "1.1"
            elif name == b"transfer-encoding" and (value.lower() != b"chunked" or self.version == "1.0"):
                return malformed("of Transfer-Encoding only 'chunked' is understood, in HTTP/1.1")
        if hosts > 1 or (hosts == 0 and self.version == "1.1"):
            return malformed("a request has the header Host once")
        return None

    @property
    def announced(self) -> int | None:
        """The bytes of the body by the head: 0 without a body, None if it is chunked."""
        for name, value in self.headers:
            if name == b"content-length":
                return int(value)  # the parser takes digits alone
            if name == b"transfer-encoding":
                return None
        return 0

    def header(self, name: bytes) -> bytes:
        return next((value for each, value in self.headers if each == name), b"")

    def environ(self, server: tuple[str, int], client: str) -> Environ:
        """The environment of WSGI, with the whole body."""
        body = b"".join(self.body)
        self.body.clear()
        environ: Environ = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "REQUEST_URI": self.url.decode("latin-1"),  # as it came: some systems sign it
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1]),
            "SERVER_PROTOCOL": f"HTTP/{self.version}",
            "REMOTE_ADDR": client,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for name, value in self.headers:
            if b"_" in name or name in _OF_THE_CONNECTION:  # an underscore would be taken for a hyphen
                continue
            key = name.decode("latin-1").upper().replace("-", "_")
            key = "CONTENT_TYPE" if key == "CONTENT_TYPE" else f"HTTP_{key}"
            text = value.decode("latin-1")
            comma = "; " if name == b"cookie" else ", "
            environ[key] = f"{environ[key]}{comma}{text}" if key in environ else text
        if self.announced != 0:
            environ["CONTENT_LENGTH"] = str(len(body))
        return environ


# With an offer of a websocket Werkzeug finds no route: no offer of another protocol is taken here.
_OF_THE_CONNECTION = frozenset((b"content-length", b"transfer-encoding", b"upgrade"))


def _origin_form(url: bytes) -> bytes:
    """The path and query of `http://host/path?query`; empty if it is not one."""
    scheme, found, rest = url.partition(b"://")
    if not found or scheme.lower() not in {b"http", b"https"} or not rest or rest.startswith(b"["):
        return url if url == b"*" else b""
    host, slash, path = rest.partition(b"/")
    if not host or b"?" in host:
        return b""
    return slash + path if slash else b"/"
