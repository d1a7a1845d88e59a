"""From ASGI to our WSGI application, in threads: for what is answered neither at once nor often."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from service.http.problems import Problem
from service.serving.middleware import Environ, Front
from service.serving.server.request_cache import RawHeaders, Recall

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope

THREADS = 8


class Bridge:
    """An ASGI application that reads no body: a request that announces one is refused, and its connection ends."""

    def __init__(self, front: Front, recall: Recall) -> None:
        self.front = front
        self.recall = recall
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="feeds")

    def close(self) -> None:
        """Takes no more; what is being answered is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: HTTPScope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        environ = _environ(scope)
        loop = asyncio.get_running_loop()
        status, headers, body = await loop.run_in_executor(self._threads, self._answer, environ)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _answer(self, environ: Environ) -> tuple[int, RawHeaders, bytes]:
        told: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
            told.append((status, headers))

        refused = _refusal(environ)
        app = refused.response() if refused else self.front
        answer: Iterable[bytes] = app(environ, start)
        try:
            body = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        status, headers = told[-1]
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return int(status[:3]), raw, body


def _refusal(environ: Environ) -> Problem | None:
    if environ.get("CONTENT_LENGTH", "0") == "0" and "HTTP_TRANSFER_ENCODING" not in environ:
        return None
    if environ["REQUEST_METHOD"] in {"GET", "HEAD", "OPTIONS"}:
        return Problem(413, "too-large", "no body is taken here", headers={"Connection": "close"})
    words = (
        f"{environ['REQUEST_METHOD']} is not possible here: this is the feeds server; the web takes articles"
    )
    return Problem(
        405, "method-not-allowed", words, headers={"Connection": "close", "Allow": "GET, HEAD, OPTIONS"}
    )


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
        if b"_" in name:  # would pass for another
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in {"CONTENT_LENGTH", "CONTENT_TYPE"} else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]}, {text}" if key in environ else text
    return environ
