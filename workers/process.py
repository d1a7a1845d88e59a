"""The worker process: Celery takes the hints, the hands do the work, the sweep finds what no hint told."""

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

import redis
from celery import signals
from celery.apps.worker import Worker as AppWorker
from celery.worker import state

from service import logs, times
from service.runtime.celery_app import PUBLISH, QUEUES, Waker, make_celery, send_hint
from service.runtime.embedded_redis import redis_url_of
from service.serving.export import Exporter
from service.settings import Settings
from service.store import migrations
from service.store.coordination import heartbeats
from service.store.database.record import Record, open_record
from workers.deliver.loop import Courier
from workers.net.http_client import Errands
from workers.net.transport import Sender
from workers.notifier import Herald
from workers.publish.builder import Press
from workers.runner import Hands
from workers.stall_detector import Pulse
from workers.sweep import Sweep

log = logs.get("worker")

CAPACITY = 256  # pushes on the wire at once

TURN = 0.001  # seconds that a thread goes on while others wait
NICE = 5

THREADS = 4  # one delivers, one routes, one builds feeds, one takes the next hint


def run(settings: Settings, name: str, tasks: Collection[str]) -> int:
    """Works on these tasks until SIGTERM; returns the exit code.

    `name` is what operators see; the record's name adds the run.
    """
    _share_the_processor(tasks)
    record = open_record(settings.database_url, settings.secret_key)
    migrations.require_schema(record)
    worker = f"{name}.{secrets.token_hex(4)}"  # a restarted worker is another: what the dead one held is not its own
    broker_url = redis_url_of(settings)
    app = make_celery(broker_url, worker=True)
    waker = Waker(broker_url)
    user_agent = f"Dateline/{metadata.version('dateline')}"
    pulse = Pulse()
    pulse.start()
    sender = Sender(settings.allow_networks, user_agent=user_agent, capacity=CAPACITY, stops=pulse.stops)
    herald = Herald(
        record,
        Errands(settings.allow_networks, user_agent=user_agent),
        url=settings.notice_url,
        secret=settings.notice_secret,
        status_page=f"{settings.public_url}/status",
        clock=times.now,
    )
    courier = Courier(record, sender, worker, times.now, random.random, pulse.stops)
    press = Press(
        record, settings.public_url, times.now, withdrawn_stays=timedelta(days=settings.withdrawn_days)
    )

    def hint(task: str, after: float) -> None:
        waker.wake(task, after=after)

    hands = Hands(record, press, courier, worker, times.now, hint, tasks)
    for task in tasks:
        app.task(_doer(hands, task), name=task)
    hint_app = make_celery(broker_url, worker=False)
    sweep = Sweep(
        record,
        hands,
        worker,
        hint=lambda task: send_hint(hint_app, task),
        broker=BrokerCheck(broker_url),
        tell=herald.wake,
        clock=times.now,
    )
    exporter = None
    if settings.export_dir is not None and PUBLISH in tasks:
        exporter = Exporter(record, settings.public_url, settings.export_dir, times.now)
        exporter.start()
    log.info("worker.started", worker=worker)
    herald.start()
    sweep.start()
    try:
        return _celery(app, worker, [QUEUES[task] for task in tasks], stopping=hands.stop)
    finally:
        hands.close()  # what is on the wire is waited for; meanwhile the sweep says that this worker lives
        sweep.close()
        herald.close()
        if exporter is not None:
            exporter.close()
        waker.close()
        pulse.close()
        _leave(record, worker)


class _Worker(AppWorker):  # type: ignore[misc]
    """Celery's worker, ended by signals as ours: in good order, and without words on standard output."""

    def install_platform_tweaks(self, worker: Any) -> None:
        """The signals are ours: see `_end_on_signals`."""


def _share_the_processor(tasks: Collection[str]) -> None:
    """Feeds are built from what is being written anyway, and may be a moment late; a push may not.

    Threads of one process are worse at sharing: each waits for the others' turn to end whenever it comes back from the
    network, so turns are short, and those who build feeds are best alone.
    """
    sys.setswitchinterval(TURN)
    if set(tasks) == {PUBLISH}:
        os.nice(NICE)


def _celery(app: Any, worker: str, queues: list[str], *, stopping: Callable[[], None]) -> int:
    signals.setup_logging.connect(_logs_are_ours)
    # It loads nothing but JSON and takes messages without payload: root can do no more harm here than elsewhere.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    logging.getLogger("celery").setLevel(logging.WARNING)  # a hint is no event: what it set going logs itself
    _end_on_signals(stopping)
    controller = _Worker(
        app=app,
        hostname=worker,
        pool="threads",
        concurrency=THREADS,
        queues=queues,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    # Said at every loss of Redis; no task of ours is acknowledged late, so there is nothing to cancel. Celery, as it
    # is made, asks for all such warnings: this must come after.
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


def _doer(hands: Hands, task: str) -> Any:
    def work() -> None:
        hands.do(task)

    return work


def _leave(record: Record, worker: str) -> None:
    try:
        heartbeats.leave(record, worker)
    except Exception as error:  # its heartbeat ends anyway
        log.warning("worker.left_unsaid", error=type(error).__name__)
    record.close()


class BrokerCheck:
    """Says 'up', or in words why Redis cannot be used; half a second at the most."""

    def __init__(self, broker_url: str) -> None:
        url = broker_url.replace("redis+socket://", "unix://")
        self._client = redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)

    def __call__(self) -> str:
        try:
            self._client.ping()
        except redis.RedisError as error:
            return f"Redis cannot be used: {error}"[:200]
        return "up"
