"""Programs of other systems: each is the leader of a group of its own, and the group ends with the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import requests

STOP_LIMIT = 20.0
START_LIMIT = 120.0
LOG_END = 2000  # characters that are shown of a log


class NotInstallable(Exception):
    """A system cannot be installed here; its words say why."""


class Programs:
    """Runs within `with`: what it has started ends in reverse order, with all that these programs have started."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = {**os.environ, **(environment or {})}
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Programs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self, name: str, command: Sequence[str], cwd: Path | None = None) -> subprocess.Popen[bytes]:
        with self._log_file(name).open("ab") as log:
            started = subprocess.Popen(
                command,
                cwd=cwd or self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.append(started)
        return started

    def run(self, name: str, command: Sequence[str], cwd: Path | None = None, *, limit: float) -> int:
        """Runs a program to its end; it does not outlive the limit, nor a signal to the test."""
        ran = self.start(name, command, cwd)
        try:
            return ran.wait(limit)
        except subprocess.TimeoutExpired:
            return -signal.SIGALRM
        finally:
            self._running.remove(ran)
            _end(ran)

    def until(self, name: str, url: str, good: Callable[[requests.Response], bool] = bool) -> None:
        """Waits until the program that was started last answers at this address."""
        deadline = time.monotonic() + START_LIMIT
        while True:
            with contextlib.suppress(requests.RequestException):
                if good(requests.get(url, timeout=30)):
                    return
            assert self._running[-1].poll() is None, f"{name} has ended: {self.log(name)}"
            assert time.monotonic() < deadline, f"{name} does not answer: {self.log(name)}"
            time.sleep(0.2)

    def log(self, name: str) -> str:
        """The end of a program's output."""
        file = self._log_file(name)
        return file.read_text(errors="replace")[-LOG_END:] if file.exists() else ""

    def end(self) -> None:
        while self._running:
            _end(self._running.pop())

    def _log_file(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def _end(program: subprocess.Popen[bytes]) -> None:
    """The whole group, that the program made itself; killed if it does not end by itself."""
    try:
        _signal(program, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(STOP_LIMIT)
    finally:
        _signal(program, signal.SIGKILL)
        program.wait()


def _signal(program: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, number)
