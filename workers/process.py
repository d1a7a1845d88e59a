"""The worker process: Celery takes the hints, the runner does the work, the sweep finds due work without a hint."""

from __future__ import annotations

import os
import random
import re
import resource
import secrets
import signal
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from service import logs, times
from service.runtime import files
from service.runtime.broker_check import BrokerCheck
from service.runtime.celery_app import DELIVER, FETCH, PUBLISH, QUEUES, ROUTE, Waker, make_celery, send_hint
from service.runtime.embedded_redis import redis_url_of
from service.settings import Settings
from service.store import migrations
from service.store.coordination import heartbeats
from service.store.database.record import Record, open_record
from workers.deliver.loop import DeliveryLoop
from workers.deliver.slots import CAPACITY
from workers.hints.broker import BrokerState
from workers.leader import Clocks, LeaderLease
from workers.net.http_client import GuardedClient
from workers.net.transport import Sender
from workers.notifier import Notifier
from workers.route import RouteTask
from workers.runner import Task, TaskRunner
from workers.stall_detector import StallDetector
from workers.sweep import Sweep

log = logs.get("worker")

# A push takes one open file, as many connections may be kept open, and a third part is for all else.
FILES_OF_A_SLOT = 3
OPEN_FILES = FILES_OF_A_SLOT * CAPACITY
# Nobody waits for a worker as a client waits for the web; and it routes one event to thousands of endpoints at once.
WORKER_STATEMENT_SECONDS = 10.0

SWITCH_INTERVAL = 0.001  # seconds that a thread goes on while others wait
NICE = 5
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def run(settings: Settings, name: str, tasks: Collection[str]) -> int:
    """Works on these tasks until SIGTERM; returns the exit code.

    `name` is the one that operators see; the record's name adds the run.
    """
    _share_the_processor(tasks)
    record = open_record(
        settings.database_url, settings.secret_key, statement_seconds=WORKER_STATEMENT_SECONDS
    )
    migrations.require_schema(record)
    for fault in migrations.faults(record):
        log.error("schema.differs", fault=fault)
    # A restarted worker is another: the claims of the dead one are not its own.
    worker = f"{name}.{secrets.token_hex(4)}"
    lock = replace_predecessor(settings.data_dir, record, name, worker)
    broker_url = redis_url_of(settings)
    waker = Waker(broker_url, eager=False)
    stall_detector = StallDetector()
    stall_detector.start()
    notifier = _notifier(settings, record)
    runner = TaskRunner(_tasks(settings, record, worker, tasks, waker, stall_detector))
    hint_app = cache(lambda: make_celery(broker_url, worker=False))
    broker = BrokerState(BrokerCheck(broker_url), lambda task: send_hint(hint_app(), task), starting=True)
    sweep = Sweep(record, runner, worker, broker=broker, notify=notifier.wake, clocks=Clocks(times.now))
    exporter = None
    if settings.export_dir is not None and PUBLISH in tasks:
        from feeds import Masthead  # noqa: PLC0415 - it takes long to load
        from service.serving.export import Exporter  # noqa: PLC0415

        exporter = Exporter(
            record,
            settings.public_url,
            settings.export_dir,
            times.now,
            Masthead(settings.desk_name, settings.logo_url),
        )
        exporter.start()
    ended = _end_on_signals(runner)
    log.info("worker.started", worker=worker)
    notifier.start()
    sweep.start()
    runner.start(PUBLISH)  # the feeds may be written in another style than by the process before
    try:
        return _take_hints(broker_url, worker, runner, broker, ended)
    finally:
        runner.close()  # pushes on the wire are waited for; meanwhile the sweep says that this worker lives
        sweep.close()
        notifier.close()
        if exporter is not None:
            exporter.close()
        waker.close()
        stall_detector.close()
        _leave(record, worker)
        if lock is not None:
            lock.close()


def replace_predecessor(data_dir: Path, record: Record, name: str, worker: str) -> IO[str] | None:
    """Frees at once what the last worker of this name had claimed, if it was killed; returns a lock to be kept open.

    A worker holds the lock on a file of its name, which has its id: the kernel frees it at the worker's death. So who
    gets it knows, without a clock, that the one before is dead. Where there is no such file to lock, the others see by
    its heartbeat that it is dead, some seconds later.
    """
    if not _FILE_NAME.fullmatch(name) or not data_dir.is_dir():
        return None
    lock = None
    try:
        if (lock := files.lock(data_dir / f"worker-{name}.lock")) is None:
            return None  # another of this name lives
        lock.seek(0)
        predecessor = lock.read().strip()
        lock.truncate(0)
        lock.write(worker)
        lock.flush()
    except OSError as error:
        log.warning("worker.lock_failed", error=files.disk_trouble(error))
        if lock is not None:
            with suppress(OSError):
                lock.close()
        return None
    if predecessor:
        heartbeats.leave(record, predecessor)
    return lock


