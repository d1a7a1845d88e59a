"""`python -m mutants [MODULE…]`: how many of the faults made in the rules' modules the tests notice.

It works in a copy of the tree, so that nothing is left behind however it ends. A module may be named by a part of its
path: `python -m mutants retry`, or `make mutants MODULES="retry breaker"`.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.commands import execute, init
from cosmic_ray.config import ConfigDict
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

from mutants import operators
from tests import memory

ROOT = Path(__file__).parents[1]
CONFIG = Path(__file__).with_name("mutants.toml")
_LEFT_OUT = shutil.ignore_patterns(".*", "var", "build", "dist", "__pycache__", "node_modules", "results")
# A fault may make a loop endless: it is noticed then, but nobody waits for it.
SLOWER, AT_LEAST = 4.0, 10.0  # times as long as without a fault; seconds


NONE_RUN = 5  # pytest's code for it
ANY = "*"  # a mutant that is equivalent in whatever module it is made


@dataclass(frozen=True)
class Mutant:
    """One fault: the lines that it takes out and puts in."""

    line: int
    before: str
    after: str

    @property
    def edit(self) -> tuple[str, str]:
        return self.before, self.after


@dataclass(frozen=True)
class Score:
    """What became of a module's mutants; those in `equivalent` no test can notice."""

    module: str
    killed: int
    survivors: Sequence[Mutant]
    equivalent: int
    stale: Sequence[str]  # listed as equivalent, and made no more, or noticed by a test

    @property
    def per_cent(self) -> float:
        return 100 * self.killed / max(1, self.killed + len(self.survivors))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mutants", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument("modules", nargs="*", help="parts of paths (default: all of mutants.toml)")
    parser.add_argument("--list", action="store_true", help="name the modules and end")
    wanted = parser.parse_args()
    config = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    modules = [
        path
        for path in config["modules"]
        if not wanted.modules or any(part in path for part in wanted.modules)
    ]
    if wanted.list:
        print("\n".join(modules))
        return 0
    operators.register()
    scores = [_measured(path, config) for path in modules if _exists(path)]
    print()
    for score in scores:
        print(_line(score))
    return 0 if scores and all(score.per_cent >= config["required"] for score in scores) else 1


def _exists(path: str) -> bool:
    if (ROOT / path).is_file():
        return True
    print(f"{path}: there is no such module")
    return False


def _measured(module: str, config: dict[str, Any]) -> Score:
    with _copy():
        tests = [path for path in config["modules"][module] if Path(path).is_file()]
        command = _command(tests)
        timeout = max(AT_LEAST, SLOWER * _seconds_without_fault(command))
        with use_db("mutants.sqlite") as found:
            init([Path(module)], found, {})
            _leave_out(found, config["exclude"])
            print(f"{module}: {found.num_work_items - found.num_results} mutants", flush=True)
            execute(
                found,
                ConfigDict({"test-command": command, "timeout": timeout, "distributor": {"name": "local"}}),
            )
            score = _score(module, found, config.get("equivalent", ()))
    for mutant in score.survivors:
        print(f"  survived, line {mutant.line}:\n    - {mutant.before}\n    + {mutant.after}")
    for line in score.stale:
        print(f"  listed as equivalent, but is not made, or is noticed: {line}")
    print(f"  {_line(score)}", flush=True)
    return score


@contextmanager
def _copy() -> Iterator[None]:
    """Works in a copy of the tree until the end; the tests import from it, too."""
    with tempfile.TemporaryDirectory(prefix="dateline-mutants-", dir=memory.place()) as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(copy)
        os.chdir(copy)
        try:
            yield
        finally:
            os.chdir(ROOT)
            os.environ["PYTHONPATH"] = before or str(ROOT)


def _command(tests: Sequence[str]) -> str:
    """Runs the tests; unit tests without the fixtures, which take longer to start than the tests do.

    Of the others those on SQLite come first: most faults are noticed before a PostgreSQL need be started.
    """
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "mutants.pytest_plugin", *tests]
    pytest = ["env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", sys.executable, "-m", "pytest"]
    if all(path.startswith("tests/unit/") for path in tests):
        return shlex.join([*pytest, "--noconftest", *options])
    sqlite, postgresql = (
        shlex.join([*pytest, "-k", which, *options]) for which in ("not postgresql", "postgresql")
    )
    return shlex.join(
        ["sh", "-c", f"{sqlite} && {{ {postgresql}; code=$?; [ $code -eq 0 ] || [ $code -eq {NONE_RUN} ]; }}"]
    )


def _seconds_without_fault(command: str) -> float:
    start = time.monotonic()
    ended = subprocess.run(shlex.split(command), check=False, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"the tests fail without any fault:\n{ended.stdout[-3000:]}{ended.stderr[-1000:]}")
    return time.monotonic() - start


def _leave_out(found: WorkDB, patterns: Sequence[str]) -> None:
    excluded = re.compile("|".join(patterns))
    for item in found.pending_work_items:
        if excluded.fullmatch(item.mutations[0].operator_name):
            found.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def _score(module: str, found: WorkDB, listed: Sequence[dict[str, str]]) -> Score:
    equivalents = {(each["before"], each["after"]) for each in listed if each["module"] in (module, ANY)}
    killed, equivalent, used = 0, 0, set()
    survivors: list[Mutant] = []
    for _, result in found.completed_work_items:
        if result.worker_outcome == WorkerOutcome.SKIPPED:
            continue
        mutant = _mutant(result.diff or "")
        if result.test_outcome != TestOutcome.SURVIVED:
            killed += 1
        elif mutant.edit in equivalents:
            equivalent += 1
            used.add(mutant.edit)
        else:
            survivors.append(mutant)
    own = {(each["before"], each["after"]) for each in listed if each["module"] == module}
    stale = [f"{before}  →  {after}" for before, after in sorted(own - used)]
    survivors.sort(key=lambda each: each.line)
    return Score(module, killed, survivors, equivalent, stale)


def _mutant(diff: str) -> Mutant:
    lines = diff.splitlines()
    place = next((int(line.split()[1][1:].split(",")[0]) for line in lines if line.startswith("@@")), 0)
    taken = [line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")]
    put = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")]
    context = 0
    for line in lines[next((n for n, each in enumerate(lines) if each.startswith("@@")), 0) + 1 :]:
        if line.startswith(("-", "+")):
            break
        context += 1
    return Mutant(place + context, " ".join(taken), " ".join(put))


def _line(score: Score) -> str:
    return (
        f"{score.per_cent:5.1f} %  {score.module}: {score.killed} noticed, {len(score.survivors)} survived,"
        f" {score.equivalent} equivalent"
    )


if __name__ == "__main__":
    sys.exit(main())
