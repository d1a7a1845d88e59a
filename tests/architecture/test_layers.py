"""The layout keeps its word: imports run one way, SQL stays in the store, feedgen in one module."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("service", "workers", "feeds")
SQL = {"sqlalchemy", "alembic", "sqlite3", "psycopg"}


def modules() -> list[Path]:
    return sorted(path for package in CODE for path in (ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    """The full names of all that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers_of(*names: str) -> list[str]:
    return [
        str(path.relative_to(ROOT))
        for path in modules()
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


def test_only_one_module_knows_feedgen() -> None:
    assert len(importers_of("feedgen")) == 1


def test_feeds_do_no_io_and_have_no_clock() -> None:
    found = {
        (path.name, name)
        for path in (ROOT / "feeds").rglob("*.py")
        for name in imports_of(path)
        if name.split(".")[0]
        in {"requests", "socket", "sqlite3", "time", "os", "subprocess", "urllib3", "random"}
    }
    assert found == set()


def test_workers_never_load_flask() -> None:
    code = "import sys, workers.process; print(sorted({'flask', 'werkzeug', 'granian'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_not_a_drawer_for_odds_and_ends(path: Path) -> None:
    assert path.stem not in {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
    # The schema and what made it are lists, not logic.
    most = 500 if path.stem == "schema" or "versions" in path.parts else 350
    assert path.read_text(encoding="utf-8").count("\n") <= most, f"{path.name} is asking to be two modules"
