"""`python -m bench --against REV`: each tree measures itself, by turns, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.against import ComparisonPlan, compare
from bench.trees import CannotCompare, checked_out

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
PLAN = ComparisonPlan(names=["tiny"], kinds=["sqlite"], rows=["tiny", "later"], rounds=2, quick=True)

# A product with one value, and a bench that measures it.
_SERVICE = "SPEED = {speed}\n"
_RUN = "ROUNDS = 3\n"
_BENCH = """
import json, sys
from bench import run
{imports}
def main():
    if "--list" in sys.argv:
        print("tiny")
        return 0
    line = dict(row="tiny", database="sqlite", what={what!r}, unit="1/s", void="", bare=[1.0])
    with open(sys.argv[sys.argv.index("--json") + 1], "w") as file:
        json.dump([dict(line, ours=[speed()] * run.ROUNDS)], file)
    return 0
"""
_HANGS = """
import os, time
def main():
    with open({file!r}, "w") as file:
        file.write(str(os.getpid()))
    try:
        time.sleep(600)
    finally:
        open({file!r} + ".ended", "w").close()
"""
_OLD, _NEW = "from service import SPEED\ndef speed(): return SPEED", "from service.moved import speed"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a comparison makes its own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, of speed 10, whose bench is its own."""
    root = tmp_path / "repository"
    for path in ("bench/turn.py", "bench/signals.py", "tests/postgres.py", "tests/memory.py"):
        write(root / path, (ROOT / path).read_text())
    for path in ("bench/__init__.py", "requirements/dev.txt", "tests/__init__.py"):
        write(root / path, "")
    write(root / "service/__init__.py", _SERVICE.format(speed=10))
    write(root / "bench/run.py", _RUN)
    write(root / "bench/__main__.py", _BENCH.format(imports=_OLD, what="before the move"))
    git(root, "init", "--quiet")
    commit(root)
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def git(root: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words], cwd=root, check=True
    )


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "x")


def test_each_tree_measures_its_own_product_with_the_bench_of_today(
    repository: Path, temporary: Path
) -> None:
    write(repository / "service/__init__.py", _SERVICE.format(speed=30))
    write(repository / "bench/__main__.py", _BENCH.format(imports=_OLD, what="today"))
    (line,) = compare(repository, "HEAD", PLAN)
    assert (line.what, line.before, line.after, line.ratio) == ("today", [10.0, 10.0], [30.0, 30.0], 3.0)
    assert list(temporary.iterdir()) == []


def test_tree_whose_modules_have_moved_since_is_measured_by_its_own_bench(
    repository: Path, temporary: Path
) -> None:
    write(repository / "service/moved.py", "def speed(): return 30\n")
    write(repository / "bench/__main__.py", _BENCH.format(imports=_NEW, what="before the move"))
    with checked_out(repository, "HEAD", PLAN.rows) as tree:
        assert tree.rows == ("tiny",)
        assert tree.note == "HEAD is measured by its own bench: today's cannot be loaded there"
    (line,) = compare(repository, "HEAD", PLAN)
    assert (line.before, line.after) == ([10.0, 10.0], [30.0, 30.0])
    assert list(temporary.iterdir()) == []


def test_tree_keeps_its_own_driver_under_the_bench_of_today(repository: Path) -> None:
    write(repository / "bench/desk.py", "OF = 'before'\n")
    commit(repository)
    write(repository / "bench/desk.py", "OF = 'today'\n")
    write(repository / "bench/sync.py", "OF = 'today'\n")
    with checked_out(repository, "HEAD", PLAN.rows) as tree:
        assert (tree.folder / "bench/desk.py").read_text() == "OF = 'before'\n"
        assert (tree.folder / "bench/sync.py").read_text() == "OF = 'today'\n"


def test_turn_that_measures_nothing_is_void_and_says_how_it_ended(repository: Path) -> None:
    write(repository / "bench/__main__.py", "def main(): raise RuntimeError('the disk is full')\n")
    git(repository, "commit", "--quiet", "--all", "--message", "broken")
    (line,) = compare(repository, "HEAD~1", PLAN)
    assert line.verdict.startswith("void: after: its bench ended with status 1")
    assert "the disk is full" in line.verdict


@pytest.mark.parametrize(("revision", "words"), [("nosuch", "git log"), ("--all", "name a commit")])
def test_revision_that_does_not_exist_is_named_with_a_way_out(
    repository: Path, temporary: Path, revision: str, words: str
) -> None:
    with pytest.raises(CannotCompare, match=words) as error:
        compare(repository, revision, PLAN)
    assert revision in str(error.value)
    assert list(temporary.iterdir()) == []


def test_folder_without_git_is_told_to_be_cloned(tmp_path: Path) -> None:
    with pytest.raises(CannotCompare, match="clone one"):
        compare(tmp_path, "HEAD", PLAN)


def test_environment_that_cannot_be_made_is_told_with_the_words_of_make(
    repository: Path, temporary: Path
) -> None:
    write(repository / "Makefile", ".venv/.installed-dev:\n\t@echo 'no such package: gone==1' >&2; exit 1\n")
    commit(repository)
    write(repository / "requirements/dev.txt", "another==1\n")
    with pytest.raises(CannotCompare, match=r"name a later revision(.|\n)*no such package: gone==1"):
        compare(repository, "HEAD", PLAN)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_comparison_that_is_stopped_ends_its_turn_and_leaves_nothing_behind(
    repository: Path, temporary: Path, number: signal.Signals
) -> None:
    turn = repository.parent / "turn"
    write(repository / "bench/__main__.py", _HANGS.format(file=str(turn)))
    code = (
        "from pathlib import Path; from bench.signals import end_in_order\n"
        "from tests.integration.test_bench_against import PLAN, compare\n"
        f"end_in_order(); compare(Path({str(repository)!r}), 'HEAD', PLAN)"
    )
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment)
    try:
        wait_for(turn)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    finally:
        process.kill()
        process.wait()
    assert Path(f"{turn}.ended").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(turn.read_text()), 0)
    assert list(temporary.iterdir()) == []


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 30
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline, "no turn began"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs the repository"
)
def test_this_repository_is_compared_with_its_last_commit(tmp_path: Path) -> None:
    words = [
        "build",
        "--quick",
        "--database",
        "sqlite",
        "--against",
        "HEAD",
        "--json",
        str(tmp_path / "lines.json"),
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = json.loads((tmp_path / "lines.json").read_text())
    assert len(lines) == 7
    assert all(len(line["before"]) == len(line["after"]) == len(line["bare"]) == 1 for line in lines)
    assert "after:before" in ran.stdout
