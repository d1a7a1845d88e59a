"""HTTP/1.1 on the feeds server's connections: uvicorn's protocol, which answers from memory before all else.

A chunk of bytes that the request cache knows is answered as it comes. Otherwise httptools parses it, and an answer that
the middleware has in memory is written at once, and remembered. All other requests take uvicorn's way: a task, and the
application in a thread. Beyond uvicorn, heads are bounded in size and time, and so are clients that do not read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service import logs
from service.serving.middleware import SELECTING_HEADERS
from service.serving.server.request_cache import RawResponse

if TYPE_CHECKING:
    from service.serving.server.wsgi_bridge import WsgiBridge

log = logs.get("serving")

# Seconds for a whole head to arrive: from the connection's start, later from the head's first byte.
HEAD_SECONDS = 10.0
HEAD_BYTES = 32 * 1024
# Seconds in which a client must read some of its answer.
SEND_SECONDS = 60.0
# Seconds that a refused client has to read the refusal.
LINGER_SECONDS = 2.0
# Seconds that a client has to read its answer once the server begins to end.
HANG_UP_SECONDS = 3.0
# Requests that may wait on a connection behind one that is being answered.
PIPELINED = 32

_TOO_LARGE = f"the head of a request may have {HEAD_BYTES} bytes"
_ENVIRON_KEYS = {
    name.lower().encode(): f"HTTP_{name.upper().replace('-', '_')}" for name in SELECTING_HEADERS
}
_BODY_HEADERS = frozenset((b"content-length", b"transfer-encoding"))


class FeedProtocol(HttpToolsProtocol):
    """uvicorn makes one for each connection, with a `WsgiBridge` as its application."""

    app: WsgiBridge

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._middleware, self._requests = self.app.middleware, self.app.requests
        # uvloop sends several parts in one call, uncopied. asyncio's writelines may fail to pause us (CVE-2024-12254).
        self._gathers = type(self.loop).__module__ == "uvloop"
        # The next byte begins a request: the one before was read to its end.
        self._between = True
        # Of the message that is being parsed: its head is parsed; all of it is parsed; it was answered here, not by a
        # cycle of uvicorn's.
        self._head_complete = self._complete = True
        self._answered = False
        self._messages = self._chunk_bytes = 0  # of the last chunk
        self._response: RawResponse | None = None
        self._head_bytes = 0  # of a head that comes in several chunks
        self._ending = False  # the connection ends: further bytes are ignored
        self._crowded = False
        self._active_at = 0.0
        self._patience = HEAD_SECONDS
        self._unsent_bytes = 0
        self._running: RequestResponseCycle | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._crowded = self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency
        self._between = not self._crowded  # if crowded, uvicorn refuses its requests
        self._active_at = self.loop.time()
        self._check_again(min(HEAD_SECONDS, self.timeout_keep_alive))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._running is not None:
            self._running.disconnected = True  # uvicorn sets it only on the last one that waits
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        self._check_again(HANG_UP_SECONDS, hang_up=True)

    def data_received(self, data: bytes) -> None:
        if self._between and not self._busy and not self.flow.write_paused:
            response = self._requests.find(data)
            if response is not None:
                self._send(response)
                return
        if not self._ending:
            self._parse(data)

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _send(self, response: RawResponse) -> None:
        self._active_at, self._patience = self.loop.time(), self.timeout_keep_alive
        parts = response.stamp(self.server_state.default_headers)
        if self._gathers:
            self.transport.writelines(parts)
        else:
            self.transport.write(b"".join(parts))

    def _parse(self, data: bytes) -> None:
        fresh, self._between = self._between, False
        self._messages, self._chunk_bytes, self._response = 0, len(data), None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # it is answered as if it asked for no upgrade; the bytes behind it are not HTTP
        except httptools.HttpParserError as error:
            self._refuse(*_explain(error))
            return
        if not self._head_complete:
            self._await_head()
        elif self._complete and not self._ending:
            self._between = data.endswith(b"\r\n\r\n")
            if fresh and self._between and self._messages == 1:
                self._remember(data)

    def _remember(self, head: bytes) -> None:
        if self._response is not None:
            self._requests.put(head, self._response)

    # Calls of the parser

    def on_message_begin(self) -> None:
        self._messages += 1
        self._head_complete = self._complete = self._answered = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_complete = True
        if self._ending:
            return
        in_parts = self._messages == 0
        if (in_parts or self._chunk_bytes > HEAD_BYTES) and self._head_size() > HEAD_BYTES:
            self._refuse(431, _TOO_LARGE)
            return
        self._response = self._select()
        if self._response is not None:
            self._answered = True
            self._send(self._response)
        elif len(self.pipeline) < PIPELINED:
            super().on_headers_complete()
        else:
            self._end()

    def on_body(self, body: bytes) -> None:
        if not self._answered and not self._ending:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._complete = True
        if not self._answered and not self._ending:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()  # one timer is enough for a connection
        # The beginning of the next head may have come with the answered request.
        self._patience = self.timeout_keep_alive if self._complete else HEAD_SECONDS
        self._active_at = self.loop.time()

    def _select(self) -> RawResponse | None:
        """The answer that is in memory; None if the application must answer."""
        parser, url = self.parser, self.url
        if self._busy or self._crowded or self.flow.write_paused or not url.startswith(b"/"):
            return None
        if parser.get_http_version() != "1.1" or not parser.should_keep_alive() or parser.should_upgrade():
            return None
        path = url.partition(b"?")[0]
        if b"%" in path:
            path = unquote_to_bytes(path)
        method = parser.get_method().decode("ascii")
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path.decode("latin-1")}
        for name, value in self.headers:
            key = _ENVIRON_KEYS.get(name)
            if key is not None:
                text = value.decode("latin-1")
                environ[key] = f"{environ[key]}, {text}" if key in environ else text
            elif name in _BODY_HEADERS:
                return None
        selection = self._middleware.select(environ)
        return None if selection is None else self._requests.response(selection, method)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    # The end of a connection

    def _await_head(self) -> None:
        """A part of a head came: its first, or one more."""
        if self._messages:
            self._head_bytes = 0
            self._active_at, self._patience = self.loop.time(), HEAD_SECONDS
            self._check_again(HEAD_SECONDS)
            return
        self._head_bytes += self._chunk_bytes
        if self._head_bytes > HEAD_BYTES:
            self._refuse(431, _TOO_LARGE)

    def _refuse(self, status: int, words: str) -> None:
        """Sends the refusal, unless an earlier request is still being answered; then the connection ends."""
        if self._busy or self.transport.is_closing():
            self._end()
            return
        self._ending = True
        body = f"{words}\n".encode()
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        # If we closed at once, with unread bytes of the client, the kernel would discard the refusal.
        self.transport.write_eof()
        self._active_at, self._patience = self.loop.time(), LINGER_SECONDS
        self._check_again(LINGER_SECONDS)

    def _end(self) -> None:
        """Ends the connection once the requests so far are answered."""
        self._ending = True
        if self._busy:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _check_again(self, seconds: float, *, hang_up: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort if hang_up else self._check)

    def _check(self) -> None:
        now = self.loop.time()
        unsent, before = self.transport.get_write_buffer_size(), self._unsent_bytes
        self._unsent_bytes = unsent
        due = self._active_at + self._patience
        if unsent:
            if unsent == before and now - self._active_at >= SEND_SECONDS:
                self.transport.abort()
            else:
                self._check_again(SEND_SECONDS)
        elif self._busy:
            self._check_again(min(HEAD_SECONDS, self.timeout_keep_alive))
        elif due > now:
            self._check_again(due - now)
        else:
            self.transport.close()


def _explain(error: httptools.HttpParserError) -> tuple[int, str]:
    """The status and words for the client. A fault of ours in a call of the parser goes into the log."""
    cause = error.__context__
    if cause is None or isinstance(cause, (httptools.HttpParserError, ValueError)):
        return 400, f"not a request: {cause or error}"
    log.error("protocol.failed", exc_info=cause)
    return 500, "something went wrong on our side; see the log"
