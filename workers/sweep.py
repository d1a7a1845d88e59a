"""The sweep: finds due work though no hint came, in every worker, one at a time by a lease in the record.

It makes hints dispensable. With Redis away it sets the work going in its own process, a second slower.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from service import logs
from service.runtime.broker_check import BROKER_UP
from service.runtime.celery_app import DELIVER, FETCH, PUBLISH, ROUTE
from service.store import deadlines
from service.store.articles import (
    accept,
    early_takedowns,
    hook_pruning,
    idempotency,
    refusals,
    search_index,
    source_silence,
)
from service.store.coordination import due_work, heartbeats
from service.store.coordination.due_work import DueWork
from service.store.database import wal
from service.store.database.record import Record
from service.store.deliveries import backfills, numbering, recovery
from service.store.feeds.feeds import wake_feeds
from workers.failure_detector import FailureDetector
from workers.hints.broker import BrokerState
from workers.leader import ClockReading, Clocks, LeaderLease, read_both
from workers.runner import TaskRunner

log = logs.get("sweep")

SWEEP_EVERY = 1.0  # seconds
PUT_BACK = timedelta(seconds=2)  # less is a clock being adjusted
BACKFILL_FOR = 0.5  # seconds
INDEX_FOR = 0.2
RARE_CHECKS_EVERY = 15.0  # seconds: how often late takedowns and dead workers are looked for
# Nothing is deleted for its age before the time of day has gone as steadily for so long: it may be wrong for a while.
CLOCK_PROVEN = 600.0  # seconds
CLOCK_DRIFT = 60.0
SWEEP_LEASE = timedelta(seconds=3)
HINTS_IN_VAIN = 3  # rounds in a row in which work was due though it was hinted: then it is done here


class Sweep:
    """A thread of its own: nothing that a drain does keeps it from saying that this worker is alive."""

    def __init__(
        self,
        record: Record,
        runner: TaskRunner,
        worker: str,
        *,
        broker: BrokerState,
        notify: Callable[[], None],
        clocks: Clocks,
    ) -> None:
        """`notify` has the notices sent that are due."""
        self._record = record
        self._runner = runner
        self._worker = worker
        self._broker = broker
        self._notify = notify
        self._clocks = clocks
        self._failure_detector = FailureDetector()
        self._lease = LeaderLease(record, clocks)
        self._last_round: ClockReading | None = None
        self._steady_since: ClockReading | None = None
        self._rare_checks_at = float("-inf")  # steady
        self._silent: set[tuple[str, int]] = set()
        self._answers_at = idempotency.START  # the place of the next answers that may be old
        self._rounds_due: dict[str, int] = {}  # by task: in how many rounds in a row it was due
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = SWEEP_EVERY
            try:
                self.run_once()
                pause = self._until_next()
            except Exception as error:  # the record is away: the next round finds it, or not
                log.warning("sweep.failed", error=f"{type(error).__name__}: {error}"[:300])
            self._closing.wait(pause)

    def _until_next(self) -> float:
        now = self._clocks.now()
        moment = due_work.next_moment(self._record, now)
        if moment is None:
            return SWEEP_EVERY
        return max(0.005, min(SWEEP_EVERY, (moment - now).total_seconds()))

    def run_once(self) -> None:
        """One round: says that we live; then, if it is ours to sweep, mends overdue rows and has due work done."""
        reading = read_both(self._clocks)  # before anything that may take long
        now, proven = reading.now, self._is_proven(reading)
        starting, broker = self._broker.starting, self._broker.words()
        lost = self._failure_detector.lost(recovery.in_flight(self._record), self._clocks.steady())
        heartbeats.heartbeat(self._record, self._worker, broker=broker, now=now)
        leading = self._lease.acquire("sweep", self._worker, SWEEP_LEASE)
        if not leading and broker == BROKER_UP and not starting:
            self._help_out(now)
            return
        found = due_work.due_now(self._record, now)
        if leading:
            self._mend(found, now, proven=proven)
            self._check_clock(reading)
            if lost:
                log.warning("deliveries.recovered", count=recovery.recover(self._record, lost, now))
        for task, due in (
            (ROUTE, found.events),
            (PUBLISH, found.feeds or found.waking),
            (FETCH, found.fetches),
            (DELIVER, found.deliveries or (leading and bool(lost))),
        ):
            self._request(task, due, "" if starting else broker)

    def _check_clock(self, reading: ClockReading) -> None:
        """Notices when the time of day was put back since the last round, against a clock that goes on steadily."""
        if self._last_round is None:
            if late := recovery.clock_was_ahead(self._record, reading.now):
                log.warning("clock.was_ahead", deliveries=late)
        else:
            expected = reading.now_at_least(self._last_round)
            if expected - reading.now > PUT_BACK:
                count = recovery.clock_put_back(self._record, expected, reading.now)
                seconds = (expected - reading.now).total_seconds()
                log.warning("clock.put_back", seconds=seconds, deliveries=count)
        self._last_round = reading

    def _is_proven(self, reading: ClockReading) -> bool:
        """Whether the time of day has gone with the steady clock for long enough to delete what is old by it."""
        since = self._steady_since
        went = 0.0 if since is None else reading.before - since.after
        if since is None or abs((reading.now - since.now).total_seconds() - went) > CLOCK_DRIFT:
            self._steady_since = reading
            return False
        return went >= CLOCK_PROVEN

    def _help_out(self, now: datetime) -> None:
        """A hint may be taken by a process that is sending already: an idle one sees for itself what is due."""
        if self._runner.does(DELIVER) and due_work.deliveries_due(self._record, now):
            self._runner.start(DELIVER)

    def _mend(self, found: DueWork, now: datetime, *, proven: bool) -> None:
        if found.expiring:
            accept.expire_due(self._record, now)
            self._request(ROUTE, True, BROKER_UP)
        if found.returning:
            accept.return_due(self._record, now)
            self._request(ROUTE, True, BROKER_UP)
        while numbering.number_due(self._record, now) == numbering.MOST_NUMBERED:
            pass
        if found.waking:
            wake_feeds(self._record, now)
        if self._clocks.steady() - self._rare_checks_at >= RARE_CHECKS_EVERY:
            self._rare_checks_at = self._clocks.steady()
            deadlines.raise_late_takedowns(self._record, now)
            deadlines.raise_behind(self._record, now)
            source_silence.raise_silent(self._record, now)
            self._remove_dead(now)
            if proven:
                early_takedowns.prune(self._record, now)
                self._answers_at = idempotency.prune(self._record, self._answers_at, now)
            refusals.add_up(self._record, now)
            self._tidy(now)
            if deleted := hook_pruning.prune(self._record, now, by_age=proven):
                log.info("hooks.pruned", count=deleted)
        if found.backfills:
            self._backfill()
        if found.notices:
            self._notify()
        self._index_words()

    def _tidy(self, now: datetime) -> None:
        """Keeps SQLite's log short; a reader that stays open does not let it."""
        if (size := wal.tidy(self._record)) > wal.WAL_LONG:
            log.warning("wal.long", bytes=size)
            deadlines.raise_long_log(self._record, size, now)

    def _remove_dead(self, now: datetime) -> None:
        """Removes workers silent for an hour, by the record's times; since clocks differ, as seen from here too."""
        silent = heartbeats.stale_workers(self._record, now)
        if dead := silent & self._silent:
            log.info("workers.removed", count=heartbeats.delete_stale(self._record, dead))
        self._silent = silent

    def _backfill(self) -> None:
        """Half a second of it at a time: the sweep has other things to look after."""
        until, deliveries = time.monotonic() + BACKFILL_FOR, 0
        while time.monotonic() < until:
            step = backfills.step(self._record, self._clocks.now())
            deliveries += step.deliveries
            if step.finished is not None:
                log.info("backfill.finished", endpoint=step.finished)
            if not step.more:
                break
        if deliveries:
            log.info("backfill.advanced", deliveries=deliveries)
            self._request(DELIVER, True, BROKER_UP)

    def _index_words(self) -> None:
        """A part of a second of it at a time."""
        until = time.monotonic() + INDEX_FOR
        while search_index.catch_up(self._record) and time.monotonic() < until:
            pass

    def _request(self, task: str, due: bool, broker: str) -> None:
        """Has a task that is due done: by a hint, or here if hints do not help."""
        if not due:
            self._rounds_due.pop(task, None)
            return
        rounds = self._rounds_due[task] = self._rounds_due.get(task, 0) + 1
        patient = rounds < HINTS_IN_VAIN or not self._runner.does(task)
        if broker == BROKER_UP and patient and self._send_hint(task):
            return
        self._runner.start(task)

    def _send_hint(self, task: str) -> bool:
        try:
            self._broker.hint(task)
        except Exception as error:
            log.warning("hint.failed", task=task, error=type(error).__name__)
            return False
        return True
