"""HTTP/1.1 at the feeds server's connections: uvicorn's protocol, which answers what stands before all else.

A chunk of bytes that is a request known by all its bytes is answered as it comes. Else httptools parses it, and what
the front can tell at once is written at once, and remembered. All the rest takes uvicorn's way: a task, and the
application in a thread. Beyond uvicorn, heads are bounded in size and time, and so are clients that do not read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service import logs
from service.serving.middleware import READ
from service.serving.server.request_cache import Reply

if TYPE_CHECKING:
    from service.serving.server.wsgi_bridge import Bridge

log = logs.get("serving")

# Seconds for a head to come in whole: from the connection's start, later from the head's first byte.
HEAD_SECONDS = 10.0
HEAD_BYTES = 32 * 1024
# Seconds in which a client must take something of what is written to it.
SEND_SECONDS = 60.0
# Seconds that a client who was refused has to read it.
LINGER_SECONDS = 2.0
# Seconds that a client has to take what is being sent to it, once the server is told to end.
END_SECONDS = 3.0
# Requests that may wait on a connection behind one that is being answered.
WAITING = 32

_TOO_LARGE = f"the head of a request may have {HEAD_BYTES} bytes"
_READ = {name.lower().encode(): f"HTTP_{name.upper().replace('-', '_')}" for name in READ}
_BODY = frozenset((b"content-length", b"transfer-encoding"))


class FeedProtocol(HttpToolsProtocol):
    """Made by uvicorn for each connection, with a `Bridge` as its application."""

    app: Bridge

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._front, self._recall = self.app.front, self.app.recall
        # uvloop sends several parts at once, uncopied. asyncio's writelines may not tell us to pause (CVE-2024-12254).
        self._gathers = type(self.loop).__module__ == "uvloop"
        # The next byte begins a request, and the one before has been read to its end.
        self._between = True
        # Of the message being parsed: its head, all of it has been parsed; it was answered here, not by a cycle.
        self._headed = self._complete = True
        self._answered = False
        self._begun = self._chunk = 0  # messages and bytes, in the last chunk
        self._reply: Reply | None = None
        self._head_bytes = 0  # of a head that comes in several chunks
        self._deaf = False  # whatever else comes is not heard: the connection ends
        self._crowded = False
        self._since = 0.0
        self._patience = HEAD_SECONDS
        self._unsent = 0
        self._running: RequestResponseCycle | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._crowded = self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency
        self._between = not self._crowded  # else uvicorn refuses what comes
        self._since = self.loop.time()
        self._look_again(min(HEAD_SECONDS, self.timeout_keep_alive))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._running is not None:
            self._running.disconnected = True  # uvicorn tells it only to the last of those that wait
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        self._look_again(END_SECONDS, hang_up=True)

    def data_received(self, data: bytes) -> None:
        if self._between and not self._busy and not self.flow.write_paused:
            reply = self._recall.find(data)
            if reply is not None:
                self._send(reply)
                return
        if not self._deaf:
            self._parse(data)

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _send(self, reply: Reply) -> None:
        self._since, self._patience = self.loop.time(), self.timeout_keep_alive
        parts = reply.stamp(self.server_state.default_headers)
        if self._gathers:
            self.transport.writelines(parts)
        else:
            self.transport.write(b"".join(parts))

    def _parse(self, data: bytes) -> None:
        fresh, self._between = self._between, False
        self._begun, self._chunk, self._reply = 0, len(data), None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # it is answered as if nothing had been said of it; what came behind it is not HTTP
        except httptools.HttpParserError as error:
            self._refuse(*_told(error))
            return
        if not self._headed:
            self._await_head()
        elif self._complete and not self._deaf:
            self._between = data.endswith(b"\r\n\r\n")
            if fresh and self._between and self._begun == 1:
                self._learn(data)

    def _learn(self, head: bytes) -> None:
        if self._reply is not None:
            self._recall.keep(head, self._reply)

    # What the parser tells

    def on_message_begin(self) -> None:
        self._begun += 1
        self._headed = self._complete = self._answered = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._headed = True
        if self._deaf:
            return
        in_parts = self._begun == 0
        if (in_parts or self._chunk > HEAD_BYTES) and self._head_size() > HEAD_BYTES:
            self._refuse(431, _TOO_LARGE)
            return
        self._reply = self._at_once()
        if self._reply is not None:
            self._answered = True
            self._send(self._reply)
        elif len(self.pipeline) < WAITING:
            super().on_headers_complete()
        else:
            self._end()

    def on_body(self, body: bytes) -> None:
        if not self._answered and not self._deaf:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._complete = True
        if not self._answered and not self._deaf:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()  # one timer of a connection does
        # The beginning of the next head may have come with what was answered.
        self._patience = self.timeout_keep_alive if self._complete else HEAD_SECONDS
        self._since = self.loop.time()

    def _at_once(self) -> Reply | None:
        """None: let the application answer."""
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
            key = _READ.get(name)
            if key is not None:
                text = value.decode("latin-1")
                environ[key] = f"{environ[key]}, {text}" if key in environ else text
            elif name in _BODY:
                return None
        standing = self._front.at_once(environ)
        return None if standing is None else self._recall.reply(standing, method)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    # Ends of a connection

    def _await_head(self) -> None:
        """A part of a head has come: its first, or one more."""
        if self._begun:
            self._head_bytes = 0
            self._since, self._patience = self.loop.time(), HEAD_SECONDS
            self._look_again(HEAD_SECONDS)
            return
        self._head_bytes += self._chunk
        if self._head_bytes > HEAD_BYTES:
            self._refuse(431, _TOO_LARGE)

    def _refuse(self, status: int, words: str) -> None:
        """Tells it, unless an earlier request is being answered still; then the connection ends."""
        if self._busy or self.transport.is_closing():
            self._end()
            return
        self._deaf = True
        body = f"{words}\n".encode()
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        # Closed at once, with something of the client's unread, the kernel would take back what was said.
        self.transport.write_eof()
        self._since, self._patience = self.loop.time(), LINGER_SECONDS
        self._look_again(LINGER_SECONDS)

    def _end(self) -> None:
        """Ends the connection when what was asked so far has been answered."""
        self._deaf = True
        if self._busy:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _look_again(self, seconds: float, *, hang_up: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort if hang_up else self._look)

    def _look(self) -> None:
        now = self.loop.time()
        unsent, before = self.transport.get_write_buffer_size(), self._unsent
        self._unsent = unsent
        due = self._since + self._patience
        if unsent:
            if unsent == before and now - self._since >= SEND_SECONDS:
                self.transport.abort()
            else:
                self._look_again(SEND_SECONDS)
        elif self._busy:
            self._look_again(min(HEAD_SECONDS, self.timeout_keep_alive))
        elif due > now:
            self._look_again(due - now)
        else:
            self.transport.close()


def _told(error: httptools.HttpParserError) -> tuple[int, str]:
    """What was wrong with the request; a fault of ours in what the parser calls is told in the log."""
    cause = error.__context__
    if cause is None or isinstance(cause, (httptools.HttpParserError, ValueError)):
        return 400, f"not a request: {cause or error}"
    log.error("protocol.failed", exc_info=cause)
    return 500, "something went wrong on our side; the log tells what"
