"""The faults that `make mutants` makes in queries: each changes what the query does, in the place it names."""

from __future__ import annotations

import pytest

from mutants import sql

QUERY = (
    "SELECT x.id FROM delivery x WHERE x.state IN ('pending', 'waiting') AND x.due_at <= :now"
    " AND (x.tries = 0 OR CASE WHEN x.ordered THEN x.low ELSE x.high END)"
    " ORDER BY x.due_at, x.id DESC LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED"
)


def made(name: str, query: str = QUERY) -> list[str]:
    return [edit.applied(query) for edit in sql.EDITS[name](query)]


@pytest.mark.parametrize(
    ("name", "taken", "put"),
    [
        ("drop_order", ["ORDER BY x.due_at, x.id DESC"], [""]),
        ("drop_order_key", ["x.due_at, x.id DESC"] * 2, ["x.id DESC", "x.due_at"]),
        ("turn_order", ["x.due_at,", "x.id DESC"], ["x.due_at DESC,", "x.id ASC"]),
        ("never_an_arm", ["WHEN x.ordered"], ["WHEN 1 = 0"]),
        ("turn_comparison", ["<= :now", "x.tries = 0"], ["< :now", "x.tries <> 0"]),
        ("drop_member", ["'pending', 'waiting'"] * 2, ["'waiting'", "'pending'"]),
        ("drop_limit", ["LIMIT :limit"], ["LIMIT 1000000 + :limit"]),
        ("drop_lock", [" FOR NO KEY UPDATE SKIP LOCKED"] * 2, ["", " FOR NO KEY UPDATE"]),
        ("turn_number", ["x.tries = 0"], ["x.tries = 1"]),
        ("turn_not", ["x.state IN"], ["x.state NOT IN"]),
    ],
)
def test_fault_is_made_in_its_place_and_nowhere_else(name: str, taken: list[str], put: list[str]) -> None:
    assert made(name) == [QUERY.replace(old, new) for old, new in zip(taken, put, strict=True)]


def test_each_condition_of_a_query_is_left_out_once() -> None:
    assert made("drop_condition") == [
        QUERY.replace("x.state IN ('pending', 'waiting')", "1 = 1"),
        QUERY.replace("x.due_at <= :now", "1 = 1"),
        QUERY.replace("(x.tries = 0 OR CASE WHEN x.ordered THEN x.low ELSE x.high END)", "1 = 1"),
        QUERY.replace("x.tries = 0", "1 = 0"),
        QUERY.replace("CASE WHEN x.ordered THEN x.low ELSE x.high END", "1 = 0"),
        QUERY.replace("WHEN x.ordered", "WHEN 1 = 1"),
    ]


def test_parts_that_are_put_together_later_are_whole_words() -> None:
    part = "WHERE d.id IN ({PICK.format('x.id')} :most) AND {MAY_GO} AND x."
    assert made("drop_condition", part) == [
        "WHERE 1 = 1 AND {MAY_GO} AND x.",
        part.replace("{MAY_GO}", "1 = 1"),
        "WHERE d.id IN ({PICK.format('x.id')} :most) AND {MAY_GO} AND 1 = 1",
    ]


def test_assignments_of_an_update_are_no_comparisons() -> None:
    update = "UPDATE delivery SET state = 'sending', tries = tries + 1 WHERE id = :id"
    assert made("turn_comparison", update) == [update.replace("id = :id", "id <> :id")]


def test_null_that_is_a_value_is_not_negated() -> None:
    assert made("turn_not", "SELECT NULL FROM e WHERE e.a IS NULL AND NOT EXISTS (SELECT 1)") == [
        "SELECT NULL FROM e WHERE e.a IS NOT NULL AND NOT EXISTS (SELECT 1)",
        "SELECT NULL FROM e WHERE e.a IS NULL AND EXISTS (SELECT 1)",
    ]


@pytest.mark.parametrize(
    "text", ["", "the partner's name was not found", "postgresql", "Select a feed", "evt_"]
)
def test_plain_texts_are_no_queries(text: str) -> None:
    assert not sql.is_sql(text)


@pytest.mark.parametrize(
    "text", [QUERY, "x.id IN :ids[]", "state IN ('pending', 'waiting')", " LIMIT :limit"]
)
def test_queries_and_their_parts_are_known_as_such(text: str) -> None:
    assert sql.is_sql(text)
