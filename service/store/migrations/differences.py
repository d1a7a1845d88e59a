"""The record's tables beside those that the code expects: columns, indexes and keys, on either database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from sqlalchemy import Index, Table, UniqueConstraint, inspect

from service.store import schema
from service.store.database.record import Record
from service.store.schema.base import metadata

SEARCH_INDEX = "article_search_index"  # SQLite's, which is no table to SQLAlchemy
Found = dict[tuple[str | None, str], Any]


def differences(record: Record) -> list[str]:
    """Each thing that the code expects and the record lacks, in words. More than is expected does no harm."""
    for part in iter_modules(schema.__path__):  # whose tables are known by having been read
        import_module(f"{schema.__name__}.{part.name}")
    with record.reading() as connection:
        found = inspect(connection)
        columns: Any = found.get_multi_columns()
        indexes: Any = found.get_multi_indexes()
        keys: Any = found.get_multi_pk_constraint()
        uniques: Any = found.get_multi_unique_constraints()
    result: list[str] = []
    for table in metadata.sorted_tables:
        place = (None, table.name)
        if place not in columns:
            result.append(f"there is no table {table.name}")
            continue
        result += _columns(table, columns[place])
        expected = [each for each in table.indexes if each.info.get("only", record.dialect) == record.dialect]
        result += _indexes(table, expected, indexes.get(place, []))
        result += _keys(table, keys.get(place) or {}, uniques.get(place, []))
    if record.is_sqlite and (None, SEARCH_INDEX) not in columns:
        result.append(f"there is no table {SEARCH_INDEX}")
    return result


def _columns(table: Table, found: Any) -> Iterator[str]:
    there = {each["name"] for each in found}
    yield from (f"{table.name} has no column {each.name}" for each in table.columns if each.name not in there)


def _indexes(table: Table, expected: Iterable[Index], found: Any) -> Iterator[str]:
    there = {each["name"]: each for each in found}
    for index in sorted(expected, key=lambda each: str(each.name)):
        other = there.get(str(index.name))
        if other is None:
            yield f"{table.name} has no index {index.name}"
        elif bool(other["unique"]) != bool(index.unique) or _differ(
            index.columns.keys(), other["column_names"]
        ):
            yield f"the index {index.name} of {table.name} is another one"


def _differ(expected: list[str], found: list[str | None]) -> bool:
    """Whether the columns are others; those of an expression have no name and are not compared."""
    return None not in found and len(found) == len(expected) and list(found) != list(expected)


def _keys(table: Table, primary: Any, uniques: Any) -> Iterator[str]:
    expected = [each.name for each in table.primary_key]
    there = list(primary.get("constrained_columns", []))
    if there != expected:
        yield f"the key of {table.name} is ({', '.join(there)}) in place of ({', '.join(expected)})"
    found = {frozenset(each["column_names"]) for each in uniques}
    for constraint in table.constraints:
        names = (
            frozenset(each.name for each in constraint.columns)
            if isinstance(constraint, UniqueConstraint)
            else None
        )
        if names and names not in found:
            yield f"{table.name} does not keep ({', '.join(sorted(names))}) unique"
