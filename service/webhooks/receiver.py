"""A partner's receiver: an HTTP server that verifies pushes and puts them into an inbox.

It is the engine of `dateline receive`, the partners of the demo, and the honest partner of the tests. It follows
docs/partners.md to the letter.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, ClassVar

from service import times
from service.webhooks import inbox, signatures
from service.webhooks.inbox import Inbox, NotAPush, ReceivedPush
from service.webhooks.signatures import BadSignature

BODY_MAX = 8 * 1024 * 1024
IDLE_SECONDS = 60  # a connection without a request for so long is closed
RETRY_AFTER_SECONDS = 2  # in the answers of `fail_every`


class Receiver:
    """A receiver listening on HOST:PORT (port 0: any free one) in threads of its own.

    `secrets` are the signing secrets it accepts. `fail_every=n` answers every n-th push 503 without looking
    at it. `on_push` is called with every verified push, in the thread that received it. start() and stop()
    once each, or use it in a `with`.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        *,
        listen: str = "127.0.0.1:0",
        fail_every: int = 0,
        on_push: Callable[[ReceivedPush], None] | None = None,
        clock: Callable[[], datetime] = times.now,
    ) -> None:
        self.secrets = list(secrets)
        self.fail_every = fail_every
        self.inbox = Inbox()
        self.pushes: list[ReceivedPush] = []
        self.refusals: list[str] = []  # the reason of each
        self.clock = clock
        self._on_push = on_push
        self._count = 0
        self._lock = Lock()
        self._server = _ReceiverServer(_address(listen), self)
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}/"

    def start(self) -> Receiver:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends every connection and waits for the threads to end."""
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def __enter__(self) -> Receiver:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def must_fail(self) -> bool:
        """Tells whether `fail_every` picks this push."""
        with self._lock:
            self._count += 1
            return self.fail_every > 0 and self._count % self.fail_every == 0

    def receive(self, headers: dict[str, str], body: bytes) -> ReceivedPush:
        """Verifies one push and puts it into the inbox. Raises BadSignature or NotAPush."""
        now = self.clock()
        message_id = signatures.verify(self.secrets, headers, body, now)
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise NotAPush(f"the body is not JSON: {error}") from error
        sequence = headers.get("dateline-sequence", "")
        number = int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) < 19 else None
        push = self.inbox.take(message_id, message, number, now)
        self.pushes.append(push)
        if self._on_push:
            self._on_push(push)
        return push


def serve(
    listen: str, secrets: Sequence[str], *, name: str = "", fail_every: int = 0, as_json: bool = False
) -> None:
    """Receives until SIGTERM or SIGINT, printing a line per push. For the main thread. Raises OSError."""

    def show(push: ReceivedPush) -> None:
        say(inbox.json_line(push) if as_json else inbox.text_line(push, name))

    ends = (signal.SIGTERM, signal.SIGINT)
    # Blocked in every thread from the start, so that one that comes early waits for sigwait and is not lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with Receiver(secrets, listen=listen, fail_every=fail_every, on_push=show) as receiver:
        say(json.dumps({"listening": receiver.url}) if as_json else f"receiving at {receiver.url}")
        signal.sigwait(ends)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


class _ReceiverServer(ThreadingHTTPServer):
    daemon_threads = False  # server_close() then waits for them
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        self.receiver = receiver
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _ReceiverHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Wakes the threads that wait for a next request on an open connection."""
        with self._lock:
            for each in self._open:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:  # its sender was quicker
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores senders that go away; anything else is a fault of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _ReceiverHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "dateline-receive"
    sys_version = ""
    timeout = IDLE_SECONDS
    wbufsize = -1  # an answer in one packet
    server: _ReceiverServer
    _REFUSALS: ClassVar = {BadSignature: 401, NotAPush: 400}

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        receiver = self.server.receiver
        if receiver.must_fail():
            self._answer(503, {"error": "busy, by fail_every"}, {"Retry-After": str(RETRY_AFTER_SECONDS)})
            return
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            push = receiver.receive(headers, body)
        except (BadSignature, NotAPush) as error:
            receiver.refusals.append(str(error))
            self._answer(self._REFUSALS[type(error)], {"error": str(error)})
        else:
            self._answer(200, {"result": push.result})

    def do_GET(self) -> None:
        inbox = self.server.receiver.inbox
        articles = list(inbox.articles.values())
        self._answer(200, {"sequence": inbox.sequence, "articles": articles})

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or len(length) > 9:
            self._refuse_unread(411, "Content-Length is needed")
            return None
        if int(length) > BODY_MAX:
            self._refuse_unread(413, f"more than {BODY_MAX} bytes")
            return None
        return self.rfile.read(int(length))

    def _refuse_unread(self, status: int, words: str) -> None:
        self.close_connection = True
        self._answer(status, {"error": words}, {"Connection": "close"})

    def _answer(self, status: int, facts: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        body = json.dumps(facts, ensure_ascii=False).encode("utf-8", "replace")
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: on_push hears of the pushes."""
