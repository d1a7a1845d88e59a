"""One home for each rule: a table that has an owner is written by its owner alone, as text or by SQLAlchemy's Core."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DELIVERIES = "service/store/deliveries"
OWNERS = {
    "delivery": {f"{DELIVERIES}/transitions.py", f"{DELIVERIES}/due_times.py"},
    "attempt": {f"{DELIVERIES}/attempts.py"},
    "receipt": {"service/store/ledger.py"},
}
# These build a statement that writes the table they are given, or that has it as the method's owner.
WRITERS = {"insert", "update", "delete", "Rows"}


def modules() -> Iterator[Path]:
    for package in ("service", "workers"):
        for path in (ROOT / package).rglob("*.py"):
            if "versions" not in path.parts:  # migrations move rows from one schema to the next
                yield path


def writes(table: str, tree: ast.AST) -> bool:
    names = _names(table, tree)
    return any(_is_text(table, node) or _is_core(names, node) for node in ast.walk(tree))


def _is_text(table: str, node: ast.AST) -> bool:
    words = rf"\b(INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO)\s+{table}\b"
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(words, node.value, re.IGNORECASE) is not None
    )


def _names(table: str, tree: ast.AST) -> set[str]:
    """The names that a module calls the table by."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("service.store.schema")
        for alias in node.names
        if alias.name == table
    }


def _is_core(names: set[str], node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    tables = [*node.args[:1], *([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
    return called in WRITERS and any(isinstance(each, ast.Name) and each.id in names for each in tables)


@pytest.mark.parametrize("table", OWNERS)
def test_table_is_written_by_its_owner_alone(table: str) -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in modules()
        if writes(table, ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == OWNERS[table]


IMPORT = "from service.store.schema.deliveries import delivery\n"


@pytest.mark.parametrize(
    "code",
    [
        "SQL = '''\n UPDATE  delivery SET state = 1'''",
        "SQL = f'INSERT INTO delivery ({columns})'",
        "SQL = 'insert or ignore into delivery'",
        IMPORT + "update(delivery).values(state='dead')",
        IMPORT + "delivery.insert()",
        IMPORT + "sql.insert(delivery, 'id')",
        IMPORT.strip() + " as table\nRows(table, {})",
    ],
)
def test_every_way_to_write_a_table_is_found(code: str) -> None:
    assert writes("delivery", ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "SQL = 'UPDATE delivery_note SET x = 1'",
        IMPORT + "select(delivery)",
        IMPORT + "values.update(article)",
    ],
)
def test_a_read_is_not_taken_for_a_write(code: str) -> None:
    assert not writes("delivery", ast.parse(code))


@pytest.mark.parametrize("path", sorted((ROOT / DELIVERIES).glob("*.py")), ids=lambda path: path.name)
def test_deliveries_read_rows_as_named_values(path: Path) -> None:
    """`text()` gives rows without types: `Query` and `Statement` take its place."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    assert not [each for each in calls if isinstance(each.func, ast.Name) and each.func.id == "text"]
