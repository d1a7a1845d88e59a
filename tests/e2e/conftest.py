"""The desks of these tests: one on each database, started once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import postgres
from tests.desk import Desk
from tests.outlet import Outlet


@pytest.fixture(scope="session")
def outlet() -> Iterator[Outlet]:
    with Outlet() as running:
        yield running


@pytest.fixture(scope="session")
def sqlite_desk(tmp_path_factory: pytest.TempPathFactory, outlet: Outlet) -> Iterator[Desk]:
    with Desk(tmp_path_factory.mktemp("on-sqlite"), feeds_listen="127.0.0.1:0") as running:
        running.furnish(outlet, "/sqlite")
        yield running


@pytest.fixture(scope="session")
def postgresql_desk(
    tmp_path_factory: pytest.TempPathFactory, outlet: Outlet, postgres_server: Any
) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("on-postgresql")
    settings = {"feeds_listen": "127.0.0.1:0"}
    with (
        postgres.database(postgres_server, "e2e") as url,
        Desk(folder, database_url=url, **settings) as running,
    ):
        running.furnish(outlet, "/postgresql")
        yield running


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest) -> Desk:
    """A running desk on each database in turn: a section world, a source wire, a partner with one endpoint."""
    running: Desk = request.getfixturevalue(f"{request.param}_desk")
    return running
