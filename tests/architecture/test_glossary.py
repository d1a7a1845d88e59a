"""docs/architecture.md is true: its words have modules and tables, its floor plan has every module."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from service.store.schema import articles, deliveries, feeds, operations, partners, sources
from service.store.schema.base import metadata
from tests.architecture.sources import PRODUCT, ROOT, modules, name_of, tree

PAGE = ROOT / "docs" / "architecture.md"
TABLES = {*metadata.tables}
PARTS = (
    articles,
    deliveries,
    feeds,
    operations,
    partners,
    sources,
)  # each adds its tables when it is imported


class GlossaryRow(NamedTuple):
    """A row of the glossary."""

    words: list[str]
    module: Path
    tables: list[str]
    writers: set[str]


def glossary() -> list[GlossaryRow]:
    section = PAGE.read_text(encoding="utf-8").partition("## Glossary")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| **")]
    return [
        GlossaryRow(
            re.findall(r"\*\*([^*]+)\*\*", words), place(*code(module)), code(tables), set(code(writers))
        )
        for words, _, module, tables, writers in rows
    ]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def place(path: str) -> Path:
    return ROOT / path if path.startswith("workers/") else ROOT / "service" / path


def floor_plan() -> Iterator[Path]:
    """The modules that the plan names, in its order."""
    block = PAGE.read_text(encoding="utf-8").partition("## The floor plan")[2].split("```")[1]
    folders: list[str] = []
    for line in block.strip().splitlines():
        indent, folder, names = re.fullmatch(r"( *)(?:([a-z_]+)/)? *([^#]*?) *(?:#.*)?", line).groups()  # type: ignore[union-attr]
        if folder:
            folders = [*folders[: len(indent) // 2], folder]
        yield from (ROOT.joinpath(*folders, f"{name}.py") for name in names.split())


def existing(paths: set[str]) -> set[str]:
    return {path for path in paths if (ROOT / path).is_file()}


def test_every_word_has_its_module() -> None:
    words = glossary()
    assert len(words) >= 25
    named = {name_of(each.module) for each in words}
    named |= {name_of(place(path)) for each in words for path in each.writers}
    assert named - existing(named) == set()


def test_every_table_has_its_word_and_every_word_its_table() -> None:
    named = [table for each in glossary() for table in each.tables]
    assert sorted(named) == sorted(TABLES)


def test_no_word_stands_twice() -> None:
    words = [word for each in glossary() for word in each.words]
    assert sorted(set(words)) == sorted(words)


def test_the_modules_that_the_glossary_names_and_no_other_write_a_table() -> None:
    assert writers() == {table: each.writers for each in glossary() for table in each.tables}


def writers() -> dict[str, set[str]]:
    """Table → the modules that have a statement which writes it. Migrations move rows from one schema to the next."""
    found = defaultdict(set)
    for path in modules("service", "workers"):
        if "migrations" not in path.parts:
            for table in written(tree(path)):
                found[table].add(name_of(path).removeprefix("service/"))
    return found


WRITES = re.compile(
    r"\b(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO)\s+(\w+)", re.IGNORECASE
)


def written(module: ast.Module) -> Iterator[str]:
    """The tables that a module writes: as text, by SQLAlchemy's Core, or by what `database/sql.py` offers."""
    nodes = list(ast.walk(module))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and "schema" in (node.module or "")]
    names = {alias.asname or alias.name: alias.name for node in imports for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from TABLES & set(WRITES.findall(node.value))
        elif isinstance(node, ast.Call):
            yield from TABLES & {names.get(table, "") for table in arguments_of_a_write(node)}


def arguments_of_a_write(call: ast.Call) -> set[str]:
    """The names that a call may write to, as `update(table)`, `sql.insert(table, …)` or `table.delete()`."""
    verb = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if verb not in {"insert", "update", "delete", "Rows"}:
        return set()
    places = [*call.args[:1], *([call.func.value] if isinstance(call.func, ast.Attribute) else [])]
    return {each.id for each in places if isinstance(each, ast.Name)}


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
    assert set(written(ast.parse(code))) == {"delivery"}


@pytest.mark.parametrize(
    "code",
    [
        "SQL = 'UPDATE delivery_note SET x = 1'",
        IMPORT + "select(delivery)",
        IMPORT + "values.update(article)",
    ],
)
def test_a_read_is_not_taken_for_a_write(code: str) -> None:
    assert set(written(ast.parse(code))) == set()


def test_floor_plan_names_every_module_and_no_other() -> None:
    planned = {name_of(path) for path in floor_plan()}
    there = {
        name_of(path)
        for path in modules(*PRODUCT)
        if path.stem != "__init__" and "versions" not in path.parts
    }
    assert planned - there == set(), "the plan names modules that do not exist"
    assert there - planned == set(), "the plan has no place for these modules"


@pytest.mark.parametrize("path", sorted({path.parent for path in modules(*PRODUCT)}), ids=name_of)
def test_every_folder_is_a_package(path: Path) -> None:
    assert (path / "__init__.py").is_file()
