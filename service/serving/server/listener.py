"""Accepts connections. Without a free file descriptor it pauses, says so, and closes what is idle."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable

from service import logs
from service.serving.server.connections import ConnectionTable

log = logs.get("http")

BACKLOG = 2048
# Connections that are accepted at a time: between them the others are read.
AT_A_TIME = 64
PAUSE_SECONDS = 0.1
WARN_SECONDS = 10.0
_NO_FILES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """`shared`: other processes of ours listen there, too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((host, port))
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


class Listener:
    """`at_a_time`: one where several processes share the socket, so that each gets its part."""

    def __init__(
        self,
        listening: socket.socket,
        table: ConnectionTable,
        make: Callable[[], asyncio.Protocol],
        *,
        at_a_time: int = AT_A_TIME,
    ) -> None:
        self._socket = listening
        self._table = table
        self._make = make
        self._at_a_time = at_a_time
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._warn_from = 0.0
        self._resume: asyncio.TimerHandle | None = None
        self.pauses = 0

    def start(self) -> None:
        self._resume = None
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(self._at_a_time):
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_FILES:
                    raise
                self._pause(error)
                return
            accepted.setblocking(False)
            task = self._loop.create_task(self._connect(accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, accepted)
        except OSError:  # the client has gone already
            accepted.close()

    def _pause(self, error: OSError) -> None:
        """Accepts no more for a moment: connections in the kernel's queue would wake the loop again and again."""
        self.pauses += 1
        self._loop.remove_reader(self._socket)
        self._resume = self._loop.call_later(PAUSE_SECONDS, self.start)
        closed = self._table.make_room()
        now = time.monotonic()
        if now >= self._warn_from:
            self._warn_from = now + WARN_SECONDS
            log.error(
                "http.no_file_descriptors",
                error=str(error),
                connections=len(self._table.all),
                closed_idle=closed,
                remedy="raise the limit of open files (ulimit -n, LimitNOFILE)",
            )
