"""The databases to measure, both as durable as a desk's own: nothing is switched off for speed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import postgres

SQLITE, POSTGRESQL = "sqlite", "postgresql"
NAMES = (SQLITE, POSTGRESQL)
_numbers = itertools.count(1)


class Databases:
    """Makes empty databases. The PostgreSQL server comes from a wheel."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def url(self, kind: str, folder: Path) -> str:
        """The URL of a new, empty database; a SQLite file lies in `folder`."""
        name = f"bench{next(_numbers)}"
        if kind == SQLITE:
            return f"sqlite:///{folder / name}.db"
        postgres.admin(self._server, f"CREATE DATABASE {name}")
        return postgres.database_url(self._server, name)

    @property
    def server_process(self) -> int | None:
        """The id of PostgreSQL's first process, the parent of all the others; None without PostgreSQL."""
        if self._server is None:
            return None
        return int((self._server.pgdata / "postmaster.pid").read_text().split()[0])

    def settle(self, kind: str) -> None:
        """Makes PostgreSQL write its dirty pages now, so that it does not do so in the middle of the next row."""
        if kind == POSTGRESQL:
            postgres.admin(self._server, "CHECKPOINT")


@contextmanager
def databases(kinds: tuple[str, ...]) -> Iterator[Databases]:
    if POSTGRESQL not in kinds:
        yield Databases(None)
        return
    with postgres.server(durable=True) as server:
        yield Databases(server)
