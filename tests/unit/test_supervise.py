"""The supervisor: starts parts, restarts those that die, ends all of them."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.runtime import supervise
from service.runtime.supervise import CannotRun, Lock, Part, Supervisor

SLEEPER = "import time\nwhile True: time.sleep(1)"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
    + SLEEPER
)


def a_part(name: str, code: str = SLEEPER, *, last: bool = False, once: bool = False) -> Part:
    return Part(name, lambda: [sys.executable, "-c", code], last=last, once=once)


def eventually(condition: Callable[[], bool], *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextmanager
def supervising(tmp_path: Path, *parts: Part) -> Iterator[tuple[Supervisor, list[str]]]:
    said: list[str] = []
    supervisor = Supervisor(
        parts,
        state_file=tmp_path / supervise.SUPERVISOR_STATE_FILE,
        facts={"url": "http://x"},
        say=said.append,
    )
    try:
        yield supervisor, said
    finally:
        supervisor.stop()


def pids(tmp_path: Path) -> dict[str, int]:
    state = supervise.read_state(tmp_path)
    return {} if state is None else dict(state["children"])


def test_parts_run_until_they_are_stopped(tmp_path: Path) -> None:
    with supervising(tmp_path, a_part("web"), a_part("w1")) as (supervisor, said):
        supervisor.tick()
        children = pids(tmp_path)
        assert sorted(children) == ["w1", "web"]
        assert all(map(is_alive, children.values()))
    assert not any(map(is_alive, children.values()))
    assert said == []
    assert supervise.read_state(tmp_path) is None


def test_part_that_dies_is_started_again_with_a_line_about_it(tmp_path: Path) -> None:
    with supervising(tmp_path, a_part("w1")) as (supervisor, said):
        supervisor.tick()
        first = pids(tmp_path)["w1"]
        os.kill(first, signal.SIGKILL)
        assert supervisor.run_until(lambda: pids(tmp_path)["w1"] != first)
        assert said == ["w1 was ended by SIGKILL; started again in 0.1 s"]


def test_part_that_keeps_failing_is_started_less_and_less_often() -> None:
    assert [supervise.delay_before(n) for n in (1, 2, 3, 6, 7, 1000)] == [0.1, 0.2, 0.4, 3.2, 5.0, 5.0]


def test_part_that_cannot_be_started_does_not_harm_the_others(tmp_path: Path) -> None:
    def missing() -> list[str]:
        return ["/nowhere/redis-server"]

    with supervising(tmp_path, Part("redis", missing), a_part("web")) as (supervisor, said):
        supervisor.tick()
        assert "redis cannot be started" in said[0]
        assert list(pids(tmp_path)) == ["web"]


def test_part_with_a_task_of_its_own_is_not_started_again_once_it_is_done(tmp_path: Path) -> None:
    with supervising(tmp_path, a_part("newsroom", "pass", once=True)) as (supervisor, said):
        supervisor.tick()
        first = pids(tmp_path)["newsroom"]
        assert eventually(lambda: not is_alive(first))
        end = time.monotonic() + 0.3
        supervisor.run_until(lambda: time.monotonic() > end)
        assert said == []


def test_part_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "GRACE", 0.5)
    out = tmp_path / "deaf"
    code = STUBBORN.replace("print('deaf', flush=True)", f"open({str(out)!r}, 'w').close()")
    with supervising(tmp_path, a_part("w1", code)) as (supervisor, said):
        supervisor.tick()
        pid = pids(tmp_path)["w1"]
        assert eventually(out.exists)
    assert not is_alive(pid)
    assert said == ["w1 did not end by itself; killed"]


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux's kernel tells children of their parent's death"
)
def test_parts_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom service.runtime.supervise import Part, Supervisor\n"
        f"part = Part('web', lambda: [sys.executable, '-c', {SLEEPER!r}])\n"
        f"s = Supervisor([part], state_file=pathlib.Path({str(tmp_path / 'up.json')!r}), facts={{}},\n"
        " say=print)\n"
        "s.run_until(lambda: False)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as parent:
        assert eventually(lambda: "web" in pids(tmp_path))
        child = pids(tmp_path)["web"]
        parent.kill()
        assert eventually(lambda: not is_alive(child))


def test_second_up_on_one_data_directory_is_refused_in_words(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    with pytest.raises(CannotRun, match=rf"process {os.getpid()}\) already uses .*--data-dir"):
        Lock(tmp_path)
    lock.release()
    Lock(tmp_path).release()


def test_state_of_an_up_that_was_killed_is_not_believed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        pass
    (tmp_path / supervise.SUPERVISOR_STATE_FILE).write_text(
        json.dumps({"pid": gone.pid, "url": "http://x", "children": {}})
    )
    assert supervise.read_state(tmp_path) is None
    (tmp_path / supervise.SUPERVISOR_STATE_FILE).write_text("{ half a file")
    assert supervise.read_state(tmp_path) is None


@contextmanager
def no_room() -> Iterator[None]:
    """No file of this process or of its children can grow: as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_part_that_dies_while_the_disk_is_full_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    with supervising(tmp_path, a_part("web"), a_part("w1")) as (supervisor, said):
        supervisor.tick()
        first = pids(tmp_path)
        with no_room():
            os.kill(first["w1"], signal.SIGKILL)
            assert supervisor.run_until(lambda: any("up.json" in line for line in said))
        assert is_alive(first["web"])
        assert "w1 was ended by SIGKILL; started again in 0.1 s" in said
        (line,) = [line for line in said if "up.json" in line]
        assert line.startswith(f"{tmp_path / 'up.json'}: cannot be written: the file would be larger than a")
        assert line.endswith("; all parts go on, and it is written later")
        assert supervisor.run_until(lambda: pids(tmp_path)["w1"] != first["w1"])
        assert is_alive(pids(tmp_path)["w1"])


def test_part_that_cannot_prepare_its_start_on_a_full_disk_is_tried_again(tmp_path: Path) -> None:
    def prepare() -> list[str]:
        raise OSError(errno.ENOSPC, "No space left on device", "redis-socket")

    with supervising(tmp_path, Part("redis", prepare), a_part("web")) as (supervisor, said):
        supervisor.tick()
        full = "cannot be written: the disk is full (its space or its inodes); make room"
        assert said == [f"redis redis-socket: {full}; started again in 0.1 s"]
        assert list(pids(tmp_path)) == ["web"]


def test_up_is_locked_though_the_disk_is_full(tmp_path: Path) -> None:
    Lock(tmp_path).release()
    with no_room():
        lock = Lock(tmp_path)
        with pytest.raises(CannotRun, match="another 'dateline up'"):
            Lock(tmp_path)
        lock.release()
