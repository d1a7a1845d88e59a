"""Several INSERTs as one statement on PostgreSQL: one way to the server and back in place of one for each.

They are one WITH of data-modifying parts (PostgreSQL's manual, 7.8.4): none of them sees what another writes, and
foreign keys are checked when all have ended. SQLite has no such WITH, and no way to a server: there they run one after
the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from service.store.database.sql import Statement

ID_OF_FIRST: Final = object()  # a value: the id that the first of the INSERTs returns
_NAME = re.compile(r"(?<![:\w]):(\w+)")


class Write(NamedTuple):
    """An INSERT with its values."""

    statement: Statement
    values: Mapping[str, Any]

    def run(self, connection: Connection) -> None:
        """By itself."""
        self.statement.run(connection, self.values)


def run(connection: Connection, writes: Sequence[Write]) -> int | None:
    """Runs them; returns the id that the first returns, None if it returns nothing."""
    if connection.dialect.name == "sqlite" or len(writes) == 1:
        return _one_by_one(connection, writes)
    shape = tuple(
        (each.statement, frozenset(name for name, value in each.values.items() if value is ID_OF_FIRST))
        for each in writes
    )
    values = {
        f"{name}_{place}": value
        for place, each in enumerate(writes)
        for name, value in each.values.items()
        if value is not ID_OF_FIRST
    }
    joined = _joined(shape)
    if not writes[0].statement.returns:
        joined.run(connection, values)
        return None
    return int(joined.value(connection, **values))


def _one_by_one(connection: Connection, writes: Sequence[Write]) -> int | None:
    first, *others = writes
    made = None
    if first.statement.returns:
        made = int(first.statement.value(connection, **first.values))
    else:
        first.statement.run(connection, first.values)
    for each in others:
        values = {name: made if value is ID_OF_FIRST else value for name, value in each.values.items()}
        each.statement.run(connection, values)
    return made


@lru_cache(maxsize=64)  # there are as many as places in the code that join statements
def _joined(shape: tuple[tuple[Statement, frozenset[str]], ...]) -> Statement:
    def named(place: int, of_first: frozenset[str]) -> str:
        def name(found: re.Match[str]) -> str:
            return "(SELECT id FROM w0)" if found[1] in of_first else f":{found[1]}_{place}"

        return _NAME.sub(name, shape[place][0].postgresql)

    parts = [named(place, of_first) for place, (_, of_first) in enumerate(shape)]
    last = "SELECT id FROM w0" if shape[0][0].returns else parts.pop()
    named_parts = ", ".join(f"w{place} AS ({part})" for place, part in enumerate(parts))
    return Statement(last, postgresql=f"WITH {named_parts} {last}")
