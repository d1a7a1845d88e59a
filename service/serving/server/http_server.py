"""A server: the loop with its connections, threads and ticks, from its start to its end."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import threading
import time
from contextlib import suppress
from email.utils import formatdate

from service import logs
from service.serving.server.connections import ConnectionTable
from service.serving.server.context import ServerContext, Site
from service.serving.server.lanes import ThreadLane
from service.serving.server.limits import Limits
from service.serving.server.listener import AT_A_TIME, Listener
from service.serving.server.protocol import HttpProtocol
from service.serving.server.refusals import RefusalLog
from service.serving.server.wsgi_bridge import WsgiBridge

try:
    import uvloop
except ImportError:  # Windows, PyPy
    uvloop = None  # type: ignore[assignment, unused-ignore]

log = logs.get("http")

TICK_SECONDS = 0.1


class HttpServer:
    """Serves a site on a listening socket until `stop`, SIGTERM or SIGINT."""

    def __init__(
        self, site: Site, listening: socket.socket, limits: Limits | None = None, *, shared: bool = False
    ) -> None:
        """`shared`: other processes accept from this socket, too."""
        self.site = site
        self.limits = limits or Limits()
        self.started = threading.Event()
        self._listening = listening
        self._shared = shared
        self._second = 0
        self._stopping: asyncio.Event | None = None

    def run(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        with asyncio.Runner(loop_factory=(lambda: loop) if loop else _new_loop) as runner:
            runner.run(self._serve())

    def stop(self) -> None:
        """From any thread."""
        if self._stopping is not None:
            with suppress(RuntimeError):  # it has ended
                self.context.loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        stopping = self._stopping = asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stopping.set)
        self._prepare(loop)
        table = self.context.table
        listener = Listener(
            self._listening,
            table,
            lambda: HttpProtocol(self.context),
            at_a_time=1 if self._shared else AT_A_TIME,
        )
        self._tick(time.time())
        listener.start()
        self.started.set()
        while not stopping.is_set():
            try:
                await asyncio.wait_for(stopping.wait(), TICK_SECONDS)
            except TimeoutError:
                self._tick(time.time())
        listener.close()
        await self._end()

    def _prepare(self, loop: asyncio.AbstractEventLoop) -> None:
        refusals, site = RefusalLog(), self.site
        bridge = WsgiBridge(site.middleware, loop)
        lanes = {
            name: ThreadLane(bridge.start(name, threads), threads, self.limits.queue)
            for name, threads in site.lanes.items()
        }
        table = ConnectionTable(self.limits, refusals)
        self.context = ServerContext(site, self.limits, loop, table, refusals, lanes)

    def _tick(self, now: float) -> None:
        """Ten times a second: the date is right to a tenth of a second, and no time limit is missed by more."""
        context = self.context
        context.table.check(context.loop.time())
        if int(now) == self._second:
            return
        self._second = int(now)
        context.date = [(b"date", formatdate(now, usegmt=True).encode())]
        context.refusals.write()
        self.site.requests.drop_stale()
        for lane in context.lanes.values():
            lane.expire(context.loop.time() - self.limits.queue_seconds)

    async def _end(self) -> None:
        """Answers what came, for a bounded time; clients that do not read have less of it."""
        context, loop = self.context, self.context.loop
        context.ending = True
        began = loop.time()
        while context.table.all and loop.time() - began < self.limits.end_seconds:
            for each in list(context.table.all):
                each.shutdown(hang_up=loop.time() - began >= self.limits.hang_up_seconds)
            await asyncio.sleep(0.02)
            self._tick(time.time())
        if context.table.all:
            log.warning("http.cut_off", connections=len(context.table.all))
        for each in list(context.table.all):
            each.hang_up()
        for lane in context.lanes.values():
            lane.close()
        context.refusals.write()
        await asyncio.sleep(0)


def _new_loop() -> asyncio.AbstractEventLoop:
    return uvloop.new_event_loop() if uvloop else asyncio.new_event_loop()


def freeze() -> None:
    """Tells the garbage collector to leave out all that there is before the first request: it stays for ever."""
    gc.collect()
    gc.freeze()
