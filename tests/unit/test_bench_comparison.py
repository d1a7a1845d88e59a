"""A comparison's table: the order of the turns, the samples of both sides, and what makes a line void."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from bench.backlog import Arrivals
from bench.comparison import ComparedLine, merge, rendered, turns
from bench.costs import CostLines, CostReading
from bench.sink import Sink


def line(ours: list[float], *, what: str = "deliveries settled", **more: Any) -> dict[str, Any]:
    facts = {"row": "fanout", "database": "sqlite", "what": what, "unit": "1/s"}
    return {**facts, "ours": ours, "bare": [9.0], "void": "", **more}


def test_turns_go_before_after_after_before_so_that_a_drift_hits_both_alike() -> None:
    assert [side for _, side in turns(3)] == ["before", "after", "after", "before", "before", "after"]
    assert [number for number, _ in turns(3)] == [0, 0, 1, 1, 2, 2]


def test_ratio_is_that_of_the_medians_and_the_spread_is_shown() -> None:
    (merged,) = merge(
        [
            ("before", [line([100.0])]),
            ("after", [line([150.0])]),
            ("after", [line([140.0])]),
            ("before", [line([120.0])]),
            ("before", [line([999.0])]),
            ("after", [line([160.0])]),
        ]
    )
    assert (merged.before, merged.after) == ([100.0, 120.0, 999.0], [150.0, 140.0, 160.0])
    assert merged.ratio == 150 / 120
    assert "120  100–999    150  140–160          1.25  9.00  within the spread" in rendered([merged])


def test_sides_are_apart_when_no_sample_of_one_lies_among_those_of_the_other() -> None:
    def verdict(before: list[float], after: list[float]) -> str:
        return ComparedLine("fanout", "sqlite", "CPU", "µs", before, after).verdict

    assert verdict([1.0, 2.0, 3.0], [3.1, 4.0, 5.0]) == "apart"
    assert verdict([3.1, 4.0, 5.0], [1.0, 2.0, 3.0]) == "apart"
    assert verdict([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]) == "within the spread"
    assert verdict([1.0, 2.0], [8.0, 9.0]) == "too few rounds to tell"


def test_bare_is_todays_because_an_older_bench_may_have_another() -> None:
    (merged,) = merge([("before", [line([1.0], bare=[500.0])]), ("after", [line([2.0], bare=[7.0])])])
    assert merged.bare == [7.0]


def test_line_that_was_void_in_one_turn_shows_no_figure() -> None:
    (merged,) = merge(
        [("before", [line([1234.0], void="20 were owed, 19 delivered")]), ("after", [line([1.0])])]
    )
    assert "1,234" not in rendered([merged])
    assert "void: before: 20 were owed, 19 delivered" in rendered([merged])
    assert merged.facts()["ratio"] is None


def test_measure_that_only_one_side_has_stands_there_without_a_ratio() -> None:
    (merged,) = merge([("after", [line([5.0], what="index entries read, each")])])
    assert merged.ratio is None
    assert merged.verdict == "not measured before"


def test_nothing_is_divided_by_a_median_of_zero() -> None:
    assert ComparedLine("history", "sqlite", "full scans", "", [0.0], [0.0]).ratio is None


def test_costs_of_a_round_are_told_apart_and_for_each_delivery() -> None:
    costs = CostLines("fanout", "postgresql")
    before = CostReading(ours=1.0, database=2.0, redis=0.5, wal=1_000, disk=8_192)
    after = CostReading(ours=1.3, database=2.2, redis=0.6, wal=4_000, disk=16_384)
    costs.note(before, after, delivered=1_000)
    costs.note_built(before, replace(after, ours=1.4), delivered=1_000)
    figures = {name: round(line.ours[0], 3) for name, line in costs.lines.items()}
    apart = {"ours": 300, "database": 200, "redis": 100}
    assert figures == {**apart, "built": 400, "whole": 600, "wal": 3, "disk": 8.192}


def test_costs_on_sqlite_have_no_server_and_a_wal_that_began_empty() -> None:
    costs = CostLines("single", "sqlite")
    before = CostReading(ours=1.0, database=None, redis=0.0, wal=0, disk=4_096)
    costs.note(
        before, CostReading(ours=2.0, database=None, redis=0.0, wal=9_000, disk=8_096), delivered=1_000
    )
    figures = {name: line.ours[0] for name, line in costs.lines.items() if line.ours}
    assert figures == {"ours": 1000, "redis": 0, "whole": 1000, "wal": 9, "disk": 4}


def test_costs_of_the_processor_are_left_out_where_they_cannot_be_read() -> None:
    costs = CostLines("fanout", "postgresql")
    nothing = CostReading(ours=None, database=None, redis=None, wal=0, disk=0)
    costs.note(nothing, nothing, delivered=10)
    assert [line.what for line in costs.lines.values() if line.ours] == [
        "WAL written, each",
        "tables and indexes of deliveries, each",
    ]


def test_arrivals_at_the_partner_that_is_back_are_told_from_those_at_healthy_ones() -> None:
    event = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    arrivals = Arrivals(cast(Sink, None), {f"dlv_{event}_1": 5.0, f"dlv_{event}_2": 6.0, "bare_0_0": 7.0})
    assert arrivals.of_the_one_back() == {f"evt_{event}": 5.0}
    assert arrivals.healthy() == [(6.0, f"dlv_{event}_2", 200)]
