"""The database cut off and crashed: what got its 202 is kept, what could not be kept is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests import postgres
from tests.chaos.conftest import LONG
from tests.chaos.steps import (
    a_story,
    balance,
    some_stories,
    under_load,
    wait_until_all_is_well,
)
from tests.desk import Desk, eventually
from tests.outlet import Outlet

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.xdist_group("desks")]

ARTICLES, SECONDS = (300, 20.0) if LONG else (60, 5.0)


def test_the_ledger_balances_after_the_connections_were_cut_twice_and_the_database_crashed(
    postgresql_desk: Desk, outlet: Outlet, postgres_server: Any
) -> None:
    wait_until_all_is_well(postgresql_desk)
    postgres.admin(postgres_server, "ALTER SYSTEM SET synchronous_commit = on")  # a commit outlives a crash
    postgres.admin(postgres_server, "SELECT pg_reload_conf()")
    stories = some_stories(ARTICLES)
    with under_load(postgresql_desk, stories, SECONDS):
        for _ in range(2):
            pushed = len(outlet.pushes)
            postgres.cut_connections(postgres_server, "faults")
            eventually(lambda before=pushed: len(outlet.pushes) > before, within=10, what="another push")
        with postgres.crashed(postgres_server):
            refused = postgresql_desk.post(a_story())
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert "nothing was accepted" in refused.json()["detail"]
    balance(postgresql_desk, outlet, stories)
    wait_until_all_is_well(postgresql_desk)
