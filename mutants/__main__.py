"""`python -m mutants [MODULE…]`: how many of the faults made in the rules' modules the tests notice.

It works in a copy of the tree, so that nothing is left behind however it ends. A module may be named by a part of its
path: `python -m mutants retry`, or `make mutants MODULES="retry breaker"`.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray import plugins
from cosmic_ray.commands import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

from mutants import forked, operators

ROOT = Path(__file__).parents[1]
CONFIG = Path(__file__).with_name("mutants.toml")
_LEFT_OUT = shutil.ignore_patterns(".*", "var", "build", "dist", "__pycache__", "node_modules", "results")
# A fault may make a loop endless: it is noticed then, but nobody waits for it.
SLOWER, AT_LEAST, FOREVER = 4.0, 20.0, 600.0  # times as long as without a fault; seconds; seconds


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
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants of each module, at random")
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # and tidies up
    operators.register()
    forked.load_libraries()
    scores = [_measured(path, config, wanted.sample) for path in modules if _exists(path, config)]
    print()
    for score in scores:
        print(_line(score))
    return 0 if scores and all(score.per_cent >= config["required"] for score in scores) else 1


def _exists(module: str, config: dict[str, Any]) -> bool:
    if (ROOT / module).is_file() and any((ROOT / path).is_file() for path in config["modules"][module]):
        return True
    print(f"{module}: there is no such module, or there are no tests of it")
    return False


def _measured(module: str, config: dict[str, Any], sample: int | None) -> Score:
    with _copy():
        tests = [path for path in config["modules"][module] if Path(path).is_file()]
        timeout = max(AT_LEAST, SLOWER * _seconds_without_fault(tests))
        with use_db("mutants.sqlite") as found:
            init([Path(module)], found, {})
            _leave_out(found, config["exclude"])
            items = found.pending_work_items[:sample]  # they come in random order
            print(f"{module}: {len(items)} mutants", flush=True)
            for item in items:
                found.set_result(item.job_id, _tested(item.mutations[0], tests, timeout))
            score = _score(module, found, config.get("equivalent", ()))
    for mutant in score.survivors:
        print(f"  survived, line {mutant.line}:\n    - {mutant.before}\n    + {mutant.after}")
    for line in score.stale:
        print(f"  listed as equivalent, but is not made, or is noticed: {line}")
    print(f"  {_line(score)}", flush=True)
    return score


def _tested(mutation: MutationSpec, tests: Sequence[str], timeout: float) -> WorkResult:
    operator = plugins.get_operator(mutation.operator_name)(**mutation.operator_args)
    with use_mutation(mutation.module_path, operator, mutation.occurrence) as (before, after):
        survived = forked.passes(tests, timeout)
    lines = difflib.unified_diff(before.splitlines(), (after or "").splitlines(), lineterm="", n=0)
    outcome = TestOutcome.SURVIVED if survived else TestOutcome.KILLED
    return WorkResult(WorkerOutcome.NORMAL, diff="\n".join(lines), test_outcome=outcome)


@contextmanager
def _copy() -> Iterator[None]:
    """Works in a copy of the tree until the end."""
    with tempfile.TemporaryDirectory(prefix="dateline-mutants-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
        os.chdir(copy)
        try:
            yield
        finally:
            os.chdir(ROOT)


def _seconds_without_fault(tests: Sequence[str]) -> float:
    start = time.monotonic()
    with Path("output").open("w+") as output:
        if not forked.passes(tests, FOREVER, output=output.fileno(), cached=False):
            output.seek(0)
            sys.exit(f"the tests fail without any fault:\n{output.read()[-3000:]}")
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
    """Of a diff without context."""
    lines = diff.splitlines()
    place = next((each.split()[1] for each in lines if each.startswith("@@")), "-0")
    taken = [each[1:].strip() for each in lines if each.startswith("-") and not each.startswith("---")]
    put = [each[1:].strip() for each in lines if each.startswith("+") and not each.startswith("+++")]
    return Mutant(int(place[1:].partition(",")[0]), " ".join(taken), " ".join(put))


def _line(score: Score) -> str:
    return (
        f"{score.per_cent:5.1f} %  {score.module}: {score.killed} noticed, {len(score.survivors)} survived,"
        f" {score.equivalent} equivalent"
    )


if __name__ == "__main__":
    sys.exit(main())
