"""Before and after: the turns of a comparison in their order, and their samples as lines of one table."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bench.table import aligned, figure

Side = Literal["before", "after"]
ROUNDS_THAT_TELL = 3  # of two, one in three comparisons of like with like would stand apart by chance
_HEADINGS = ("row", "database", "what", "before", "from–to", "after", "from–to", "after:before", "bare", "")
_LEFT = frozenset({0, 1, 2, 9})  # columns of words


@dataclass
class ComparedLine:
    """One measure of both trees: a sample of each for every round, and the bare building block's."""

    row: str
    database: str
    what: str
    unit: str
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    void: str = ""

    @property
    def ratio(self) -> float | None:
        """The median after by the median before; None if there is none to divide by."""
        if not self.before or not self.after or not (median := statistics.median(self.before)):
            return None
        return statistics.median(self.after) / median

    @property
    def apart(self) -> bool:
        """Whether every sample of one side lies beyond every sample of the other."""
        return max(self.before) < min(self.after) or max(self.after) < min(self.before)

    @property
    def verdict(self) -> str:
        if self.void:
            return f"void: {self.void}"
        if not self.before or not self.after:
            return "not measured before" if self.after else "not measured after"
        if min(len(self.before), len(self.after)) < ROUNDS_THAT_TELL:
            return "too few rounds to tell"
        return "apart" if self.apart else "within the spread"

    def facts(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": None if self.void else self.ratio, "verdict": self.verdict}


def turns(rounds: int) -> Iterator[tuple[int, Side]]:
    """(round, side): before, after, after, before, …, so that what changes slowly in the machine hits both alike."""
    for number in range(rounds):
        sides: tuple[Side, Side] = ("before", "after") if number % 2 == 0 else ("after", "before")
        yield from ((number, side) for side in sides)


def merge(measured: Sequence[tuple[Side, Sequence[Mapping[str, Any]]]]) -> list[ComparedLine]:
    """The turns' lines as lines of both sides. A line that was void in one turn is void as a whole.

    Bare is today's, measured in the turns after: an older bench may have another.
    """
    lines: dict[tuple[str, str, str], ComparedLine] = {}
    for side, facts in sorted(measured, key=lambda turn: turn[0]):  # after first: its lines are today's
        for each in facts:
            name = (each["row"], each["database"], each["what"])
            line = lines.setdefault(name, ComparedLine(*name, each["unit"]))
            (line.before if side == "before" else line.after).extend(each["ours"])
            if side == "after":
                line.bare.extend(each["bare"])
            if each["void"] and not line.void:
                line.void = f"{side}: {each['void']}"
    return list(lines.values())


def rendered(lines: Sequence[ComparedLine]) -> str:
    """The table as text. A void line shows no figures."""
    return aligned([_HEADINGS, *(_cells(line) for line in lines)], _LEFT)


def _cells(line: ComparedLine) -> tuple[str, ...]:
    what = f"{line.what}, {line.unit}" if line.unit else line.what
    if line.void:
        return (line.row, line.database, what, "", "", "", "", "", "", line.verdict)
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    bare = figure(statistics.median(line.bare)) if line.bare else ""
    sides = (*_side(line.before), *_side(line.after))
    return (line.row, line.database, what, *sides, ratio, bare, line.verdict)


def _side(samples: Sequence[float]) -> tuple[str, str]:
    """(median, from the least to the most)"""
    if not samples:
        return "–", ""
    return figure(statistics.median(samples)), f"{figure(min(samples))}–{figure(max(samples))}"
