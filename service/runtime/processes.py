"""Several processes that do the same work, and are started again when they die."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType

from service import logs
from service.runtime.programs import end_with_parent
from service.runtime.supervise import GRACE, HEALTHY_AFTER, delay_before

log = logs.get("runtime")

LOOK_SECONDS = 0.05


def run_processes(count: int, work: Callable[[], None]) -> None:
    """Runs `work` until SIGTERM or SIGINT: here if `count` is one, else in so many children.

    A child that dies is started again. They are forks: call it before anything starts a thread or opens a connection.
    """
    if count == 1:
        work()
        return
    _Children(count, work).run()


class _Children:
    """The children by number, and when those that are missing are due."""

    def __init__(self, count: int, work: Callable[[], None]) -> None:
        self._work = work
        self._pids: dict[int, int] = {}
        self._started = dict.fromkeys(range(count), 0.0)
        self._due = dict.fromkeys(range(count), 0.0)
        self._failures = dict.fromkeys(range(count), 0)
        self._stopping = False

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        while not self._stopping:
            self._reap()
            for number in self._due.keys() - self._pids.keys():
                if time.monotonic() >= self._due[number] and not self._stopping:
                    self._start(number)
            time.sleep(LOOK_SECONDS)
        self._end()

    def _start(self, number: int) -> None:
        self._started[number] = time.monotonic()
        pid = os.fork()
        if pid:
            self._pids[number] = pid
            return
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            end_with_parent()
            self._work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        for number, pid in list(self._pids.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            del self._pids[number]
            if self._stopping:
                continue
            now = time.monotonic()
            healthy = now - self._started[number] > HEALTHY_AFTER
            self._failures[number] = 1 if healthy else self._failures[number] + 1
            delay = delay_before(self._failures[number])
            self._due[number] = now + delay
            log.error("web.process_died", pid=pid, status=os.waitstatus_to_exitcode(status), again_in=delay)

    def _end(self) -> None:
        deadline = time.monotonic() + GRACE * 0.8
        for pid in self._pids.values():
            os.kill(pid, signal.SIGTERM)
        while self._pids and time.monotonic() < deadline:
            self._reap()
            time.sleep(LOOK_SECONDS)
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
