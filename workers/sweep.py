"""The sweep: finds what is due and was not told, in every worker, one at a time by a lease in the record.

It is what makes hints dispensable. With Redis away it sets the work going in its own process, a second slower.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from service import logs
from service.runtime.celery_app import DELIVER, PUBLISH, ROUTE
from service.store import deadlines
from service.store.articles import accept
from service.store.coordination import due_work, heartbeats
from service.store.coordination.due_work import DueWork
from service.store.database.record import Record
from service.store.deliveries import backfills, recovery
from service.store.feeds.feeds import wake_feeds
from workers.failure_detector import Lookout
from workers.leader import Tenure
from workers.runner import Hands

log = logs.get("sweep")

EVERY = 1.0  # seconds
PUT_BACK = timedelta(seconds=2)  # less is a clock being adjusted
BACKFILL_FOR = 0.5  # seconds
RARELY = 15.0  # seconds: how often what is late, and who is long dead, is looked for
LEASE = timedelta(seconds=3)
STUBBORN = 3  # looks in a row at which work was due though it was hinted: then it is done here


class Sweep:
    """A thread of its own: nothing that a drain does keeps it from saying that this worker is alive."""

    def __init__(
        self,
        record: Record,
        hands: Hands,
        worker: str,
        *,
        hint: Callable[[str], None],
        broker: Callable[[], str],
        tell: Callable[[], None],
        clock: Callable[[], datetime],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`hint` raises when Redis cannot be reached; `broker` says 'up', or in words what is wrong with it.

        `tell` has the notices sent that are due. `steady` is seconds that go on whatever is done to the time of day.
        """
        self._record = record
        self._hands = hands
        self._worker = worker
        self._hint = hint
        self._broker = broker
        self._tell = tell
        self._lookout = Lookout()
        self._tenure = Tenure(record, clock, steady)
        self._looked: tuple[datetime, float] | None = None
        self._clock = clock
        self._steady = steady
        self._looked_rarely = float("-inf")
        self._silent: set[tuple[str, int]] = set()
        self._seen_due: dict[str, int] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = EVERY
            try:
                self.look()
                pause = self._until_next()
            except Exception as error:  # the record is away: the next look finds it, or not
                log.warning("sweep.failed", error=f"{type(error).__name__}: {error}"[:300])
            self._closing.wait(pause)

    def _until_next(self) -> float:
        now = self._clock()
        moment = due_work.next_moment(self._record, now)
        if moment is None:
            return EVERY
        return max(0.005, min(EVERY, (moment - now).total_seconds()))

    def look(self) -> None:
        """One round: say we live; then, if it is ours to sweep, mend what is overdue and have what is due done."""
        now = self._clock()
        broker = self._broker()
        lost = self._lookout.lost(recovery.flying(self._record), self._steady())
        heartbeats.heartbeat(self._record, self._worker, broker=broker, now=now)
        leading = self._tenure.take("sweep", self._worker, LEASE)
        if not leading and broker == "up":
            self._help_out(now)
            return
        found = due_work.due_now(self._record, now)
        if leading:
            self._mend(found, now)
            self._mind_the_clock(now)
            if lost:
                log.warning("deliveries.recovered", count=recovery.free(self._record, lost, now))
        for task, due in (
            (ROUTE, found.events),
            (PUBLISH, found.feeds or found.waking),
            (DELIVER, found.deliveries or (leading and bool(lost))),
        ):
            self._have_done(task, due, broker)

    def _mind_the_clock(self, now: datetime) -> None:
        """Notices when the time of day was put back since the last look, against a clock that goes on steadily."""
        steady = self._steady()
        if self._looked is not None:
            expected = self._looked[0] + timedelta(seconds=steady - self._looked[1])
            if expected - now > PUT_BACK:
                count = recovery.clock_put_back(self._record, expected, now)
                log.warning("clock.put_back", seconds=(expected - now).total_seconds(), deliveries=count)
        self._looked = now, steady

    def _help_out(self, now: datetime) -> None:
        """A hint may be taken by a process that is sending already: whoever is idle sees for itself what is due."""
        if self._hands.does(DELIVER) and due_work.deliveries_due(self._record, now):
            self._hands.start(DELIVER)

    def _mend(self, found: DueWork, now: datetime) -> None:
        if found.expiring:
            accept.expire_due(self._record, now)
            self._have_done(ROUTE, True, "up")
        if found.waking:
            wake_feeds(self._record, now)
        if self._steady() - self._looked_rarely >= RARELY:
            self._looked_rarely = self._steady()
            deadlines.raise_late_takedowns(self._record, now)
            deadlines.raise_behind(self._record, now)
            self._forget_dead(now)
        if found.backfills:
            self._backfill()
        if found.notices:
            self._tell()

    def _forget_dead(self, now: datetime) -> None:
        """Those silent for an hour, by the record's times; but clocks differ, so only who was seen silent here, too."""
        silent = heartbeats.stale_workers(self._record, now)
        if dead := silent & self._silent:
            log.info("workers.forgotten", count=heartbeats.delete_stale(self._record, dead))
        self._silent = silent

    def _backfill(self) -> None:
        """Half a second of it at a time: the sweep has other things to look after."""
        until, deliveries = time.monotonic() + BACKFILL_FOR, 0
        while time.monotonic() < until:
            stepped = backfills.step(self._record, self._clock())
            deliveries += stepped.deliveries
            if stepped.finished is not None:
                log.info("backfill.finished", endpoint=stepped.finished)
            if not stepped.more:
                break
        if deliveries:
            log.info("backfill.went_on", deliveries=deliveries)
            self._have_done(DELIVER, True, "up")

    def _have_done(self, task: str, due: bool, broker: str) -> None:
        if not due:
            self._seen_due.pop(task, None)
            return
        seen = self._seen_due[task] = self._seen_due.get(task, 0) + 1
        patient = seen < STUBBORN or not self._hands.does(task)
        if broker == "up" and patient and self._hinted(task):
            return
        self._hands.start(task)

    def _hinted(self, task: str) -> bool:
        try:
            self._hint(task)
        except Exception as error:
            log.warning("hint.failed", task=task, error=type(error).__name__)
            return False
        return True
