"""The worker process: Celery takes the hints, the runner does the work, the sweep finds due work without a hint."""

from __future__ import annotations

import logging
import os
import random
import secrets
import signal
import sys
import warnings
from collections.abc import Callable, Collection
from datetime import timedelta
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

import redis
from celery import signals
from celery.apps.worker import Worker as AppWorker
from celery.worker import state

from service import logs, times
from service.intake.story_intake import StoryIntake
from service.runtime.celery_app import DELIVER, FETCH, PUBLISH, QUEUES, ROUTE, Waker, make_celery, send_hint
from service.runtime.embedded_redis import redis_url_of
from service.serving.export import Exporter
from service.settings import Settings
from service.store import migrations
from service.store.coordination import heartbeats
from service.store.database.record import Record, open_record
from workers.deliver.loop import DeliveryLoop
from workers.fetch.task import FetchTask
from workers.leader import Clocks, LeaderLease
from workers.net.api_client import ApiClient
from workers.net.http_client import GuardedClient
from workers.net.transport import Sender
from workers.notifier import Notifier
from workers.publish.builder import FeedBuilder
from workers.publish.task import PublishTask
from workers.route import RouteTask
from workers.runner import Task, TaskRunner
from workers.stall_detector import StallDetector
from workers.sweep import Broker, Sweep

log = logs.get("worker")

CAPACITY = 256  # pushes on the wire at once
# Nobody waits for a worker as a client waits for the web; and it routes one event to thousands of endpoints at once.
WORKER_STATEMENT_SECONDS = 10.0

SWITCH_INTERVAL = 0.001  # seconds that a thread goes on while others wait
NICE = 5

CELERY_THREADS = 5  # one delivers, one routes, one builds feeds, one fetches, one takes the next hint


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
    broker_url = redis_url_of(settings)
    app = make_celery(broker_url, worker=True)
    waker = Waker(broker_url)
    stall_detector = StallDetector()
    stall_detector.start()
    notifier = _notifier(settings, record)
    runner = TaskRunner(_tasks(settings, record, worker, tasks, waker, stall_detector))
    for task in tasks:
        app.task(_doer(runner, task), name=task)
    hint_app = make_celery(broker_url, worker=False)
    broker = Broker(BrokerCheck(broker_url), lambda task: send_hint(hint_app, task))
    sweep = Sweep(record, runner, worker, broker=broker, notify=notifier.wake, clocks=Clocks(times.now))
    exporter = None
    if settings.export_dir is not None and PUBLISH in tasks:
        exporter = Exporter(
            record, settings.public_url, settings.export_dir, times.now, getattr(settings, "desk_name", "")
        )
        exporter.start()
    log.info("worker.started", worker=worker)
    notifier.start()
    sweep.start()
    try:
        return _celery(app, worker, [QUEUES[task] for task in tasks], stopping=runner.stop)
    finally:
        runner.close()  # pushes on the wire are waited for; meanwhile the sweep says that this worker lives
        sweep.close()
        notifier.close()
        if exporter is not None:
            exporter.close()
        waker.close()
        stall_detector.close()
        _leave(record, worker)


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
        withdrawn_stays = timedelta(days=settings.withdrawn_days)
        builder = FeedBuilder(
            record,
            settings.public_url,
            times.now,
            withdrawn_stays=withdrawn_stays,
            feed_bytes=settings.feed_bytes,
        )
        done_here[PUBLISH] = PublishTask(builder, LeaderLease(record, clocks), worker)
    if FETCH in tasks:
        done_here[FETCH] = _fetch_task(settings, record, waker)
    if DELIVER in tasks:
        sender = Sender(
            settings.allow_networks,
            user_agent=_user_agent(),
            capacity=CAPACITY,
            stalls=stall_detector.stalls,
        )
        done_here[DELIVER] = DeliveryLoop(
            record, sender, worker, times.now, random.random, stall_detector.stalls
        )
    return done_here


def _fetch_task(settings: Settings, record: Record, waker: Waker) -> FetchTask:
    authority = urlsplit(settings.public_url).hostname or "localhost"
    stories = StoryIntake(record, authority=authority, clock=times.now, wake=waker.wake)

    def new_client() -> ApiClient:
        return ApiClient(settings.allow_networks, user_agent=_user_agent())

    return FetchTask(record, stories, times.now, new_client)


def _notifier(settings: Settings, record: Record) -> Notifier:
    return Notifier(
        record,
        GuardedClient(settings.allow_networks, user_agent=_user_agent()),
        url=settings.notice_url,
        secret=settings.notice_secret,
        status_page=f"{settings.public_url}/status",
        clock=times.now,
    )


def _user_agent() -> str:
    return f"Dateline/{metadata.version('dateline')}"


class _Worker(AppWorker):  # type: ignore[misc]
    """Celery's worker, ended by signals as ours: in good order, and without words on standard output."""

    def install_platform_tweaks(self, worker: Any) -> None:
        """The signals are ours: see `_end_on_signals`."""


def _share_the_processor(tasks: Collection[str]) -> None:
    """Gives way with feeds: they may be a moment late, a push may not.

    Threads of one process are worse at sharing: each waits for the others' turn to end whenever it comes back from the
    network, so turns are short, and feeds are best built by a process of their own.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    if set(tasks) == {PUBLISH}:
        os.nice(NICE)


def _celery(app: Any, worker: str, queues: list[str], *, stopping: Callable[[], None]) -> int:
    signals.setup_logging.connect(_logs_are_ours)
    # It loads nothing but JSON and takes messages without payload: root can do no more harm here than elsewhere.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    logging.getLogger("celery").setLevel(
        logging.WARNING
    )  # a hint is no event: the work that it starts logs itself
    _end_on_signals(stopping)
    controller = _Worker(
        app=app,
        hostname=worker,
        pool="threads",
        concurrency=CELERY_THREADS,
        queues=queues,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    # Celery warns so at every loss of Redis; no task of ours is acknowledged late, so there is nothing to cancel. Its
    # constructor turns all such warnings on: this must come after.
    warnings.filterwarnings("ignore", message=r"\s*In Celery 5\.1 we introduced an optional breaking change")
    controller.start()
    return int(controller.exitcode or 0)


def _end_on_signals(stopping: Callable[[], None]) -> None:
    def end(*_: object) -> None:
        stopping()
        state.should_stop = 0

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _logs_are_ours(**_: object) -> None:
    """Celery leaves the logs alone when somebody listens to this."""


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


class BrokerCheck:
    """Answers 'up', or in words why Redis cannot be used; half a second at the most."""

    def __init__(self, broker_url: str) -> None:
        url = broker_url.replace("redis+socket://", "unix://")
        self._client = redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)

    def __call__(self) -> str:
        try:
            self._client.ping()
        except redis.RedisError as error:
            return f"Redis cannot be used: {error}"[:200]
        return "up"
