"""`python -m bench [NAME…] [--quick] [--database KIND] [--json FILE] [--list]`: docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import (
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
    sync,
)
from bench.processes import Failed
from bench.run import Run
from bench.table import Line, rendered
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
    "history": history.measure,
    "build": feeds.measure,
    "serving": serving.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures speed, beside the bare building block."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"rows: {', '.join(ROWS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="one small round each: under two minutes, rough")
    parser.add_argument("--database", choices=databases.NAMES, help="only this one (default: both)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there, too")
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in ROWS]:
        parser.error(f"there is no row {unknown[0]!r}; there are: {', '.join(ROWS)}")
    if given.list:
        print("\n".join(ROWS))
        return 0
    logs.configure("warning", json=False)  # people read the table
    kinds = (given.database,) if given.database else databases.NAMES
    lines = _measured(given.names or list(ROWS), kinds, quick=given.quick)
    print(rendered(lines))
    if given.json:
        given.json.write_text(json.dumps([line.facts() for line in lines], indent=1))
    return 1 if any(line.void for line in lines) else 0


def _measured(names: list[str], kinds: tuple[str, ...], *, quick: bool) -> list[Line]:
    _say(f"{os.cpu_count()} cores, Python {platform.python_version()}; trust the ratios, not the figures")
    lines: list[Line] = []
    with (
        tempfile.TemporaryDirectory(prefix="dateline-bench-", ignore_cleanup_errors=True) as folder,
        databases.databases(kinds) as found,
    ):
        run = Run(Path(folder), found, quick)
        for name in names:
            for kind in kinds:
                started = time.monotonic()
                lines += _row(run, name, kind)
                _say(f"{name} on {kind}: {time.monotonic() - started:.0f} s")
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
