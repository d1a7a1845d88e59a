"""Starts processes, reads their processor time, ends them. CPU is read from /proc, so on Linux only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class Failed(RuntimeError):
    """Something to be measured did not run. The text says which process, and how its log ends."""


class Processes:
    """Children that end, in the reverse order of their start, when the block ends."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(reversed(self._started)):
            self.end(name)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        with self.log(name).open("ab") as log:
            self._started[name] = subprocess.Popen(
                command,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, name: str) -> None:
        process = self._started.pop(name)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, *prefixes: str) -> list[str]:
        """Kills the children with these prefixes, all at once; returns their names."""
        killed = [name for name in self._started if name.startswith(prefixes)]
        for name in killed:
            self._started[name].kill()
        for name in killed:
            self._started.pop(name).wait()
        return killed

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def cpu(self, *prefixes: str) -> float | None:
        """The processor seconds so far of the children with these prefixes and of their descendants; None off Linux."""
        return cpu_of([each.pid for name, each in self._started.items() if name.startswith(prefixes)])

    def cpu_without(self, *prefixes: str) -> float | None:
        """The same of all the other children."""
        return cpu_of([each.pid for name, each in self._started.items() if not name.startswith(prefixes)])

    def wait(self, name: str, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Returns when the process is ready; raises Failed if it ended, or is not ready in time."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._started[name].poll() is not None or time.monotonic() > deadline:
                tail = self.log(name).read_text(errors="replace")[-2000:]
                raise Failed(f"{name} did not get ready; its log ends:\n{tail}")
            time.sleep(0.02)


def module(name: str, *words: str) -> list[str]:
    """The command line of `python -m NAME`, in this very installation."""
    return [sys.executable, "-m", name, *words]


def ask(name: str, question: str, seconds: float = 300) -> tuple[str, float]:
    """Runs `python -m NAME` with `question` on its standard input; returns its answer and its processor seconds."""
    before = os.times()
    ran = subprocess.run(
        module(name), input=question, capture_output=True, text=True, timeout=seconds, check=False
    )
    after = os.times()
    if ran.returncode != 0:
        raise Failed(f"{name} failed: {ran.stderr[-2000:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return ran.stdout, spent


def cpu_of(roots: list[int]) -> float | None:
    """The processor seconds so far of these processes and of their descendants; None off Linux."""
    return sum(map(_seconds, _with_descendants(roots))) if _PROC.is_dir() else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _with_descendants(roots: list[int]) -> set[int]:
    parents: dict[int, int] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and (facts := _facts(int(folder.name))):
            parents[int(folder.name)] = int(facts[1])
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _seconds(pid: int) -> float:
    """Its own, and those of its children that have ended: PostgreSQL has some that live for one query."""
    return sum(map(int, _facts(pid)[11:15])) / _TICKS


def _facts(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold blanks; none if the process is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
