"""A partner's web server for the tests: it keeps every push as it came and verifies it with a library of others."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class OutletPush:
    """One request as it came over the wire. `at` is in seconds since the epoch; header names are in small letters."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.body)
        return message

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.message["data"]
        return data


class Outlet:
    """Listens on a free port. Each path is an endpoint, known once `secrets[path]` is set.

    It answers 401 to a push that does not verify and keeps it in `refused`. An answer takes `seconds`. A path in
    `careful` takes its own number of seconds, and then keeps the push only if its sender still waits for the answer.
    """

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.careful: dict[str, float] = {}
        self.secrets: dict[str, str] = {}
        self.pushes: list[OutletPush] = []  # in the order in which they came
        self.refused: list[tuple[OutletPush, str]] = []
        self.seconds = seconds
        self._lock = Lock()
        self._server = _OutletServer(self)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def of(self, article: str, path: str | None = None) -> list[OutletPush]:
        """The pushes about one article so far, at one path or all."""
        with self._lock:
            pushes = list(self.pushes)
        return [each for each in pushes if path in {None, each.path} and each.data["article"] == article]

    def __enter__(self) -> Outlet:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def take(self, push: OutletPush, still_there: Callable[[], bool]) -> int:
        """Verifies and keeps a push; returns the status of the answer."""
        fault = self._fault(push)
        if push.path in self.careful:
            time.sleep(self.careful[push.path])
            if still_there():
                self._keep(push, fault)
        else:
            self._keep(push, fault)
            time.sleep(self.seconds)
        return 401 if fault else 200

    def _keep(self, push: OutletPush, fault: str) -> None:
        with self._lock:
            if fault:
                self.refused.append((push, fault))
            else:
                self.pushes.append(push)

    def _fault(self, push: OutletPush) -> str:
        if push.path not in self.secrets:
            return "no endpoint"
        try:
            Webhook(self.secrets[push.path]).verify(push.body, push.headers)
        except WebhookVerificationError as error:
            return str(error)
        return ""


class _OutletServer(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__(("127.0.0.1", 0), _OutletHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Closes the open connections, so that the threads that wait on them end."""
        with self._lock:
            for each in self._open:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores it: some tests kill workers, which then hang up in the middle of a push."""


class _OutletHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _OutletServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.server.outlet.take(OutletPush(time.time(), self.path, headers, body), self._still_there)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _still_there(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:  # the sender has sent nothing more, and has not hung up
            return True
        except ConnectionError:
            return False

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: the pushes themselves are kept."""
