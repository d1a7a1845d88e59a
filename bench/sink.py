"""The partners' side: a local receiver that notes all that arrives, too cheap to spoil the measurement.

It is nginx where that is installed. Otherwise, and where partners must misbehave, it is a small server of our own:
`python -m bench.sink PORT LOG`. Both write one line for each answer: Unix time, webhook-id, status.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import IO

from bench.processes import Processes, answers, free_port, module

_ANSWERS = {
    b"200": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
}
_FLUSH_SECONDS = 0.1
_MOST_LOOKS = 5
LATE_SECONDS = 14.0  # a second before a push is given up
_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.error crit; {user}
events {{ worker_connections 4096; }}
http {{
  log_format arrivals '$msec $http_webhook_id $status';
  access_log {log} arrivals buffer=64k flush=100ms;
  keepalive_requests 100000000; keepalive_timeout 600; client_body_buffer_size 64k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200; }} }}
}}
"""


class Sink:
    """A running receiver. `url(n)` is the n-th partner's address."""

    def __init__(self, processes: Processes, folder: Path, *, misbehaving: bool = False) -> None:
        self.port = free_port()
        self.log = folder / "arrivals.log"
        self.log.touch()
        self.log.chmod(0o666)
        nginx = None if misbehaving else _nginx()
        self.kind = "nginx" if nginx else "own"
        if nginx:
            config = folder / "nginx.conf"
            user = "user root;" if Path("/root").owner() == folder.owner() else ""
            config.write_text(_NGINX.format(folder=folder, log=self.log, port=self.port, user=user))
            processes.start("sink", [nginx, "-p", str(folder), "-c", str(config)])
        else:
            processes.start("sink", module("bench.sink", str(self.port), str(self.log)))
        processes.wait("sink", lambda: answers(self.port))
        self._read = 0

    def url(self, number: int, behaviour: str = "ok") -> str:
        """`behaviour` is ok, fail (answers 500), hang (never answers) or late (answers after LATE_SECONDS)."""
        return f"http://127.0.0.1:{self.port}/{behaviour}/{number}"

    def arrivals(self) -> list[tuple[float, str, int]]:
        """(Unix time, webhook-id, status) of all that was answered since the last call."""
        found: list[tuple[float, str, int]] = []
        for _ in range(_MOST_LOOKS):
            time.sleep(3 * _FLUSH_SECONDS)  # its log is flushed by then, unless the machine is busy
            more = self._read_on()
            found += more
            if not more:
                break
        return found

    def _read_on(self) -> list[tuple[float, str, int]]:
        """The whole lines that have been added to the log."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            whole, end, _ = log.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        lines = [line.split() for line in whole.decode().splitlines()]
        return [(float(at), name, int(status)) for at, name, status in lines]


def _nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


class _SinkConnection(asyncio.Protocol):
    """Speaks HTTP/1.1 with Content-Length, as pushes are: nothing else is sent here."""

    def __init__(self, log: IO[str]) -> None:
        self._log = log
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            whole = end + 4 + int(_header(head, b"content-length") or 0)
            if len(self._received) < whole:
                return
            del self._received[:whole]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/hang"):
            return
        if path.startswith(b"/late"):
            asyncio.get_running_loop().call_later(LATE_SECONDS, self._answer_with, head, b"200")
            return
        self._answer_with(head, b"500" if path.startswith(b"/fail") else b"200")

    def _answer_with(self, head: bytes, status: bytes) -> None:
        name = _header(head, b"webhook-id") or b"-"
        self._log.write(f"{time.time():.6f} {name.decode()} {status.decode()}\n")
        self._transport.write(_ANSWERS[status])


def _header(head: bytes, name: bytes) -> bytes | None:
    at = head.lower().find(b"\r\n" + name + b":")
    return None if at < 0 else head[at + len(name) + 3 :].split(b"\r\n", 1)[0].strip()


async def _serve(port: int, path: str) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    with open(path, "a", buffering=1024 * 1024) as log:
        server = await loop.create_server(lambda: _SinkConnection(log), "127.0.0.1", port, backlog=4096)
        while not ended.is_set():
            await asyncio.sleep(_FLUSH_SECONDS)
            log.flush()
        server.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
