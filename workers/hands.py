"""The hands of one worker process: what a hint or the sweep sets going. Each kind of work is done by one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from service import logs
from service.queue import DELIVER, PUBLISH, QUEUES, ROUTE
from service.store import leases
from service.store.record import Record
from workers import route
from workers.deliver import Courier
from workers.publish import Press
from workers.tenure import Tenure

log = logs.get("worker")

SPREAD_FROM = 64  # deliveries: below it, telling other processes costs more than it gains
PUBLISH_PAUSE = 0.1  # seconds between two builds, so that a burst of articles is one build
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
        hint: Callable[[str], None],
        tasks: Collection[str] = tuple(QUEUES),
        *,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tasks`: what is done here; what is not is left to other processes."""
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
        self._stopping = False
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
            if self._stopping or task in self._going:
                return
            self._going.add(task)
            self._pool.submit(self._run, task)

    def stop(self) -> None:
        """Begins nothing more; what is being done comes to its end soon. For signal handlers: takes no lock."""
        self._stopping = True
        self._press.stop()
        self._courier.stop()

    def close(self) -> None:
        """Stops, and returns when what is being done is done: some seconds at the most."""
        self.stop()
        self._courier.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, task: str) -> None:
        try:
            self.do(task)
        except Exception:
            log.exception("work.failed", task=task)  # the sweep starts it again
        finally:
            with self._lock:
                self._going.discard(task)

    def _route(self) -> None:
        done = route.drain(self._record, self._clock, lambda: self._stopping)
        if done.feeds:
            self._hint(PUBLISH)
        if done.deliveries > SPREAD_FROM or (done.deliveries and not self.does(DELIVER)):
            self._hint(DELIVER)
        if done.deliveries and self.does(DELIVER):
            self._deliver()  # here and now: a message to ourselves would cost the time of a delivery

    def _deliver(self) -> None:
        self._courier.drain()

    def _publish(self) -> None:
        """Builds until nothing is due. One process builds; the lease ends by itself should it die.

        Two that build at once, as clocks that differ or a process that stood still may have it, do double work and no
        harm: what was made of an older state is not written (`store_documents`, `store_page`).
        """
        holder = f"{self._worker}/{threading.get_ident()}"
        while self._tenure.take("publish", holder, PUBLISH_LEASE):
            try:
                built = self._press.drain(self._renewal(holder))
            finally:
                leases.release(self._record, "publish", holder)
            if not built:
                return
            time.sleep(PUBLISH_PAUSE)

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
