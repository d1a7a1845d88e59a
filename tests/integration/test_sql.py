"""Hand-written SQL means the same on both databases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

import pytest

from service.store.database import locks
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.schema.base import to_micros
from tests.builders import NOW


class Row(NamedTuple):
    number: int
    moment: datetime
    truth: bool
    text: str
    never: datetime | None
    unknown: bool | None


@dataclass(frozen=True)
class Name:
    name: str


ROWS = Query(
    Row, "SELECT 7, CAST(:moment AS bigint), :number = 7, CAST(:text AS text), NULL, CAST(NULL AS boolean)"
)
NAMES = Query(
    Name, 'SELECT slug FROM section WHERE slug IN :slugs[text] ORDER BY slug COLLATE "C" LIMIT :limit'
)
ADD = Statement("INSERT INTO section (slug, title, created_at) VALUES (:slug, :slug, :now)")


def test_a_row_has_the_types_of_its_fields(record: Record) -> None:
    with record.reading() as connection:
        [row] = ROWS.all(connection, moment=NOW, number=7, text="café :now %s %")
    assert row == Row(7, NOW, True, "café :now %s %", None, None)
    assert row.moment.tzinfo is UTC
    assert row.truth is True


def test_a_moment_of_any_zone_is_stored_as_the_same_moment(record: Record) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    with record.reading() as connection:
        assert Statement("SELECT CAST(:moment AS bigint)").value(connection, moment=elsewhere) == to_micros(
            NOW
        )


@pytest.fixture
def named(record: Record) -> Record:
    with record.writing() as connection:
        ADD.run_all(
            connection, [{"slug": slug, "now": NOW} for slug in ("b", "a-b", "ab", "B", "é", "%", "a'b")]
        )
    return record


def test_texts_are_ordered_byte_by_byte(named: Record) -> None:
    slugs = ["b", "a-b", "ab", "B", "é"]
    with named.reading() as connection:
        names = [each.name for each in NAMES.all(connection, slugs=slugs, limit=9)]
    assert names == ["B", "a-b", "ab", "b", "é"]


def test_a_list_of_texts_may_have_any_characters_or_be_empty(named: Record) -> None:
    with named.reading() as connection:
        assert NAMES.all(connection, slugs=["a'b", "%", 'none"', "\\", "{}", "NULL"], limit=9) == [
            Name("%"),
            Name("a'b"),
        ]
        assert NAMES.all(connection, slugs=[], limit=9) == []


def test_one_row_is_found_or_none(named: Record) -> None:
    with named.reading() as connection:
        assert NAMES.one(connection, slugs=["ab"], limit=9) == Name("ab")
        assert NAMES.one(connection, slugs=["none"], limit=9) is None
        assert NAMES.value(connection, slugs=["none"], limit=9) is None


def test_rows_come_one_by_one_to_a_caller_that_stops_early(named: Record) -> None:
    with named.reading() as connection:
        rows = NAMES.each(connection, slugs=["a-b", "ab", "b"], limit=9)
        assert next(rows) == ("a-b",)
        assert NAMES.value(connection, slugs=["b"], limit=1) == "b"
        assert list(rows) == [("ab",), ("b",)]


def test_locks_that_only_one_database_needs_may_be_asked_for_on_both(record: Record) -> None:
    with record.writing() as connection:
        locks.lock_schema(connection)
        locks.lock_documents(connection)
        locks.share_articles(connection, {3, 1})
        locks.lock_endpoints(connection, [])
