"""Celery on Redis: it carries hints, never facts. Losing all of it costs time, never a delivery.

Each setting has its reason; docs/decisions/0006-celery.md lists the faults behind them.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

ROUTE, PUBLISH, DELIVER, FETCH = "dateline.route", "dateline.publish", "dateline.deliver", "dateline.fetch"
QUEUES = {ROUTE: "route", PUBLISH: "publish", DELIVER: "deliver", FETCH: "fetch"}
KEY_PREFIX = "dateline:"  # of all keys in Redis
HINT_SECONDS = 10  # a hint that waited longer is worth nothing: the sweep has looked since
# A hint costs its sender as much as an article, and its receiver as much again: in a burst they are sent this many
# seconds apart, the first of them at once. A feed is less urgent than a push.
HINT_PACE = {ROUTE: 0.04, DELIVER: 0.04, PUBLISH: 0.2, FETCH: 0.2}


def tasks_of(names: str) -> frozenset[str]:
    """The tasks of queues such as `route,deliver`. Raises ValueError for a name that is none."""
    by_queue = {queue: task for task, queue in QUEUES.items()}
    asked = [name.strip() for name in names.split(",") if name.strip()]
    if not asked or not set(asked) <= by_queue.keys():
        raise ValueError(f"--tasks {names}: name some of {', '.join(by_queue)}, joined by commas")
    return frozenset(by_queue[name] for name in asked)


def make_celery(broker_url: str, *, worker: bool) -> Celery:
    """The Celery application. `worker` False: for a process that only sends hints, and never waits for Redis."""
    # Celery takes as long to load as all the rest: a worker is at work meanwhile, and a command does without.
    from celery import Celery  # noqa: PLC0415

    app = Celery("dateline", broker=broker_url, set_as_current=False, fixups=[])
    app.conf.update(
        result_backend=None,  # results leak memory and cost a third of the throughput; the record has them
        task_ignore_result=True,
        task_acks_late=False,  # a lost hint is found by the sweep; a redelivered one would only drain twice
        worker_prefetch_multiplier=1,
        worker_pool="threads",  # stops in 0.2 s where prefork takes 30, and shares one pool of connections
        task_serializer="json",
        accept_content=["json"],
        task_publish_retry=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker goes on by itself when the broker is back
        broker_transport_options={
            "visibility_timeout": 120,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "health_check_interval": 10,  # a connection that died silently is noticed
            "socket_keepalive": True,
            "socket_timeout": 5 if worker else 0.5,
            "socket_connect_timeout": 2 if worker else 0.5,
            "global_keyprefix": KEY_PREFIX,
        },
        visibility_timeout=120,
        worker_eta_task_limit=1000,  # no eta is used: due times live in the record
        worker_soft_shutdown_timeout=10,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=False,  # events cost a quarter of the throughput
        worker_enable_remote_control=False,  # heartbeats are rows in the record
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        task_default_queue="route",
        task_routes={task: {"queue": queue} for task, queue in QUEUES.items()},
    )
    return app


class Waker:
    """Sends hints from a thread of its own: `wake` returns at once, never raises, and may be lost without harm.

    A hint goes out at once, unless another for the same task went out less than its HINT_PACE ago.
    """

    def __init__(
        self, broker_url: str, *, on_sent: Callable[[bool], None] | None = None, eager: bool = True
    ) -> None:
        """Not `eager`: Celery is loaded with the first hint, which then is late."""
        self._eager = eager
        self._broker_url = broker_url
        self._on_sent = on_sent
        self._wanted: set[str] = set()
        self._not_before: dict[str, float] = {}  # by the monotonic clock
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
        self._thread.start()

    def wake(self, task: str = ROUTE, *, after: float = 0.0) -> None:
        """Asks the workers to look, in so many seconds. Many calls before the next hint is sent make one hint."""
        with self._change:
            if task not in self._wanted:
                soonest = time.monotonic() + after
                self._not_before[task] = max(soonest, self._not_before.get(task, soonest))
                self._wanted.add(task)
                self._change.notify()

    def close(self, seconds: float = 2.0) -> None:
        """Sends what is still wanted, at most this long."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        app = make_celery(self._broker_url, worker=False) if self._eager else None
        while due := self._next():
            app = app or make_celery(self._broker_url, worker=False)
            for task in sorted(due):
                sent = _sent(app, task)
                if self._on_sent is not None:
                    self._on_sent(sent)
        if app is not None:
            app.close()

    def _next(self) -> set[str]:
        """The tasks to be hinted at now, once there are any; none when it was closed and nothing is wanted."""
        with self._change:
            while True:
                now = time.monotonic()
                due = {
                    task for task in self._wanted if self._closed or self._not_before.get(task, now) <= now
                }
                if due or self._closed:
                    break
                times = [self._not_before[task] - now for task in self._wanted]
                self._change.wait(min(times, default=None))
            self._wanted -= due
            self._not_before |= {task: now + HINT_PACE[task] for task in due}
        return due


def _sent(app: Any, task: str) -> bool:
    try:
        send_hint(app, task)
    except Exception:  # without Redis the sweep still finds the work
        return False
    return True


def send_hint(app: Any, task: str) -> None:
    """One payload-free message, unless one waits for a worker already. Raises what kombu raises without Redis.

    The one that waits will be taken after this moment, and its taker then looks at all there is: a second would say
    nothing more, and without a worker they would fill Redis.

    It is the message that `app.send_task` makes, without its routing and its result, which nobody uses.
    """
    message = app.amqp.as_task_v2(str(uuid.uuid4()), task, expires=HINT_SECONDS, ignore_result=True)
    with app.producer_pool.acquire(block=True) as producer:
        if producer.channel.client.llen(QUEUES[task]):
            return
        producer.publish(
            message.body,
            exchange="",
            routing_key=QUEUES[task],
            headers=message.headers,
            serializer="json",
            retry=False,
            **message.properties,
        )
