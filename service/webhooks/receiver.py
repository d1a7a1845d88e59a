"""A partner's receiver: verifies pushes, drops repeats, keeps the newest revision of each article.

The engine of `dateline receive`, the partners of the demo, and the honest partner of the tests. It follows
docs/partners.md to the letter. It keeps everything in memory: for trying things out, not for production.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, ClassVar

from service.webhooks import signatures
from service.webhooks.signatures import BadSignature

BODY_MAX = 8 * 1024 * 1024
IDLE_SECONDS = 60  # a sender that says nothing for so long is hung up on
RETRY_AFTER_SECONDS = 2  # what the answers of `fail_every` ask for


@dataclass(frozen=True)
class Received:
    """One verified push. `result` is stored, repeat (its id was seen) or stale (a newer revision is held)."""

    at: datetime
    id: str
    type: str
    article: str
    revision: int
    status: str
    headline: str | None
    sequence: int | None
    result: str
    message: dict[str, Any] = field(repr=False)


class NotAPush(ValueError):
    """The body is signed well but is no push; the text says what is missing."""


class Held:
    """What the receiver holds: per article the newest revision's `data`. Safe for many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: dict[str, None] = {}  # ids, oldest first
        self.articles: dict[str, dict[str, Any]] = {}
        self.sequence = 0

    def take(self, message_id: str, message: dict[str, Any], sequence: int | None, at: datetime) -> Received:
        """Stores the push unless it is a repeat or stale. Raises NotAPush."""
        data = _data(message)
        article, revision = data["article"], data["revision"]
        with self._lock:
            held = self.articles.get(article)
            if message_id in self._seen:
                result = "repeat"
            elif held and revision <= held["revision"]:
                result = "stale"
            else:
                result = "stored"
                self.articles[article] = data
            self._remember(message_id)
            self.sequence = max(self.sequence, sequence or 0)
        headline = data.get("headline")
        return Received(
            at,
            message_id,
            message["type"],
            article,
            revision,
            data["status"],
            headline,
            sequence,
            result,
            message,
        )

    def _remember(self, message_id: str) -> None:
        self._seen[message_id] = None
        if len(self._seen) > 100_000:
            del self._seen[next(iter(self._seen))]


def _data(message: Any) -> dict[str, Any]:
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, dict) or not isinstance(message.get("type"), str):
        raise NotAPush("a push is {type, timestamp, data}")
    for name, kind in (("article", str), ("revision", int), ("status", str)):
        if not isinstance(data.get(name), kind):
            raise NotAPush(f"data.{name} is missing or of the wrong kind")
    return data


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
        on_push: Callable[[Received], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.secrets = list(secrets)
        self.fail_every = fail_every
        self.held = Held()
        self.pushes: list[Received] = []
        self.refused: list[str] = []  # why, of what did not verify
        self.clock = clock
        self._on_push = on_push
        self._count = 0
        self._lock = Lock()
        self._server = _Server(_address(listen), self)
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
        """Ends every connection and waits until all is quiet."""
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def __enter__(self) -> Receiver:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def must_fail(self) -> bool:
        """Whether this push is one that `fail_every` picks."""
        with self._lock:
            self._count += 1
            return self.fail_every > 0 and self._count % self.fail_every == 0

    def receive(self, headers: dict[str, str], body: bytes) -> Received:
        """Verifies and takes one push. Raises BadSignature or NotAPush."""
        now = self.clock()
        message_id = signatures.verify(self.secrets, headers, body, now)
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise NotAPush(f"the body is not JSON: {error}") from error
        sequence = headers.get("dateline-sequence", "")
        number = int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) < 19 else None
        received = self.held.take(message_id, message, number, now)
        self.pushes.append(received)
        if self._on_push:
            self._on_push(received)
        return received


def serve(
    listen: str, secrets: Sequence[str], *, name: str = "", fail_every: int = 0, as_json: bool = False
) -> None:
    """Receives until SIGTERM or SIGINT, printing a line per push. For the main thread. Raises OSError."""

    def tell(received: Received) -> None:
        say(json_line(received) if as_json else text_line(received, name))

    ends = (signal.SIGTERM, signal.SIGINT)
    # Blocked in every thread from the start, so that one that comes early waits for sigwait and is not lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with Receiver(secrets, listen=listen, fail_every=fail_every, on_push=tell) as receiver:
        say(json.dumps({"listening": receiver.url}) if as_json else f"receiving at {receiver.url}")
        signal.sigwait(ends)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def text_line(received: Received, name: str = "") -> str:
    """One push for people: time, type, revision, article, headline, sequence."""
    note = {
        "stored": "",
        "repeat": "  (repeat, dropped)",
        "stale": "  (not newer than what is held, ignored)",
    }
    parts = [
        f"{received.at:%H:%M:%S}",
        *([name] if name else []),
        received.type,
        f"r{received.revision}",
        received.article,
        received.headline or f"({received.status})",
        f"#{received.sequence}" if received.sequence is not None else "",
    ]
    line = "  ".join(part for part in parts if part) + note[received.result]
    return "".join(character if character.isprintable() else " " for character in line)


def json_line(received: Received) -> str:
    facts = asdict(received) | {"at": received.at.isoformat()}
    return json.dumps(facts, ensure_ascii=False)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() then waits for them
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        self.receiver = receiver
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Wakes the threads that wait for a next request on a kept connection."""
        with self._lock:
            for each in self._open:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:  # its sender was quicker
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that goes away is no news; anything else is a fault of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "dateline-receive"
    sys_version = ""
    timeout = IDLE_SECONDS
    wbufsize = -1  # an answer in one packet
    server: _Server
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
            received = receiver.receive(headers, body)
        except (BadSignature, NotAPush) as error:
            receiver.refused.append(str(error))
            self._answer(self._REFUSALS[type(error)], {"error": str(error)})
        else:
            self._answer(200, {"result": received.result})

    def do_GET(self) -> None:
        held = self.server.receiver.held
        articles = list(held.articles.values())
        self._answer(200, {"sequence": held.sequence, "articles": articles})

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
        """Nothing: what matters is told by on_push."""
