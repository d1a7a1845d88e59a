"""Runs the tasks of one worker process: a hint or the sweep sets them going. Each is done by one thread at a time."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from service import logs
from service.runtime.celery_app import DELIVER, ROUTE

log = logs.get("worker")

LONGEST_END = 5.0  # seconds that a task may take to end


class Task(Protocol):
    """One kind of work, built on a SingleFlight."""

    def drain(self) -> int:
        """Works until nothing is left; returns how much this call did, 0 if another thread is at it."""

    def request(self) -> bool:
        """Has a drain that is running look again; False if none is running."""

    def stop(self) -> None:
        """Begins nothing more. For signal handlers: waits for nothing."""

    def close(self, seconds: float) -> None:
        """Stops, and returns when the drain that is running has ended, or after so long."""


class TaskRunner:
    """`do(task)` does the work of one hint and returns when none is left; `start(task)` does it in the background."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """`tasks`: those that are done in this process; others do the rest."""
        self._tasks = dict(tasks)
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="task")
        self._stopped = False

    def does(self, task: str) -> bool:
        return task in self._tasks

    def do(self, task: str) -> None:
        made = self._tasks[task].drain()
        if task == ROUTE and made and self.does(DELIVER):
            self._tasks[
                DELIVER
            ].drain()  # here and now: a message to ourselves would cost the time of a delivery

    def start(self, task: str) -> None:
        """Without Redis: the work is done here, unless it never is. A thread that is at it already goes on."""
        if self.does(task) and not self._stopped and not self._tasks[task].request():
            self._pool.submit(self._run, task)

    def stop(self) -> None:
        """Begins nothing more; the work at hand comes to its end soon. For signal handlers: waits for nothing."""
        self._stopped = True
        for task in self._tasks.values():
            task.stop()

    def close(self) -> None:
        """Stops, and returns when the work at hand is done: some seconds at the most."""
        self.stop()
        for task in self._tasks.values():
            task.close(LONGEST_END)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, task: str) -> None:
        try:
            if self._tasks[task].drain() and task == ROUTE:
                self.start(DELIVER)  # in a thread of its own: events that come meanwhile are to be routed
        except Exception:
            log.exception("work.failed", task=task)  # the sweep starts it again
