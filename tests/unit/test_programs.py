"""Programs as processes: forked from one that has loaded them, they find what a new interpreter would give them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no program is forked")
TEN_SECONDS = 10

# The program: `report` writes down what it finds, the others end in different ways.
PROGRAM = """
import json, os, signal, sys, threading, time
from pathlib import Path

LOADED_BY = os.getpid()

def handler(number):
    found = signal.getsignal(number)
    return getattr(found, "__name__", str(found))

def open_files():
    return sorted(each for each in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{each}"))

def main():
    print(f"{sys.argv[1]} begins")
    match sys.argv[1]:
        case "report":
            Path(sys.argv[2]).write_text(json.dumps({
                "files": open_files() if sys.platform == "linux" else [],
                "words": sys.argv[1:],
                "input": sys.stdin.read(),
                "added": os.environ["ADDED"],
                "kept": os.environ["KEPT"],
                "handlers": [handler(signal.SIGTERM), handler(signal.SIGINT)],
                "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
                "leads its session": os.getsid(0) == os.getpid(),
                "parent": os.getppid(),
                "loaded here": LOADED_BY == os.getpid(),
                "command line": Path("/proc/self/cmdline").read_bytes().decode().split("\\0"),
            }))
            return 0
        case "fail":
            raise ValueError("the pipe is cut")
        case "refuse":
            return 3
        case "work on":
            def finish():
                time.sleep(0.2)
                Path(sys.argv[2]).write_text("finished")
            threading.Thread(target=finish).start()
            return 0
        case "stay":
            Path(sys.argv[2]).write_text(str(os.getpid()))
            time.sleep(60)

if __name__ == "__main__":
    sys.exit(main())
"""
# The parent: signal handlers, files and a thread of its own, as the test wants them.
PARENT = """
import json, signal, sys, threading
from service.runtime import programs

asked = json.loads(sys.argv[1])
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: None)
kept_open = open(__file__) if "__file__" in globals() else open(sys.executable, "rb")
if asked["thread"]:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
program = programs.Program("a_program", tuple(asked["words"]))
child = programs.start(program, {"ADDED": "by the part"})
if asked["kill"] is not None:
    import time
    from pathlib import Path
    while not Path(asked["words"][1]).exists() or not Path(asked["words"][1]).read_text():
        time.sleep(0.02)
    getattr(child, asked["kill"])()
print(json.dumps({"status": child.wait(), "again": child.poll(), "pid": child.pid}))
"""


@dataclass(frozen=True)
class ProgramEnd:
    """The end of a program as its parent saw it, and what was written."""

    status: int
    output: str
    errors: str


def run(folder: Path, *words: str, thread: bool = False, kill: str | None = None) -> ProgramEnd:
    """Runs the program with these words, from a parent that may fork, unless it has another `thread`."""
    (folder / "a_program.py").write_text(PROGRAM)
    asked = json.dumps({"words": words, "thread": thread, "kill": kill})
    ran = subprocess.run(
        [sys.executable, "-c", PARENT, asked],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "KEPT": "from before"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *output, seen = ran.stdout.splitlines()
    answer = json.loads(seen)
    assert answer["status"] == answer["again"]
    return ProgramEnd(answer["status"], "\n".join(output), ran.stderr)


def a_report(folder: Path, *, thread: bool) -> dict[str, Any]:
    folder.mkdir()
    ended = run(folder, "report", str(folder / "report"), "two words", thread=thread)
    assert (ended.status, ended.output, ended.errors) == (0, "report begins", "")
    report: dict[str, Any] = json.loads((folder / "report").read_text())
    return report


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return a_report(tmp_path_factory.mktemp("forked") / "here", thread=False)


@pytest.fixture(scope="module")
def anew(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return a_report(tmp_path_factory.mktemp("anew") / "here", thread=True)


def of_both(report: dict[str, Any]) -> dict[str, Any]:
    """The facts that are the same for a program, however it is started."""
    own = ("words", "parent", "loaded here", "command line")
    return {name: value for name, value in report.items() if name not in own}


@LINUX
def test_forked_program_finds_what_it_finds_in_a_new_interpreter(
    forked: dict[str, Any], anew: dict[str, Any]
) -> None:
    assert of_both(forked) == of_both(anew)
    assert of_both(forked) == {
        "files": [0, 1, 2],
        "input": "",
        "added": "by the part",
        "kept": "from before",
        "handlers": ["0", "default_int_handler"],
        "blocked": [],
        "leads its session": True,
    }
    assert forked["words"][2] == anew["words"][2] == "two words"


@LINUX
def test_program_is_loaded_once_by_its_parent_unless_another_thread_is_at_work_there(
    forked: dict[str, Any], anew: dict[str, Any]
) -> None:
    assert not forked["loaded here"]
    assert anew["loaded here"]


@LINUX
def test_command_line_of_a_forked_program_is_shown_as_its_own(forked: dict[str, Any]) -> None:
    assert forked["command line"][:2] == ["dateline", "report"]


@pytest.mark.parametrize("thread", [False, True], ids=["forked", "anew"])
def test_status_and_words_of_a_program_that_fails_reach_its_parent(tmp_path: Path, thread: bool) -> None:
    failed = run(tmp_path, "fail", thread=thread)
    assert (failed.status, failed.output) == (1, "fail begins")
    assert failed.errors.rstrip().endswith("ValueError: the pipe is cut")
    assert run(tmp_path, "refuse", thread=thread).status == 3


@pytest.mark.parametrize("thread", [False, True], ids=["forked", "anew"])
def test_program_ends_when_its_threads_have_ended(tmp_path: Path, thread: bool) -> None:
    assert run(tmp_path, "work on", str(tmp_path / "work"), thread=thread).status == 0
    assert (tmp_path / "work").read_text() == "finished"


@pytest.mark.parametrize("thread", [False, True], ids=["forked", "anew"])
def test_signal_that_ended_a_program_is_its_status(tmp_path: Path, thread: bool) -> None:
    for number, (method, signalled) in enumerate((("terminate", signal.SIGTERM), ("kill", signal.SIGKILL))):
        here = str(tmp_path / str(number))
        assert run(tmp_path, "stay", here, thread=thread, kill=method).status == -signalled


@LINUX
def test_forked_program_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "a_program.py").write_text(PROGRAM)
    here = tmp_path / "stays"
    asked = json.dumps({"words": ["stay", str(here)], "thread": False, "kill": None})
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, asked], env=environment, stdout=subprocess.DEVNULL
    ) as parent:
        deadline = time.monotonic() + TEN_SECONDS
        while not here.exists() or not here.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        parent.kill()
    child = Path(f"/proc/{here.read_text()}/stat")
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)