def _tasks(
    settings: Settings,
    record: Record,
    worker: str,
    tasks: Collection[str],
    waker: Waker,
    stall_detector: StallDetector,
) -> dict[str, Task]:
    """The tasks that are done in this process."""
    clocks = Clocks(times.now)

    def hint(task: str, after: float) -> None:
        waker.wake(task, after=after)

    done_here: dict[str, Task] = {}
    if ROUTE in tasks:
        done_here[ROUTE] = RouteTask(record, clocks, hint, delivers_here=DELIVER in tasks)
    if PUBLISH in tasks:
        from feeds import Masthead  # noqa: PLC0415 - it takes long to load
        from workers.publish.builder import FeedBuilder, FeedRules  # noqa: PLC0415
        from workers.publish.task import PublishTask  # noqa: PLC0415

        rules = FeedRules(
            withdrawn_stays=timedelta(days=settings.withdrawn_days),
            feed_bytes=settings.feed_bytes,
            masthead=Masthead(settings.desk_name, settings.logo_url),
        )
        builder = FeedBuilder(record, settings.public_url, times.now, rules=rules)
        done_here[PUBLISH] = PublishTask(builder, LeaderLease(record, clocks), worker)
    if FETCH in tasks:
        done_here[FETCH] = _fetch_task(settings, record, waker)
    if DELIVER in tasks:
        sender = Sender(
            settings.allow_networks,
            user_agent=_user_agent(),
            capacity=min(CAPACITY, _allow_open_files(OPEN_FILES) // FILES_OF_A_SLOT),
            stalls=stall_detector.stalls,
        )
        done_here[DELIVER] = DeliveryLoop(
            record, sender, worker, times.now, random.random, stall_detector.stalls
        )
    return done_here


def _fetch_task(settings: Settings, record: Record, waker: Waker) -> Task:
    from service.intake.story_intake import StoryIntake  # noqa: PLC0415 - it takes long to load
    from workers.fetch.task import FetchTask  # noqa: PLC0415
    from workers.net.api_client import ApiClient  # noqa: PLC0415

    authority = urlsplit(settings.public_url).hostname or "localhost"
    stories = StoryIntake(record, authority=authority, clock=times.now, wake=waker.wake)

    def new_client() -> ApiClient:
        return ApiClient(settings.allow_networks, user_agent=_user_agent())

    return FetchTask(record, stories, times.now, new_client)


def _notifier(settings: Settings, record: Record) -> Notifier:
    client = None
    if settings.notice_url:
        client = GuardedClient(settings.allow_networks, user_agent=_user_agent())
    return Notifier(
        record,
        client,
        url=settings.notice_url,
        secret=settings.notice_secret,
        status_page=f"{settings.public_url}/status",
        clock=times.now,
    )


def _user_agent() -> str:
    return f"Dateline/{metadata.version('dateline')}"


def _share_the_processor(tasks: Collection[str]) -> None:
    """Gives way with feeds: they may be a moment late, a push may not.

    Threads of one process are worse at sharing: each waits for the others' turn to end whenever it comes back from the
    network, so turns are short, and feeds are best built by a process of their own.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    if set(tasks) == {PUBLISH}:
        os.nice(NICE)


def _allow_open_files(wanted: int) -> int:
    """Has this process open as many files as it wants, if it may; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return wanted if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def _end_on_signals(runner: TaskRunner) -> threading.Event:
    """Until hints are taken: a worker that is at work already ends in good order, too."""
    ended = threading.Event()

    def end(*_: object) -> None:
        runner.stop()
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return ended


def _take_hints(
    broker_url: str, worker: str, runner: TaskRunner, broker: BrokerState, ended: threading.Event
) -> int:
    """Takes hints until a signal ends it. The sweep is at work already: to load Celery takes as long as all else."""
    from workers.hints.consumer import HintConsumer  # noqa: PLC0415

    app = make_celery(broker_url, worker=True)
    tasks = [task for task in QUEUES if runner.does(task)]
    for task in tasks:
        app.task(_doer(runner, task), name=task)
    queues = [QUEUES[task] for task in tasks]
    broker.started()
    return HintConsumer(app, worker, queues, broker=broker, ended=ended).run(runner.stop)


def _doer(runner: TaskRunner, task: str) -> Any:
    def work() -> None:
        runner.do(task)

    return work


def _leave(record: Record, worker: str) -> None:
    try:
        heartbeats.leave(record, worker)
    except Exception as error:  # its heartbeat ends anyway
        log.warning("worker.leave_failed", error=type(error).__name__)
    record.close()
