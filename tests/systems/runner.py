"""Runs systems one after another and says what came of each; a signal ends it with all that it has started."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.systems.processes import NotInstallable

Step = tuple[str, Callable[[], None]]
# Within `with`, the steps of the journey; the name and the versions come first.
Journey = Callable[[Path], AbstractContextManager[tuple[str, Iterator[Step]]]]


class SignalCame(BaseException):
    """SIGTERM or Ctrl-C: no step may take it for a fault of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass(frozen=True)
class TestedSystem:
    """A content system: the parts of this machine that it lacks, the journey through it, and the installation into the
    cache, if it has one. `limit`: seconds for the journey."""

    name: str
    missing: Callable[[], list[str]]
    journey: Journey
    install: Callable[[], object] | None = None
    limit: int = 420


@dataclass
class RunSummary:
    """The systems that passed, failed, were skipped, and were not reached for a signal."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def words(self) -> str:
        parts = [f"{len(names)} {kind}" + (f" ({', '.join(names)})" if names else "")
                 for kind, names in vars(self).items() if names or kind != "stopped"]  # fmt: skip
        return f"systems: {', '.join(parts)}"


def run(systems: Sequence[TestedSystem], names: Sequence[str]) -> int:
    """Returns 1 if a system failed, and as a shell does if a signal ended it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    signal.signal(signal.SIGALRM, _too_long)
    unknown = [each for each in names if each not in {one.name for one in systems}]
    if unknown:
        print(f"no such system: {', '.join(unknown)}; there are: {', '.join(one.name for one in systems)}")
        return 2
    summary = RunSummary()
    chosen = [each for each in systems if not names or each.name in names]
    status = 0
    for index, system in enumerate(chosen):
        try:
            getattr(summary, _outcome(system)).append(system.name)
        except SignalCame as came:
            print(f"{system.name}: stopped by {came}; all that it had started has ended", flush=True)
            summary.stopped += [each.name for each in chosen[index:]]
            status = 128 + came.number
            break
    print(summary.words(), flush=True)
    return status or (1 if summary.failed else 0)


def _outcome(system: TestedSystem) -> str:
    if lacking := system.missing():
        print(f"{system.name}: skipped, not installed: {', '.join(lacking)}", flush=True)
        return "skipped"
    try:
        if system.install is not None:
            system.install()
        with (
            tempfile.TemporaryDirectory(prefix="dateline-systems-", ignore_cleanup_errors=True) as folder,
            _within(system.limit),
            system.journey(Path(folder)) as (versions, steps),
        ):
            print(f"{system.name}: {versions}", flush=True)
            return "passed" if all(_passes(system.name, step) for step in steps) else "failed"
    except NotInstallable as why:
        print(f"{system.name}: skipped, cannot be installed: {why}", flush=True)
        return "skipped"
    except Exception as fault:
        print(f"{system.name}: FAILED before its first step or at its end: {_words(fault)}", flush=True)
        return "failed"


@contextlib.contextmanager
def _within(limit: int) -> Iterator[None]:
    signal.alarm(limit)
    try:
        yield
    finally:
        signal.alarm(0)


def _passes(system: str, step: Step) -> bool:
    """The later steps compare the whole, so the first that fails is the last."""
    name, act = step
    began = time.monotonic()
    try:
        act()
    except Exception as fault:  # a fault of the test's own, too: the other systems are still tried
        print(f"{system}: FAILED {name}: {_words(fault)}", flush=True)
        return False
    print(f"{system}: {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def _words(fault: Exception) -> str:
    return str(fault) if isinstance(fault, AssertionError) else f"{type(fault).__name__}: {fault}"


def _stop(number: int, frame: FrameType | None) -> None:
    """The first signal ends the run; those that follow must not cut its ending short."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise SignalCame(number)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError("the system took longer than it may")
