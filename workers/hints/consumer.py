"""Takes the hints, by Celery: until the process is to end, and again and again where the broker cannot be used."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.apps.worker import Worker as AppWorker
from celery.exceptions import WorkerTerminate
from celery.worker import state

from service import logs
from workers.hints.broker import BrokerState

log = logs.get("worker")

CELERY_THREADS = 4  # one delivers, one routes, one builds feeds, one takes the next hint
AGAIN_AFTER = 3.0  # seconds after a failure; meanwhile the sweep finds the work


class HintConsumer:
    """`run` returns after SIGTERM or SIGINT, never because of the broker."""

    def __init__(
        self,
        app: Any,
        worker: str,
        queues: list[str],
        *,
        broker: BrokerState,
        ended: threading.Event,
    ) -> None:
        """`ended` is set by a signal, perhaps before `run`."""
        self._app = app
        self._worker = worker
        self._queues = queues
        self._broker = broker
        self._ended = ended
        self._logged = ""

    def run(self, stopping: Callable[[], None]) -> int:
        """Takes hints until a signal ends it; returns the exit code. The signal's handler calls `stopping`."""
        self._set_up_process(stopping)
        while not self._ended.is_set():
            celery = self._celery()
            celery.start()
            if self._ended.is_set() or celery.failure is None:
                return int(celery.exitcode or 0)
            self._broker.consumer_failed(celery.failure)
            self._log(celery.failure)
            self._ended.wait(AGAIN_AFTER)
        return 0

    def _log(self, failure: Exception) -> None:
        """Says each cause once, until another comes."""
        words = f"{type(failure).__name__}: {failure}"[:300]
        if words != self._logged:
            log.warning("hints.failed", error=words)
        self._logged = words

    def _set_up_process(self, stopping: Callable[[], None]) -> None:
        signals.setup_logging.connect(_logs_are_ours)
        # It loads nothing but JSON and takes messages without payload: root can do no more harm here than elsewhere.
        warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
        logging.getLogger("celery").setLevel(
            logging.WARNING
        )  # a hint is no event: the work that it starts logs itself

        def end(*_: object) -> None:
            stopping()
            self._ended.set()
            state.should_stop = 0

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)

    def _celery(self) -> _Celery:
        celery = _Celery(
            app=self._app,
            hostname=self._worker,
            pool="threads",
            concurrency=CELERY_THREADS,
            queues=self._queues,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        celery.when_ready = self._broker.consumer_is_ready
        # Celery warns so at every loss of Redis; no task of ours is acknowledged late, so there is nothing to cancel.
        # Its constructor turns all such warnings on: this must come after.
        warnings.filterwarnings(
            "ignore", message=r"\s*In Celery 5\.1 we introduced an optional breaking change"
        )
        return celery


class _Celery(AppWorker):  # type: ignore[misc]
    """Celery's worker, ended by signals as ours: in good order, and without words on standard output."""

    failure: Exception | None = None  # what ended it, if it was no signal
    when_ready: Callable[[], None]

    def install_platform_tweaks(self, worker: Any) -> None:
        """The signals are ours."""

    def on_consumer_ready(self, consumer: Any) -> None:
        self.when_ready()
        super().on_consumer_ready(consumer)

    def start(self) -> None:
        """As Celery's own, but that a failure is kept for our log, in place of a traceback for each."""
        try:
            self.blueprint.start(self)
        except WorkerTerminate:
            self.terminate()
        except SystemExit as ended:
            self.stop(exitcode=ended.code)
        except Exception as error:
            self.failure = error
            self.stop(exitcode=1)


def _logs_are_ours(**_: object) -> None:
    """Celery leaves the logs alone when somebody listens to this."""
