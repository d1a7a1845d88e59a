"""The desks of these tests: one on each database, started once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import postgres
from tests.desk import RunningDesk
from tests.outlet import Outlet


@pytest.fixture(scope="session")
def outlet() -> Iterator[Outlet]:
    with Outlet() as running:
        yield running


@pytest.fixture(scope="session")
def sqlite_desk(tmp_path_factory: pytest.TempPathFactory, outlet: Outlet) -> Iterator[RunningDesk]:
    with RunningDesk(tmp_path_factory.mktemp("on-sqlite"), feeds_listen="127.0.0.1:0") as running:
        running.furnish(outlet, "/sqlite")
        yield running


@pytest.fixture(scope="session")
def postgresql_desk(
    tmp_path_factory: pytest.TempPathFactory, outlet: Outlet, postgres_server: Any
) -> Iterator[RunningDesk]:
    folder = tmp_path_factory.mktemp("on-postgresql")
    settings = {"feeds_listen": "127.0.0.1:0"}
    with (
        postgres.database(postgres_server, "e2e") as url,
        RunningDesk(folder, database_url=url, **settings) as running,
    ):
        running.furnish(outlet, "/postgresql")
        yield running


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest) -> RunningDesk:
    """A running desk on each database in turn: a section world, a source wire, a partner with one endpoint."""
    running: RunningDesk = request.getfixturevalue(f"{request.param}_desk")
    return running
