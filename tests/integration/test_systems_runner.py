"""The runner of `make test-systems` ends by a signal with a summary, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.desk import eventually

# A system whose program has a child of its own, as npm and databases have; both write their ids.
PROGRAM = """
import contextlib, sys, time
from pathlib import Path
from tests.systems import runner
from tests.systems.processes import NotInstallable, Programs

@contextlib.contextmanager
def journey(folder):
    with Programs(Path(sys.argv[1])) as programs:
        programs.start("parent", ["sh", "-c", "sleep 300 & echo $! > child; echo $$ > parent; wait"])
        yield "version 1", iter([("wait", lambda: time.sleep(60))])

def fails():
    raise AssertionError("the partner lacks a story")

@contextlib.contextmanager
def fault(folder):
    yield "version 2", iter([("passes", lambda: None), ("fails", fails), ("is not reached", lambda: None)])

def not_here():
    raise NotInstallable("its registry is away")

System = runner.TestedSystem
sys.exit(runner.run(
    [System("absent", lambda: ["php-cli"], fault), System("offline", lambda: [], fault, not_here),
     System("broken", lambda: [], fault), System("slow", lambda: [], journey), System("never", lambda: [], journey)],
    sys.argv[2:],
))
"""


def start(folder: Path, *names: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), *names],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_with_a_summary_and_every_process(
    tmp_path: Path, number: signal.Signals
) -> None:
    running = start(tmp_path)
    ids = [tmp_path / name for name in ("parent", "child")]
    eventually(
        lambda: all(each.exists() and each.read_text().strip() for each in ids),
        within=20,
        what="the programs run",
    )
    running.send_signal(number)
    output, _ = running.communicate(timeout=20)
    assert running.returncode == 128 + number
    assert f"slow: stopped by {number.name}" in output
    assert output.splitlines()[-1] == (
        "systems: 0 passed, 1 failed (broken), 2 skipped (absent, offline), 2 stopped (slow, never)"
    )
    assert "Traceback" not in output
    for each in ids:
        assert not is_running(int(each.read_text()))


def is_running(pid: int) -> bool:
    """A process that has ended and that nobody has asked for yet does not run."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_the_run_says_why_a_system_is_skipped_and_at_which_step_it_failed(tmp_path: Path) -> None:
    running = start(tmp_path, "absent", "offline", "broken")
    output, _ = running.communicate(timeout=20)
    assert running.returncode == 1
    assert output.splitlines() == [
        "absent: skipped, not installed: php-cli",
        "offline: skipped, cannot be installed: its registry is away",
        "broken: version 2",
        "broken: passes (0.0 s)",
        "broken: FAILED fails: the partner lacks a story",
        "systems: 0 passed, 1 failed (broken), 2 skipped (absent, offline)",
    ]


def test_a_name_that_no_system_has_is_an_error(tmp_path: Path) -> None:
    running = start(tmp_path, "wordpres")
    output, _ = running.communicate(timeout=20)
    assert running.returncode == 2
    assert output.startswith("no such system: wordpres; there are: absent, ")
