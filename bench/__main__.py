"""`python -m bench [NAME…] [--against REV] [--rounds N] [--quick] [--database KIND] [--json FILE] [--list]`.

docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import (
    against,
    backlog,
    comparison,
    databases,
    deliveries,
    fairness,
    feeds,
    hanging,
    history,
    hooks,
    intake,
    killed,
    latency,
    serving,
    snapshot,
    sync,
)
from bench.against import ComparisonPlan
from bench.comparison import ComparedLine
from bench.processes import Failed
from bench.run import Run
from bench.signals import end_in_order
from bench.table import Line, rendered
from bench.trees import CannotCompare
from service import logs

ROWS: dict[str, Callable[[Run, str], list[Line]]] = {
    "intake": intake.measure,
    "hook": hooks.measure,
    "sync": sync.measure,
    "fanout": deliveries.fanout,
    "single": deliveries.single,
    "wide": deliveries.wide,
    "latency": latency.measure,
    "fairness": fairness.measure,
    "hanging": hanging.measure,
    "killed": killed.measure,
    "snapshot": snapshot.measure,
    "backlog": backlog.measure,
    "history": history.measure,
    "build": feeds.measure,
    "serving": serving.measure,
}


ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    end_in_order()
    given = _arguments()
    if given.list:
        print("\n".join(ROWS))
        return 0
    logs.configure("warning", json=False)  # people read the table
    _say(f"{os.cpu_count()} cores, Python {platform.python_version()}; trust the ratios, not the figures")
    names = given.names or list(ROWS)
    kinds = (given.database,) if given.database else databases.NAMES
    lines: Sequence[Line] | Sequence[ComparedLine]
    if given.against is None:
        lines = measured = _measured(names, kinds, quick=given.quick, rounds=given.rounds)
        print(rendered(measured))
    else:
        rounds = given.rounds or (1 if given.quick else against.ROUNDS_OF_A_COMPARISON)
        plan = ComparisonPlan(names, kinds, tuple(ROWS), rounds, given.quick)
        try:
            lines = compared = against.compare(ROOT, given.against, plan)
        except CannotCompare as error:
            _say(f"bench: {error}")
            return 2
        print(comparison.rendered(compared))
    if given.json:
        given.json.write_text(json.dumps([line.facts() for line in lines], indent=1))
    return 1 if any(line.void for line in lines) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures speed, beside the bare building block."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"rows: {', '.join(ROWS)} (default: all)")
    parser.add_argument(
        "--against", metavar="REV", help="measure this revision, too, by turns: before and after in one table"
    )
    parser.add_argument("--rounds", type=_rounds, metavar="N", help="so many rounds (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one small round each: under two minutes, rough")
    parser.add_argument("--database", choices=databases.NAMES, help="only this one (default: both)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there, too")
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in ROWS]:
        parser.error(f"there is no row {unknown[0]!r}; there are: {', '.join(ROWS)}")
    return given


def _rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds: give one from 1 to 100")
    return int(text)


def _measured(names: list[str], kinds: tuple[str, ...], *, quick: bool, rounds: int | None) -> list[Line]:
    lines: list[Line] = []
    with (
        tempfile.TemporaryDirectory(prefix="dateline-bench-", ignore_cleanup_errors=True) as folder,
        databases.databases(kinds) as found,
    ):
        run = Run(Path(folder), found, quick, rounds)
        for name in names:
            for kind in kinds:
                started = time.monotonic()
                measured = _row(run, name, kind)
                lines += measured
                _say(f"{name} on {kind}: {time.monotonic() - started:.0f} s")
                if len(names) > 1:  # what was measured stands, should the rest be stopped
                    _say(rendered(measured))
    return lines


def _row(run: Run, name: str, kind: str) -> list[Line]:
    try:
        return ROWS[name](run, kind)
    except Failed as error:
        return [Line(name, kind, "the row", "", void=str(error))]


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
