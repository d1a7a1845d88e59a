from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import settings

from service.store import migrations
from service.store.database.record import Record, open_record
from tests import memory, postgres

KEY = Fernet.generate_key().decode()

# A shared machine is slow at times: a slow example is no fault.
settings.register_profile("dateline", deadline=None)
settings.load_profile("dateline")


def pytest_configure() -> None:
    """Points pytest's temporary folders to memory, if there is room; --basetemp overrides it."""
    if (place := memory.place()) is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(place))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives all tests that share a module's fixture to one process: else each process makes it anew."""
    for item in items:
        if isinstance(item, pytest.Function) and not item.get_closest_marker("xdist_group"):
            found = item._fixtureinfo.name2fixturedefs
            shared = sorted(name for name, each in found.items() if each[-1].scope == "module")
            if shared:
                item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {_shared_values(item, shared)}"))


def _shared_values(item: pytest.Function, names: list[str]) -> str:
    """The values with which the shared fixtures are made, such as the database."""
    values = item.callspec.params if hasattr(item, "callspec") else {}
    return " ".join(str(values[name]) for name in names if name in values)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    with postgres.server() as handle:
        yield handle


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "dateline.db"
    record = open_record(f"sqlite:///{path}", KEY)
    migrations.migrate(record)
    with record.writing() as connection:
        connection.exec_driver_sql("SELECT 1")
    record.close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Any) -> str:
    postgres.admin(postgres_server, "CREATE DATABASE template_dateline")
    record = open_record(postgres.database_url(postgres_server, "template_dateline"), KEY)
    migrations.migrate(record)
    record.close()
    return "template_dateline"


@pytest.fixture
def sqlite_record(sqlite_template: Path, tmp_path: Path) -> Iterator[Record]:
    shutil.copy(sqlite_template, tmp_path / "dateline.db")
    record = open_record(f"sqlite:///{tmp_path / 'dateline.db'}", KEY)
    yield record
    record.close()


@pytest.fixture(scope="module")
def standing_record(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    """A record that the tests of a module share: for tests that only read, or do not disturb each other."""
    path = tmp_path_factory.mktemp("standing") / "dateline.db"
    shutil.copy(sqlite_template, path)
    record = open_record(f"sqlite:///{path}", KEY)
    yield record
    record.close()


@pytest.fixture
def postgres_record(postgres_server: Any, postgres_template: str) -> Iterator[Record]:
    create = f"CREATE DATABASE one_test TEMPLATE {postgres_template} STRATEGY file_copy"
    postgres.admin(postgres_server, create)
    record = open_record(postgres.database_url(postgres_server, "one_test"), KEY)
    yield record
    record.close()
    postgres.admin(postgres_server, "DROP DATABASE one_test WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def record(request: pytest.FixtureRequest) -> Record:
    """An empty record at the newest schema, on each database in turn."""
    name = {"sqlite": "sqlite_record", "postgresql": "postgres_record"}[request.param]
    record: Record = request.getfixturevalue(name)
    return record
