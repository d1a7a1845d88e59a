"""The hands of one worker process: what a hint or the sweep sets going. Each kind of work is done by one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from service import logs
from service.runtime.celery_app import DELIVER, PUBLISH, QUEUES, ROUTE
from service.store.coordination import leases
from service.store.database.record import Record
from service.store.deliveries.routing import RoutingResult
from workers import route
from workers.deliver.loop import Courier
from workers.leader import Tenure
from workers.publish.builder import Press

log = logs.get("worker")

SPREAD_FROM = 64  # deliveries: below it, telling other processes costs more than it gains
SPREAD_PACE = 0.1  # seconds, while more is being routed: who delivers goes on until nothing is left
# Another process routes, and may not see what has just come: after so many seconds we look again, so many times.
BESIDE = (0.01, 50)
# Pushes go first: feeds are asked for this long after their stories, and a burst of articles is one build.
GATHER = 0.05  # seconds
# After a build none is begun for eight times as long, so that a flood leaves its processor to the pushes; but never
# for longer than the last of these, in seconds.
PUBLISH_PAUSE = (0.1, 8.0, 2.0)
PUBLISH_LEASE = timedelta(seconds=10)
RENEW_AFTER = 3.0  # seconds


class Hands:
    """`do(task)` does the work of one hint and returns when none is left; `start(task)` does it in the background."""

    def __init__(
        self,
        record: Record,
        press: Press,
        courier: Courier,
        worker: str,
        clock: Callable[[], datetime],
        hint: Callable[[str, float], None],
        tasks: Collection[str] = tuple(QUEUES),
        *,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`hint`: tells other processes of a task, in so many seconds. `tasks`: what is done here, not by them."""
        self._record = record
        self._press = press
        self._courier = courier
        self._worker = worker
        self._clock = clock
        self._hint = hint
        self._pool = ThreadPoolExecutor(max_workers=3, thread_name_prefix="hands")
        self._going: set[str] = set()
        self._steady = steady
        self._tenure = Tenure(record, clock, steady)
        self._came = threading.Event()
        self._routing = threading.Lock()
        self._asked = threading.Event()
        self._pressing = threading.Lock()
        self._build_at = 0.0  # monotonic
        self._untold = False  # deliveries have come that other processes were not told of
        self._spread_at = 0.0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        work = {ROUTE: self._route, PUBLISH: self._publish, DELIVER: self._deliver}
        self._work: dict[str, Callable[[], None]] = {task: work[task] for task in tasks}

    def does(self, task: str) -> bool:
        return task in self._work

    def do(self, task: str) -> None:
        self._work[task]()

    def start(self, task: str) -> None:
        """Without Redis: the work is done here, unless it is being done here already, or never is."""
        if not self.does(task):
            return
        with self._lock:
            if self._stopped.is_set() or task in self._going:
                return
            self._going.add(task)
            self._pool.submit(self._run, task)

    def stop(self) -> None:
        """Begins nothing more; what is being done comes to its end soon. For signal handlers: waits for nothing."""
        self._stopped.set()
        self._press.stop()
        self._courier.stop()

    def close(self) -> None:
        """Stops, and returns when what is being done is done: some seconds at the most."""
        self.stop()
        self._courier.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, task: str) -> None:
        try:
            if task != ROUTE:
                self.do(task)
            elif self._route_all():
                self.start(DELIVER)  # in a thread of its own: what comes meanwhile is to be routed
        except Exception:
            log.exception("work.failed", task=task)  # the sweep starts it again
        finally:
            with self._lock:
                self._going.discard(task)

    def _route(self) -> None:
        if self._route_all() and self.does(DELIVER):
            self._deliver()  # here and now: a message to ourselves would cost the time of a delivery

    def _route_all(self) -> int:
        """Routes until no event is left; returns how many deliveries that made. Others leave word and return."""
        deliveries = waits = 0
        self._came.set()
        while self._came.is_set() and not self._stopped.is_set() and self._routing.acquire(blocking=False):
            try:
                self._came.clear()
                done = route.drain(
                    self._record, self._clock, stopping=self._stopped.is_set, tell=self._spread
                )
                deliveries += done.deliveries
                if done.beside and waits < BESIDE[1]:
                    waits += 1
                    self._stopped.wait(BESIDE[0])
                    self._came.set()
            finally:
                self._routing.release()
        return deliveries

    def _spread(self, routed: RoutingResult) -> None:
        """Tells other processes what has come for them; they begin while the rest is routed."""
        if routed.feeds:
            self._hint(PUBLISH, GATHER)
        many = routed.more or routed.deliveries > SPREAD_FROM
        self._untold |= bool(routed.deliveries) and (many or not self.does(DELIVER))
        if self._untold and (not routed.more or self._steady() >= self._spread_at):
            self._untold = False
            self._spread_at = self._steady() + SPREAD_PACE
            self._hint(DELIVER, 0.0)

    def _deliver(self) -> None:
        self._courier.drain()

    def _publish(self) -> None:
        """Builds until nothing is due. May be called from any thread: one builds, the others leave word and return."""
        self._asked.set()
        while self._asked.is_set() and not self._stopped.is_set() and self._pressing.acquire(blocking=False):
            try:
                self._stopped.wait(max(0.0, self._build_at - time.monotonic()))
                self._asked.clear()
                if not self._stopped.is_set() and self._build():
                    self._asked.set()
            finally:
                self._pressing.release()

    def _build(self) -> int:
        """How many documents were built. One process builds; the lease ends by itself should it die.

        Two that build at once, as clocks that differ or a process that stood still may have it, do double work and no
        harm: what was made of an older state is not written (`store_documents`, `store_page`).
        """
        holder = f"{self._worker}/{threading.get_ident()}"
        if not self._tenure.take("publish", holder, PUBLISH_LEASE):
            return 0
        began = time.monotonic()
        try:
            return self._press.drain(self._renewal(holder))
        finally:
            leases.release(self._record, "publish", holder)
            least, times, most = PUBLISH_PAUSE
            ended = time.monotonic()
            self._build_at = ended + min(max(least, times * (ended - began)), most)

    def _renewal(self, holder: str) -> Callable[[], bool]:
        """To be asked between two documents: renews the lease in good time; False once another has taken it."""
        taken, ours = self._steady(), True

        def still_ours() -> bool:
            nonlocal taken, ours
            if ours and self._steady() - taken >= RENEW_AFTER:
                taken = self._steady()
                ours = self._tenure.take("publish", holder, PUBLISH_LEASE)
            return ours

        return still_ours
