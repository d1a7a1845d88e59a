"""The layout holds: imports run one way, SQL stays in the store, and every folder and module is readable."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import PRODUCT, ROOT, modules, name_of, tree

SQL = {"sqlalchemy", "alembic", "sqlite3", "psycopg"}
# With more modules directly in it, a folder's `ls` explains nothing any more.
FLAT = {"service": 10, "service/store": 10, "workers": 11}
# The number that CONTRIBUTING.md says. A migration is exempt: once landed it is never changed.
LONGEST = 300
ODDS_AND_ENDS = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
# Hand-written SQL belongs to `database/sql.py`; the schema and its migrations write indexes and defaults so.
TEXT = ("service/store/database/", "service/store/schema/", "service/store/migrations/")


def imports_of(path: Path) -> Iterator[str]:
    """The full names of all that a file imports."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers_of(*names: str) -> list[str]:
    return [
        name_of(path)
        for path in modules(*PRODUCT)
        if any(name.split(".")[0] in names for name in imports_of(path))
    ]


def test_import_contracts_are_kept() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([str(lint), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_contract_of_every_package_is_exhaustive() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    exhaustive = {
        package
        for section in contracts.sections()
        if contracts[section].get("exhaustive") == "True"
        for package in contracts[section]["containers"].split()
    }
    assert exhaustive == {"service", "service.store", "workers", "feeds"}


def test_only_the_store_speaks_sql() -> None:
    elsewhere = [name for name in importers_of(*SQL) if not name.startswith("service/store/")]
    assert elsewhere == []


def test_hand_written_sql_goes_through_one_module() -> None:
    """`database/sql.py` alone knows how the databases differ and what types their rows have."""
    writers = {
        name_of(path)
        for path in modules(*PRODUCT)
        if {"sqlalchemy.text", "sqlalchemy.sql.text"} & {*imports_of(path)}
    }
    assert {name for name in writers if not name.startswith(TEXT)} == set()


def test_only_one_module_knows_feedgen() -> None:
    assert len(importers_of("feedgen")) == 1


def test_feeds_do_no_io_and_have_no_clock() -> None:
    found = {
        (path.name, name)
        for path in modules("feeds")
        for name in imports_of(path)
        if name.split(".")[0]
        in {"requests", "socket", "sqlite3", "time", "os", "subprocess", "urllib3", "random"}
    }
    assert found == set()


def test_workers_never_load_flask() -> None:
    code = "import sys, workers.process; print(sorted({'flask', 'werkzeug', 'httptools'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(("folder", "most"), FLAT.items())
def test_folder_can_be_read_at_a_glance(folder: str, most: int) -> None:
    flat = sorted(path.name for path in (ROOT / folder).glob("*.py"))
    assert len(flat) <= most, f"{', '.join(flat)}: some of them belong together, in a folder"


@pytest.mark.parametrize("path", modules(*PRODUCT, "bench"), ids=name_of)
def test_module_is_about_one_thing(path: Path) -> None:
    assert path.stem not in ODDS_AND_ENDS
    if "versions" in path.parts:
        return
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{path.name} is asking to be two modules"


def test_contributors_are_told_the_same_number() -> None:
    assert f"modules of at most {LONGEST} lines" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
