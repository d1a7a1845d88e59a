"""A server of a site in a thread, asked over real connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from service.serving.server.context import Site
from service.serving.server.http_server import HttpServer
from service.serving.server.limits import Limits
from service.serving.server.listener import listen


@dataclass(frozen=True)
class ServerInThread:
    server: HttpServer
    port: int

    @property
    def connections(self) -> set[Any]:
        return set(self.server.context.table.all)


@contextmanager
def a_server_in_a_thread(
    site: Site, *, loop: str = "auto", limits: Limits | None = None
) -> Iterator[ServerInThread]:
    """`loop`: "asyncio", or any other for uvloop where it is there."""
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    server = HttpServer(site, listening, limits)
    chosen = asyncio.new_event_loop() if loop == "asyncio" else None
    thread = threading.Thread(target=server.run, args=(chosen,), daemon=True)
    thread.start()
    assert server.started.wait(20), "the server did not start"
    try:
        yield ServerInThread(server, port)
    finally:
        server.stop()
        thread.join(20)
    assert not thread.is_alive()
