"""The measurements as lines of a table: ours beside the bare building block of the same run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

_HEADINGS = ("row", "database", "what", "ours", "bare", "ours:bare", "target", "")
_LEFT = frozenset({0, 1, 2, 6, 7})  # columns of words


@dataclass(frozen=True)
class Target:
    """A target: its words for the table, and whether (median of ours, ours:bare) reaches it."""

    words: str
    reached: Callable[[float, float | None], bool]


@dataclass
class Line:
    """One measure of one row on one database: a sample of ours and one of the bare block for each round, by turns."""

    row: str
    database: str
    what: str
    unit: str
    target: Target | None = None
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    void: str = ""
    notes: list[str] = field(default_factory=list)  # shown below the table

    @property
    def median(self) -> float:
        return statistics.median(self.ours)

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios: a disturbance of the machine hits both halves of a round."""
        pairs = [ours / bare for ours, bare in zip(self.ours, self.bare, strict=False) if bare]
        return statistics.median(pairs) if pairs else None

    @property
    def verdict(self) -> str:
        if self.void:
            return f"void: {self.void}"
        if not self.target:
            return ""
        return "reached" if self.target.reached(self.median, self.ratio) else "missed"

    def facts(self) -> dict[str, Any]:
        facts = asdict(self)
        facts["target"] = self.target.words if self.target else None
        if self.void:
            return facts | {"median": None, "ratio": None, "verdict": self.verdict}
        return facts | {"median": self.median, "ratio": self.ratio, "verdict": self.verdict}


def at_least(value: float) -> Target:
    return Target(f"≥ {value:,g}", lambda ours, _: ours >= value)


def at_most(value: float) -> Target:
    return Target(f"≤ {value:,g}", lambda ours, _: ours <= value)


def at_most_times(value: float) -> Target:
    return Target(f"≤ {value:g} × bare", lambda _, ratio: ratio is not None and ratio <= value)


def at_least_times(value: float) -> Target:
    return Target(f"≥ {value:.2g} × bare", lambda _, ratio: ratio is not None and ratio >= value)


def rendered(lines: Sequence[Line]) -> str:
    """The table as text. A void line shows no figures: they would describe something that did not happen."""
    table = aligned([_HEADINGS, *(_cells(line) for line in lines)], _LEFT)
    notes = [f"{line.row} on {line.database}: {note}" for line in lines for note in line.notes]
    return "\n".join([table, *notes])


def aligned(rows: Sequence[Sequence[str]], left: frozenset[int]) -> str:
    """Rows of cells as text in columns; those of `left` stand at the left, figures at the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def figure(value: float) -> str:
    """A figure as the tables show it: three digits of it count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cells(line: Line) -> tuple[str, ...]:
    target = line.target.words if line.target else ""
    what = f"{line.what}, {line.unit}" if line.unit else line.what
    if line.void or not line.ours:
        return (line.row, line.database, what, "", "", "", target, line.verdict or "not measured")
    bare = figure(statistics.median(line.bare)) if line.bare else ""
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    return (line.row, line.database, what, figure(line.median), bare, ratio, target, line.verdict)
