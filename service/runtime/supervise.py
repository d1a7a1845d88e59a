"""`dateline up`: runs the parts of Dateline as child processes of this one, and keeps them running.

A part that dies is started again. When this process ends, all of them end: in order on SIGTERM or SIGINT, at
once (by the kernel, on Linux) if it is killed. One `up` per data directory.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from service.runtime import files, programs
from service.runtime.programs import Child, Program

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
# A part that lived this long was well: its next failure is again its first.
HEALTHY_AFTER = 10.0
# All parts have this long, in seconds, to end by themselves. Then they are killed.
GRACE = 10.0
TICK = 0.05
WRITE_STATE_EVERY = 1.0
LOCK_FILE = "up.lock"
SUPERVISOR_STATE_FILE = "up.json"
WEB_STATE_FILE = "web.json"

Say = Callable[[str], None]


class CannotRun(Exception):
    """`dateline up` cannot start. The text says why and what to do."""


@dataclass(frozen=True)
class Part:
    """One child process to run. `command` is called before every start, so that it can prepare the start;
    it may raise `CannotRun`."""

    name: str
    command: Callable[[], Program | Sequence[str]]
    environment: dict[str, str] = field(default_factory=dict)
    # Ended after all that are not `last`: the others still need it while they end.
    last: bool = False
    # It does its work once, and is not started again when it ends well.
    once: bool = False


@dataclass
class ChildProcess:
    """A part and its process, if it has one now."""

    part: Part
    process: Child | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0
    done: bool = False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Lock:
    """Keeps the data directory for one `up`. The kernel frees it when the process ends in any way."""

    def __init__(self, data_dir: Path) -> None:
        """Raises `CannotRun`, naming the other's process id, if another `up` has it."""
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = data_dir / LOCK_FILE
        file = files.lock(path)
        if file is None:
            holder = path.read_text().strip() or "unknown"
            raise CannotRun(
                f"another 'dateline up' (process {holder}) already uses {data_dir}. "
                f"End it with 'kill {holder}', or give this one a directory of its own with --data-dir"
            )
        self._file = file
        with suppress(OSError):  # on a full disk the lock holds all the same
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n")
            self._file.flush()

    def release(self) -> None:
        with suppress(OSError):
            self._file.close()


def write_web_state(data_dir: Path, url: str) -> None:
    """Notes where the web process that runs alone answers; nothing where there is no data directory, or no room."""
    with suppress(OSError):
        state = json.dumps({"pid": os.getpid(), "url": url})
        files.write_whole(data_dir / WEB_STATE_FILE, state.encode())


def read_web_state(data_dir: Path) -> dict[str, Any] | None:
    """The state that the running `web` wrote (`pid`, `url`); None if none runs."""
    return _state(data_dir / WEB_STATE_FILE)


def read_state(data_dir: Path) -> dict[str, Any] | None:
    """The state that the running `up` wrote (`pid`, `url`, `children`: name → pid); None if none runs."""
    return _state(data_dir / SUPERVISOR_STATE_FILE)


def _state(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, KeyError):
        state: dict[str, Any] = json.loads(path.read_text())
        os.kill(int(state["pid"]), 0)
        return state
    return None


class Supervisor:
    """Starts the parts, restarts those that die, ends them all.

    Use it from the main thread only: the kernel ends the children when the thread that started them ends.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        state_file: Path,
        facts: dict[str, Any],
        say: Say,
        stdout: IO[str] | None = None,
    ) -> None:
        """`facts` are written to `state_file` with the children's process ids; `stdout` is the children's."""
        self._stdout = stdout
        self._children = [ChildProcess(part) for part in parts]
        self._state_file = state_file
        self._facts = facts
        self._say = say
        self._stopping = False
        self._write_state_at: float | None = None  # it is out of date: when to try again to write it
        self._previous: dict[int, Any] = {}

    @property
    def stopping(self) -> bool:
        return self._stopping

    def catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._on_signal)

    def start(self, name: str) -> None:
        """Starts one part now; the others start with `tick`. Raises `CannotRun` if it cannot be started."""
        self._start(next(child for child in self._children if child.part.name == name))

    def add(self, part: Part) -> None:
        """One more part, started with the next `tick`."""
        self._children.append(ChildProcess(part))

    def tick(self) -> None:
        """Starts every part that is due and does not run; call it often. Never blocks for long."""
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._note_end(child, now)
            if child.process is None and not child.done and now >= child.start_at:
                self._start_again(child, now)
        if self._write_state_at is not None and now >= self._write_state_at:
            self._write_state()

    def run_until(self, done: Callable[[], bool]) -> bool:
        """Ticks until `done()` or a signal to stop; returns whether it was done."""
        while not self._stopping:
            self.tick()
            if done():
                return True
            time.sleep(TICK)
        return False

    def stop(self) -> None:
        """Ends every part: by SIGTERM, the `last` ones after the others; by SIGKILL those that do not end."""
        self._stopping = True
        deadline = time.monotonic() + GRACE
        early = [child for child in self._children if not child.part.last]
        late = [child for child in self._children if child.part.last]
        self._end(early, deadline - GRACE * 0.2)
        self._end(late, deadline)
        with suppress(OSError):  # of a process that ended nobody believes it
            self._state_file.unlink(missing_ok=True)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _end(self, children: list[ChildProcess], deadline: float) -> None:
        for one in children:
            if one.process is not None and one.alive:
                one.process.terminate()
        while any(one.alive for one in children) and time.monotonic() < deadline:
            time.sleep(TICK)
        for one in children:
            if one.process is not None and one.alive:
                self._say(f"{one.part.name} did not end by itself; killed")
                one.process.kill()
                one.process.wait()

    def _start_again(self, child: ChildProcess, now: float) -> None:
        try:
            self._start(child)
        except (CannotRun, OSError) as error:
            child.failures += 1
            why = files.disk_trouble(error) if isinstance(error, OSError) else str(error)
            self._schedule(child, why, now)

    def _start(self, child: ChildProcess) -> None:
        command = child.part.command()
        try:
            child.process = programs.start(command, child.part.environment, self._stdout)
        except OSError as error:
            raise CannotRun(f"{child.part.name} cannot be started: {error}") from None
        child.started = time.monotonic()
        self._write_state()

    def _note_end(self, child: ChildProcess, now: float) -> None:
        assert child.process is not None
        status = child.process.wait()
        child.process = None
        if child.part.once and status == 0:
            child.done = True
            return
        child.failures = 1 if now - child.started > HEALTHY_AFTER else child.failures + 1
        self._schedule(child, _how_it_ended(status), now)

    def _schedule(self, child: ChildProcess, why: str, now: float) -> None:
        delay = delay_before(child.failures)
        child.start_at = now + delay
        self._say(f"{child.part.name} {why}; started again in {delay:g} s")

    def _write_state(self) -> None:
        children = {one.part.name: one.process.pid for one in self._children if one.process is not None}
        state = {**self._facts, "pid": os.getpid(), "children": children}
        try:
            files.write_whole(self._state_file, json.dumps(state).encode())
        except OSError as error:  # the parts are worth more than the file that lists them
            if self._write_state_at is None:
                self._say(f"{files.disk_trouble(error)}; all parts go on, and it is written later")
            self._write_state_at = time.monotonic() + WRITE_STATE_EVERY
        else:
            self._write_state_at = None

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def delay_before(failures: int) -> float:
    """Seconds to wait before the next start, after so many failures in a row (1, 2, …)."""
    return min(FIRST_DELAY * 2.0 ** min(failures - 1, 10), LONGEST_DELAY)


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"
