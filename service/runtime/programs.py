"""Programs of this installation as child processes: forked from this one, which has loaded them once, where it can.

A fork costs a twentieth of a new interpreter that loads everything again. docs/decisions/0025-forked-parts.md has the
conditions; where they are not met a program runs in a new interpreter, and behaves the same.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import IO, Protocol

PR_SET_PDEATHSIG = 1
_STANDARD = 3  # input, output and errors are the files below this number
_OURS = frozenset((signal.SIGTERM, signal.SIGINT))  # the signals that a supervisor handles


@dataclass(frozen=True)
class Program:
    """A program of this installation: the `main` of a module. `loads` are the modules that it loads while it starts."""

    module: str
    words: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()
    command: str = "dateline"  # its command, as `ps` shows it before the words

    def command_line(self) -> list[str]:
        """As a new interpreter runs it: from this very installation, not from that of the PATH."""
        return [sys.executable, "-P", "-m", self.module, *self.words]


def dateline(*words: str, loads: tuple[str, ...] = ()) -> Program:
    """A `dateline` command."""
    return Program("service.cli.main", words, loads)


class Child(Protocol):
    """A process that was started, as `subprocess.Popen` has it: a status below 0 is the signal that ended it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self) -> int: ...


def start(
    what: Program | Sequence[str], environment: Mapping[str, str], stdout: IO[str] | None = None
) -> Child:
    """Starts a program, or another command line, in a session of its own; it ends when this process ends (on Linux).

    `environment` is added to this process's. Raises OSError if it cannot be started.
    """
    if isinstance(what, Program) and _may_fork():
        return _Fork(what, environment, stdout)
    return subprocess.Popen(  # noqa: S603 - our own programs
        what.command_line() if isinstance(what, Program) else list(what),
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        # A session of its own: Ctrl-C reaches this process alone, which ends the rest in order.
        start_new_session=True,
        preexec_fn=partial(_end_with_parent, os.getpid(), _libc()),  # noqa: PLW1509 - one thread here
    )


def end_with_parent() -> None:
    """Has the kernel kill this process when its parent ends. Linux only; elsewhere it does nothing."""
    _end_with_parent(os.getppid(), _libc())


def _may_fork() -> bool:
    """Whether a fork of this process is whole: another thread's locks would stay locked in it for ever.

    Elsewhere than on Linux the system's own libraries do not bear it.
    """
    return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1


class _Fork:
    """A program in a copy of this process, which has loaded its modules."""

    def __init__(self, program: Program, environment: Mapping[str, str], stdout: IO[str] | None) -> None:
        for each in (program.module, *program.loads):
            with suppress(Exception):  # the program itself fails by it, and says so
                import_module(each)
        parent, output = os.getpid(), None if stdout is None else stdout.fileno()
        self._process = multiprocessing.get_context("fork").Process(
            target=_become, args=(program, environment, output, parent)
        )
        # A signal between the fork and the program's own handlers waits for these: ours would swallow it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


def _become(program: Program, environment: Mapping[str, str], output: int | None, parent: int) -> None:
    """Makes of the copy what a new interpreter would be, and runs the program in it until it exits."""
    _end_with_parent(parent, _libc())
    os.setsid()
    _leave_files(output)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
    os.environ.update(environment)
    sys.argv[:] = [program.command, *program.words]
    _set_title([*program.command.split(), *program.words])
    sys.exit(import_module(program.module).main())


def _leave_files(output: int | None) -> None:
    """Leaves every file of the parent but its standard output and errors; input is empty."""
    if output is not None:
        os.dup2(output, 1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the program runs
    for each in map(int, os.listdir("/proc/self/fd")):
        if each >= _STANDARD:
            with suppress(OSError):  # the one that listed them is closed already
                os.close(each)


def _set_title(words: Sequence[str]) -> None:
    """Has `ps` show this command line for the process, as far as the parent's left room for it."""
    with suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begin, room = int(fields[45]), int(fields[46]) - int(fields[45])
        line = "\0".join(words).encode()[: room - 1]
        if room > 1:
            ctypes.memmove(begin, line.ljust(room, b"\0"), room)


@cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent(parent: int, libc: ctypes.CDLL | None) -> None:
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)
