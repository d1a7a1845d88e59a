"""From ASGI to our WSGI application, in threads: for requests that are not answered at once, and rare."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from service.http.problems import Problem
from service.serving.middleware import METHODS, Environ, FeedMiddleware
from service.serving.server.request_cache import RawHeaders, RequestCache

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope

BRIDGE_THREADS = 8


class WsgiBridge:
    """An ASGI application that reads no body: it refuses a request that announces one, and ends its connection."""

    def __init__(self, middleware: FeedMiddleware, requests: RequestCache) -> None:
        self.middleware = middleware
        self.requests = requests
        self._threads = ThreadPoolExecutor(BRIDGE_THREADS, thread_name_prefix="feeds")

    def close(self) -> None:
        """Accepts no more requests; does not wait for those that are being answered."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: HTTPScope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        environ = _environ(scope)
        loop = asyncio.get_running_loop()
        status, headers, body = await loop.run_in_executor(self._threads, self._answer, environ)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _answer(self, environ: Environ) -> tuple[int, RawHeaders, bytes]:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
            started.append((status, headers))

        refusal = _refusal(environ)
        app = refusal.response() if refusal else self.middleware
        answer: Iterable[bytes] = app(environ, start)
        try:
            body = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        status, headers = started[-1]
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return int(status[:3]), raw, body


def _refusal(environ: Environ) -> Problem | None:
    if environ.get("CONTENT_LENGTH", "0") == "0" and "HTTP_TRANSFER_ENCODING" not in environ:
        return None
    method = environ["REQUEST_METHOD"]
    if method in {"GET", "HEAD", "OPTIONS"}:
        return Problem(413, "too-large", "no body is taken here", headers={"Connection": "close"})
    words = f"{method} is not possible here: this is the feeds server; the web takes articles"
    headers = {"Connection": "close", "Allow": METHODS}
    return Problem(405, "method-not-allowed", words, headers=headers)


def _environ(scope: HTTPScope) -> Environ:
    host, port = scope["server"] or ("", 0)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": scope["client"][0] if scope["client"] else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        if b"_" in name:  # would be taken for the header with a hyphen
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in {"CONTENT_LENGTH", "CONTENT_TYPE"} else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]}, {text}" if key in environ else text
    return environ
