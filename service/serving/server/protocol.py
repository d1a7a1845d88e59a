"""HTTP/1.1 on a server's connections: the loop reads whole requests, and answers from memory before all else.

A chunk of bytes that the request cache knows is answered as it comes. Otherwise httptools parses it, and an answer that
the middleware has in memory is written at once, and remembered. All other requests are read to their end, within their
limits of size, time and rate; only then do they take a thread. docs/decisions/0012-one-front.md.
"""

from __future__ import annotations

import httptools

from service import logs
from service.serving.middleware import SELECTING_HEADERS
from service.serving.server import refusals
from service.serving.server.context import ServerContext
from service.serving.server.exchanges import RequestSequence
from service.serving.server.refusals import BODIES_FULL, FAULT
from service.serving.server.request import Request
from service.serving.server.request_cache import RawResponse
from service.serving.server.turns import flow_of

log = logs.get("http")

_ENVIRON_KEYS = {
    name.lower().encode(): f"HTTP_{name.upper().replace('-', '_')}" for name in SELECTING_HEADERS
}


class HttpProtocol(RequestSequence):
    """One connection of a client."""

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self._middleware, self._requests = context.site.middleware, context.site.requests
        self._parser = httptools.HttpRequestParser(self)
        # The next byte begins a request: the one before was read to its end.
        self._between = True
        self._head_again = False  # the parser gets a head that was read already: see `_after_upgrade`
        self._messages = self._head_bytes = 0
        self._response: RawResponse | None = None

    def data_received(self, data: bytes) -> None:
        if self._between and self.answering is None and not self.write_paused and not self.ending:
            response = self._requests.find(data)
            if response is not None:
                self.send(response.stamp(self.context.date))
                return
        if self.ending and self.reading is None:
            self.throw_away(len(data))
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        fresh, self._between = self._between, False
        if fresh and not data.isascii():
            data = _in_ascii(data)
        self._start_chunk()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse_bytes(error)
            return
        request = self.reading
        if request is None:
            self._between = not self.ending
            if fresh and self._between and self._messages == 1 and data.endswith(b"\r\n\r\n"):
                self._remember(data)
        elif not self.head_complete:
            self._await_head(len(data))
        else:
            self._await_body(request, len(data))

    def _start_chunk(self) -> None:
        self._messages, self._response = 0, None

    def _remember(self, head: bytes) -> None:
        if self._response is not None:
            self._requests.put(head, self._response)

    def _after_upgrade(self, rest: bytes) -> None:
        """A request to change the protocol, such as Java's clients add to any, is answered as if it did not ask.

        The parser ends there. A new one reads the body, if there is one, and what comes behind.
        """
        self._parser = httptools.HttpRequestParser(self)
        request = self.reading
        if request is not None:
            size = request.announced
            framing = b"Transfer-Encoding: chunked" if size is None else b"Content-Length: %d" % size
            self._head_again = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
            self._head_again = False
        self._between = request is None and not self.ending
        if rest and not self.ending:
            self._parse(rest)

    # Calls of the parser

    def on_message_begin(self) -> None:
        if self._head_again:
            return
        self._messages += 1
        self.head_complete = False
        self.reading = None if self.ending else Request()
        if self._messages > 1:
            self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        if self.reading is not None and not self._head_again:
            self.reading.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.reading is not None and not self.head_complete:
            self.reading.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.head_complete = True
        request = self.reading
        if request is None or self._head_again:
            return
        self._head_bytes = 0
        if _size(request) > self.limits.head_bytes or len(request.headers) > self.limits.headers:
            self.refuse_head(refusals.head_too_large(self.limits.head_bytes))
            return
        refusal = request.read_head(self._parser)
        if refusal is not None:
            self.refuse_head(refusal)
            return
        self._response = self._select(request)
        if self._response is not None:
            self.reading = None
            self.send(self._response.stamp(self.context.date))
        elif len(self.pipeline) < self.limits.pipelined:
            self._begin(request)
        else:
            self.reading = None
            self.end_after_answers()

    def on_body(self, body: bytes) -> None:
        request = self.reading
        if request is None:
            return
        size = len(body)
        if request.discard:
            self.drain(size)
            return
        request.body_bytes += size
        if request.body_bytes > request.plan.body_limit:
            self.refuse_request(request, request.plan.refusal)
        elif not self.context.table.add_body(self, size):
            self.refuse_request(request, BODIES_FULL)
        else:
            request.body.append(body)

    def on_message_complete(self) -> None:
        request = self.reading
        if request is None or (self._parser.should_upgrade() and request.announced != 0):
            return
        self.reading, request.complete = None, True
        if not request.keep_alive:
            self.ending = True
        if not request.discard:
            self.pipeline.append(request)
            self.advance()
        elif not self.pipeline and self.answering is None:  # it was answered before its body was read
            self.after_answer(request)

    def _select(self, request: Request) -> RawResponse | None:
        """The answer that is in memory; None if the application must answer."""
        if self.answering or self.pipeline or self.write_paused or self.context.ending:
            return None
        if not request.keep_alive or self._parser.should_upgrade() or request.announced != 0:
            return None
        environ = {"REQUEST_METHOD": request.method, "PATH_INFO": request.path}
        for name, value in request.headers:
            key = _ENVIRON_KEYS.get(name)
            if key is not None:
                text = value.decode("latin-1")
                environ[key] = f"{environ[key]}, {text}" if key in environ else text
        selection = self._middleware.select(environ)
        return None if selection is None else self._requests.response(selection, request.method)

    # The way of a request

    def _begin(self, request: Request) -> None:
        """Its head is read: refuses it if its body is too large or no place is free, else waits for its body."""
        plan = request.plan = self.context.site.plan(request.method, request.path)
        request.flow = flow_of(request, self.address, self.context)
        announced = request.announced
        if announced == 0:
            return
        self.since = now = self.loop.time()
        self.body_mark = 0
        self.body_deadline = now + self.limits.body_seconds
        if self.answering is None:
            self.deadline = now + self.limits.rate_seconds
        if plan.body_limit == 0 or (announced or 0) > plan.body_limit:
            self.refuse_request(request, plan.refusal)
            return
        full = self.context.lanes[plan.lane].refusal(request.flow)
        if full is not None:
            self.refuse_request(request, full)
        elif request.continues and self.answering is None and not self.pipeline:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # What comes in parts

    def _await_head(self, size: int) -> None:
        """A part of a head came: its first, or one more."""
        if self._messages:
            self._head_bytes = 0
            if self.answering is None:
                self.deadline = self.loop.time() + self.limits.head_seconds
            return
        self._head_bytes += size
        if self._head_bytes > self.limits.head_bytes:
            self.refuse_head(refusals.head_too_large(self.limits.head_bytes))

    def _await_body(self, request: Request, size: int) -> None:
        """A part of a body came. Chunks may be framed in many more bytes than they have."""
        request.wire_bytes += size
        if not request.discard and request.wire_bytes > 2 * request.plan.body_limit + 2**16:
            self.refuse_request(request, request.plan.refusal)

    def _refuse_bytes(self, error: httptools.HttpParserError) -> None:
        """A fault of ours in a call of the parser goes into the log."""
        cause = error.__context__
        self.forget_body()
        if self.ending:
            self.end_after_answers()
        elif cause is None or isinstance(cause, (httptools.HttpParserError, ValueError)):
            self.refuse_head(refusals.malformed(str(cause or error)))
        else:
            log.error("protocol.failed", exc_info=cause)
            self.refuse_head(FAULT)


def _in_ascii(data: bytes) -> bytes:
    """The first line of a request with its address percent-encoded: curl sends one of another script as it is typed."""
    line, end, rest = data.partition(b"\r\n")
    if not end or line.isascii():
        return data
    encoded = b"".join(bytes((each,)) if each < 0x80 else b"%%%02X" % each for each in line)
    return encoded + end + rest


def _size(request: Request) -> int:
    return len(request.url) + sum(len(name) + len(value) + 4 for name, value in request.headers)
