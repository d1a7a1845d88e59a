"""The trees that a comparison measures: the working tree, and a revision in a temporary folder.

docs/decisions/0026-before-and-after.md says which bench measures an older tree.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOCK = Path("requirements/dev.txt")
BUILD_SECONDS = 1800
# They call the product's functions or know its tables, so a tree's own are right for it; where it has none, today's.
OWN_DRIVERS = frozenset(
    {
        "backlog.py",
        "bare_web.py",
        "desk.py",
        "feeds.py",
        "ghost_api.py",
        "history.py",
        "hooks.py",
        "killed.py",
        "serving.py",
        "sync.py",
    }
)
_SUPPORT = (Path("tests/postgres.py"), Path("tests/memory.py"))  # the bench's server is the tests'
_NEEDED_BY_A_TURN = (Path("bench/turn.py"), Path("bench/signals.py"))
_PACKAGES = ("service", "workers", "feeds", "bench", "tests/postgres.py", "tests/memory.py")


class CannotCompare(Exception):
    """The revision cannot be measured. The text says why, and what to do."""


@dataclass(frozen=True)
class MeasuredTree:
    """A tree and the interpreter that runs it. `rows` are those that its bench has; `note` says which bench that is."""

    folder: Path
    python: str
    rows: tuple[str, ...]
    note: str = ""


def working_tree(root: Path, rows: Sequence[str]) -> MeasuredTree:
    """The tree of this bench, as it lies there."""
    _compile(root, sys.executable)
    return MeasuredTree(root, sys.executable, tuple(rows))


@contextmanager
def checked_out(root: Path, revision: str, rows: Sequence[str]) -> Iterator[MeasuredTree]:
    """The revision in a folder that goes at the end, with an environment of its own if its lock is another."""
    commit = _commit(root, revision)
    with tempfile.TemporaryDirectory(prefix="dateline-before-", ignore_cleanup_errors=True) as temporary:
        Path(temporary).chmod(
            0o755
        )  # for root the database server runs as another user, perhaps from in here
        folder = Path(temporary) / "tree"
        _extract(root, commit, folder)
        python = sys.executable if _same_lock(root, folder) else _build(folder, revision)
        lay_todays_bench(root, folder)
        if not _loads(folder, python):
            rows = _fall_back(root, commit, folder, python, revision)
            note = f"{revision} is measured by its own bench: today's cannot be loaded there"
        else:
            note = f"{revision} is measured by today's bench"
        _compile(folder, python)
        yield MeasuredTree(folder, python, tuple(rows), note)


def environment(folder: Path) -> dict[str, str]:
    """The environment in which Python takes Dateline from this tree, whatever is installed, and keeps bytecode."""
    others = ("PYTHONDONTWRITEBYTECODE", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in others}
    return {**kept, "PYTHONPATH": str(folder)}


def lay_todays_bench(root: Path, folder: Path) -> None:
    """Lays today's bench into a tree, but for the tree's own drivers."""
    own = {each.name for each in (folder / "bench").glob("*.py")} & OWN_DRIVERS
    for path in list((folder / "bench").glob("*.py")):
        if path.name not in own:
            path.unlink()
    todays = [path.relative_to(root) for path in (root / "bench").glob("*.py") if path.name not in own]
    _copy([*todays, *_SUPPORT], root, folder)


def _fall_back(root: Path, commit: str, folder: Path, python: str, revision: str) -> tuple[str, ...]:
    """Puts the tree's own bench back, with what a turn needs; returns the rows that it has."""
    shutil.rmtree(folder / "bench")
    _extract(root, commit, folder)
    _copy(_NEEDED_BY_A_TURN, root, folder)
    listed = _python(folder, python, "-m", "bench.turn", "--list")
    if listed.returncode != 0:
        raise CannotCompare(
            f"neither today's bench nor its own can be loaded in {revision}; name a later revision. "
            f"Its own says:\n{_tail(listed.stderr)}"
        )
    return tuple(listed.stdout.split())


def _commit(root: Path, revision: str) -> str:
    if revision.startswith("-"):
        raise CannotCompare(f"{revision} is no revision: name a commit, a tag or a branch")
    try:
        ran = _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except FileNotFoundError:
        raise CannotCompare("--against takes the revision from git: install git") from None
    if ran.returncode == 0:
        return ran.stdout.strip()
    if _git(root, "rev-parse", "--git-dir").returncode != 0:
        raise CannotCompare(
            f"--against takes the revision from git, and {root} is no git repository: clone one"
        )
    raise CannotCompare(
        f"there is no revision {revision!r} in {root}: name a commit, a tag or a branch that `git log` knows;"
        " in a shallow clone `git fetch --unshallow` brings the older ones"
    )


def _extract(root: Path, commit: str, folder: Path) -> None:
    """Writes the revision's files. The repository knows nothing of the folder, so nothing of it has to be undone."""
    folder.mkdir(exist_ok=True)
    packed = folder.with_name("tree.tar")
    for command in (
        ["git", "archive", "-o", str(packed), commit],
        ["tar", "-xf", str(packed), "-C", str(folder)],
    ):
        ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise CannotCompare(
                f"`{' '.join(command[:2])}` failed, is the disk full? It says: {_tail(ran.stderr)}"
            )
    packed.unlink()


def _same_lock(root: Path, folder: Path) -> bool:
    theirs = folder / LOCK
    return theirs.exists() and theirs.read_bytes() == (root / LOCK).read_bytes()


def _build(folder: Path, revision: str) -> str:
    """Makes the revision's environment as its `make` does; returns its interpreter."""
    print(
        f"{revision} has another lock: its environment is made, which takes minutes",
        file=sys.stderr,
        flush=True,
    )
    command = ["make", "-C", str(folder), f"PYTHON={sys.executable}", ".venv/.installed-dev"]
    try:
        ran = _run(command, folder, BUILD_SECONDS)
    except FileNotFoundError:
        raise CannotCompare(f"the environment of {revision} is made by make: install make") from None
    except subprocess.TimeoutExpired:
        raise CannotCompare(
            f"the environment of {revision} was not made within {BUILD_SECONDS} s: is the package index reachable?"
        ) from None
    if ran.returncode != 0:
        raise CannotCompare(
            f"the environment of {revision} could not be made (packages come from the index of pip, by the hashes"
            f" of its lock); if a package is gone, name a later revision. make says:\n{_tail(ran.stderr)}"
        )
    return str(folder / ".venv/bin/python")


def _loads(folder: Path, python: str) -> bool:
    return _python(folder, python, "-c", "import bench.turn").returncode == 0


def _compile(folder: Path, python: str) -> None:
    """Has the bytecode at hand, so that no start is slower for being the first."""
    _python(folder, python, "-m", "compileall", "-q", *_PACKAGES)


def _copy(paths: Sequence[Path], root: Path, folder: Path) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, folder / path)


def _python(folder: Path, python: str, *words: str) -> subprocess.CompletedProcess[str]:
    return _run([python, *words], folder, BUILD_SECONDS)


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)


def _run(command: Sequence[str], folder: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """Runs a command; if it takes too long, or this process is to end, it and all that it started are killed."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, errors = process.communicate(timeout=seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def _tail(text: str) -> str:
    return text.strip()[-1500:]
