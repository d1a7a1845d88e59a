"""Every row that the benchmarks measure is documented, and every documented row can be run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.table import Line, at_least, at_most_times, rendered

ROOT = Path(__file__).parents[2]


def listed() -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-m", "bench", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ran.stdout.split()


def test_every_documented_row_can_be_run_and_every_row_is_documented() -> None:
    text = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \*\*([a-z]+)\*\* \|", text, re.MULTILINE) == listed()


def test_line_that_does_not_balance_shows_no_figure() -> None:
    line = Line("fanout", "sqlite", "deliveries", "1/s", at_least(10), ours=[1234.0], bare=[2468.0])
    assert "1,234" in rendered([line])
    line.void = "20 were owed, 19 delivered"
    assert "1,234" not in rendered([line])
    assert "void: 20 were owed, 19 delivered" in rendered([line])


@pytest.mark.parametrize(
    ("ours", "verdict"), [([12.0, 10.0, 90.0], "reached"), ([30.0, 31.0, 2.0], "missed")]
)
def test_ratio_is_the_median_of_the_rounds(ours: list[float], verdict: str) -> None:
    line = Line("fanout", "sqlite", "CPU", "µs", at_most_times(6), ours=ours, bare=[3.0, 2.0, 1.0])
    assert line.verdict == verdict
