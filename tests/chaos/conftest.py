"""The desks that the fault tests disturb: one on each database, with more workers than usual, since some are killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests import postgres
from tests.chaos.siege import besieged
from tests.desk import RunningDesk
from tests.outlet import Outlet

LONG = os.environ.get("CHAOS") == "long"
WORKERS = 3
# Connections that want nothing, while a ledger is kept.
CLIENTS = (
    {"idle": 2_000, "half_sent": 500, "dripping": 200}
    if LONG
    else {"idle": 300, "half_sent": 100, "dripping": 50}
)
IN_FLIGHT = 12  # the most pushes on the wire to one endpoint at once


@pytest.fixture(scope="session")
def outlet() -> Iterator[Outlet]:
    # It is slow enough that pushes are on the wire when their worker is killed.
    with Outlet(seconds=0.05) as running:
        # A push that is cut off here is lost unless it is sent again; at the other paths that is a repeat.
        running.careful |= {"/sqlite-3": 0.2, "/postgresql-3": 0.2}
        yield running


@pytest.fixture(scope="session")
def sqlite_desk(tmp_path_factory: pytest.TempPathFactory, outlet: Outlet) -> Iterator[RunningDesk]:
    with RunningDesk(tmp_path_factory.mktemp("faults-sqlite"), workers=str(WORKERS)) as running:
        running.furnish(outlet, "/sqlite-1", "/sqlite-2", "/sqlite-3", max_in_flight=IN_FLIGHT)
        yield running


@pytest.fixture(scope="session")
def postgresql_desk(
    tmp_path_factory: pytest.TempPathFactory, outlet: Outlet, postgres_server: Any
) -> Iterator[RunningDesk]:
    folder = tmp_path_factory.mktemp("faults-postgresql")
    with (
        postgres.database(postgres_server, "faults") as url,
        RunningDesk(folder, workers=str(WORKERS), database_url=url) as running,
    ):
        running.furnish(outlet, "/postgresql-1", "/postgresql-2", "/postgresql-3", max_in_flight=IN_FLIGHT)
        yield running


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest) -> RunningDesk:
    """A running desk with three endpoints, on each database in turn."""
    running: RunningDesk = request.getfixturevalue(f"{request.param}_desk")
    return running


@pytest.fixture(params=["sqlite", "postgresql"] if LONG else ["sqlite"])
def any_desk(request: pytest.FixtureRequest) -> RunningDesk:
    """A running desk for faults that do not concern the database: in the short form on SQLite alone."""
    running: RunningDesk = request.getfixturevalue(f"{request.param}_desk")
    return running


@pytest.fixture
def siege(desk: RunningDesk) -> Iterator[None]:
    """Clients that want nothing, all through the test, and bodies of no story; the probe and a feed are answered."""
    with besieged(desk, **CLIENTS):
        yield
