"""From whole requests to a WSGI application, in threads. The event loop never waits for one."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any
from wsgiref.types import WSGIApplication

from service import logs
from service.http.credentials import hide_feed_tokens
from service.serving.server.request import Environ

log = logs.get("http")


@dataclass(frozen=True)
class WsgiAnswer:
    """The answer of the application. `close`: it asks for the connection's end."""

    status: int
    first: bytes
    head: bytes
    body: bytes
    close: bool = False


@dataclass(slots=True)
class Job:
    """A whole request for the application; `done` is called on the loop with the answer, None if there was a fault."""

    environ: Environ
    done: Callable[[WsgiAnswer | None], None]
    answer: WsgiAnswer | None = field(default=None, init=False)


class WsgiBridge:
    """Threads that run the application, and the way of their answers back to the loop."""

    def __init__(self, app: WSGIApplication, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop
        self._done: deque[Job] = deque()
        self._awake = False

    def start(self, name: str, threads: int) -> SimpleQueue[Job | None]:
        """Starts threads that work on the jobs put into the queue that it returns; None ends one of them."""
        jobs: SimpleQueue[Job | None] = SimpleQueue()
        for number in range(threads):
            facts = contextvars.copy_context()  # of the log: the process's name
            work = partial(facts.run, self._work, jobs)
            threading.Thread(target=work, name=f"{name}-{number}", daemon=True).start()
        return jobs

    def _work(self, jobs: SimpleQueue[Job | None]) -> None:
        while (job := jobs.get()) is not None:
            try:
                job.answer = run(self._app, job.environ)
            except Exception:
                log.exception("request.failed", path=hide_feed_tokens(job.environ["PATH_INFO"]))
            self._done.append(job)
            if not self._awake:  # one call wakes the loop for all that is done by then
                self._awake = True
                try:
                    self._loop.call_soon_threadsafe(self._finish)
                except RuntimeError:  # the loop is closed: nobody waits any more
                    return

    def _finish(self) -> None:
        self._awake = False
        while self._done:
            job = self._done.popleft()
            job.done(job.answer)


def run(app: WSGIApplication, environ: Environ) -> WsgiAnswer:
    """The application's whole answer."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
        started.append((status, headers))

    answer: Iterable[bytes] = app(environ, start)
    try:
        body = b"".join(answer)  # a single part is not copied: slow readers of a document share it
    finally:
        if hasattr(answer, "close"):
            answer.close()
    status, headers = started[-1]
    return _answer(environ["REQUEST_METHOD"], status, headers, body)


def _answer(method: str, status: str, headers: list[tuple[str, str]], body: bytes) -> WsgiAnswer:
    code = int(status[:3])
    lines, sized, close = [], False, False
    for name, value in headers:
        lowered = name.lower()
        sized = sized or lowered == "content-length"
        if lowered == "connection":  # the server's own
            close = close or value.lower() == "close"
            continue
        lines.append(f"{lowered}: {value}\r\n")
    bodiless = method == "HEAD" or code in {204, 304} or code < 200
    if not sized and not bodiless:
        lines.append(f"content-length: {len(body)}\r\n")
    head = "".join(lines).encode("latin-1")
    first = f"HTTP/1.1 {code} {status[4:] or HTTPStatus(code).phrase}\r\n".encode("latin-1")
    return WsgiAnswer(code, first, head, b"" if bodiless else body, close)
