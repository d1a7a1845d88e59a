from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.store.database.record import Record, open_record
from tests import postgres
from tests.web import SECRET_KEY, CutOff, WebDesk, a_web_desk


@pytest.fixture
def desk(record: Record) -> WebDesk:
    """A desk of its own for the test, on each database in turn."""
    return a_web_desk(record)


@pytest.fixture
def sqlite_desk(sqlite_record: Record) -> WebDesk:
    """Where the database does not matter."""
    return a_web_desk(sqlite_record)


@pytest.fixture(scope="module")
def shared_sqlite_desk(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDesk]:
    """One desk for all tests of a module."""
    path = tmp_path_factory.mktemp("shared") / "dateline.db"
    shutil.copy(sqlite_template, path)
    record = open_record(f"sqlite:///{path}", SECRET_KEY)
    yield a_web_desk(record)
    record.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_desk(request: pytest.FixtureRequest) -> Iterator[WebDesk]:
    """One desk for all tests of a module, on each database in turn."""
    if request.param == "sqlite":
        yield request.getfixturevalue("shared_sqlite_desk")
        return
    handle, template = (request.getfixturevalue(n) for n in ("postgres_server", "postgres_template"))
    postgres.admin(handle, f"CREATE DATABASE shared_desk TEMPLATE {template} STRATEGY file_copy")
    record = open_record(postgres.database_url(handle, "shared_desk"), SECRET_KEY)
    yield a_web_desk(record)
    record.close()
    postgres.admin(handle, "DROP DATABASE shared_desk WITH (FORCE)")


@pytest.fixture
def cut_off(postgres_server: Any, postgres_template: str) -> Iterator[CutOff]:
    """A desk on PostgreSQL whose database can be taken away."""
    gone = "DROP DATABASE IF EXISTS cut_off WITH (FORCE)"
    postgres.admin(
        postgres_server, f"CREATE DATABASE cut_off TEMPLATE {postgres_template} STRATEGY file_copy"
    )
    record = open_record(postgres.database_url(postgres_server, "cut_off"), SECRET_KEY)
    yield CutOff(a_web_desk(record), lambda: postgres.admin(postgres_server, gone))
    record.close()
    postgres.admin(postgres_server, gone)
