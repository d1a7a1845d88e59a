"""A comparison: a revision and the working tree measured by turns in one run, each turn by processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.comparison import ComparedLine, Side, merge, turns
from bench.trees import MeasuredTree, checked_out, environment, working_tree

ROUNDS_OF_A_COMPARISON = 3
TURN_SECONDS = 3600.0  # the rows have deadlines of their own, far below
ENDS_WITHIN = 90.0  # seconds: a turn that is to end stops its database, Redis and workers first


@dataclass(frozen=True)
class ComparisonPlan:
    """The rows to compare, on these databases. `rows` are all that today's bench has."""

    names: Sequence[str]
    kinds: Sequence[str]
    rows: Sequence[str]
    rounds: int
    quick: bool


def compare(root: Path, revision: str, plan: ComparisonPlan) -> list[ComparedLine]:
    """Measures the revision and then the tree at `root`, by turns; raises CannotCompare."""
    lines: list[ComparedLine] = []
    with checked_out(root, revision, plan.rows) as before:
        _say(before.note)
        trees: dict[Side, MeasuredTree] = {"before": before, "after": working_tree(root, plan.rows)}
        for name in plan.names:
            for kind in plan.kinds:
                measured = [
                    (
                        side,
                        _turn(trees[side], f"{name} on {kind}, round {number + 1}, {side}", name, kind, plan),
                    )
                    for number, side in turns(plan.rounds)
                    if name in trees[side].rows
                ]
                lines += merge(measured)
    return lines


def _turn(tree: MeasuredTree, title: str, name: str, kind: str, plan: ComparisonPlan) -> list[dict[str, Any]]:
    """One round of a row in one tree: its lines as the bench writes them."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dateline-turn-") as folder:
        file, log = Path(folder) / "lines.json", Path(folder) / "log"
        words = [name, "--database", kind, "--json", str(file), *(["--quick"] if plan.quick else [])]
        with log.open("wb") as output, _process(tree, words, output) as process:
            process.wait(TURN_SECONDS)
        _say(f"{title}: {time.monotonic() - started:.0f} s")
        if file.exists():
            lines: list[dict[str, Any]] = json.loads(file.read_bytes())
            return lines
        ending = log.read_text(errors="replace").strip()[-1500:]
    void = f"its bench ended with status {process.returncode} and measured nothing: {ending}"
    return [
        {"row": name, "database": kind, "what": "the row", "unit": "", "ours": [], "bare": [], "void": void}
    ]


@contextmanager
def _process(tree: MeasuredTree, words: Sequence[str], output: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A turn in a session of its own: Ctrl-C reaches this process alone, which has it end in order."""
    process = subprocess.Popen(
        [tree.python, "-m", "bench.turn", *words],
        cwd=tree.folder,
        env=environment(tree.folder),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
