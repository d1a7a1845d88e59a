"""Statements for what runs once per article: rendered once, then handed to the driver as they are.

SQLAlchemy spends several times as long on wrapping a statement and its result as the driver does on running it. They
run on SQLAlchemy's connections, in its transactions, and fail with its exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Dialect, Table, text
from sqlalchemy.exc import DBAPIError

from service.store.schema import to_micros

Row = tuple[Any, ...]


class Statement:
    """SQL with `:name` where a value goes; `locking` is added on PostgreSQL.

    Times are given as they are everywhere, but rows are the driver's own: in them times are microseconds
    (`schema.from_micros`), and SQLite's truth is 1 and 0.
    """

    def __init__(self, sql: str, *, locking: str = "") -> None:
        self._sql = sql
        self._locking = locking
        self._rendered: dict[str, tuple[str, Sequence[str] | None]] = {}

    def rows(self, connection: Connection, **values: Any) -> list[Row]:
        """All that a query, or RETURNING, gives."""
        rows: list[Row] = self._ran(connection, values).fetchall()
        return rows

    def row(self, connection: Connection, **values: Any) -> Row | None:
        """The only row, if there is one."""
        rows = self.rows(connection, **values)
        assert len(rows) <= 1, "what is asked for is unique"
        return rows[0] if rows else None

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """How many rows it changed."""
        return int(self._ran(connection, values).rowcount)

    def _ran(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        dialect = connection.dialect
        sql, order = self._rendered.get(dialect.name) or self._render(dialect)
        given: Any = (
            {name: plain(value) for name, value in values.items()}
            if order is None
            else [plain(values[name]) for name in order]
        )
        cursor = connection.connection.cursor()
        try:
            cursor.execute(sql, given)
        except dialect.loaded_dbapi.Error as error:
            kind = dialect.loaded_dbapi.Error
            raise DBAPIError.instance(
                sql, None, error, kind, hide_parameters=True, dialect=dialect
            ) from error
        return cursor

    def _render(self, dialect: Dialect) -> tuple[str, Sequence[str] | None]:
        whole = self._sql + (self._locking if dialect.name == "postgresql" else "")
        compiled: Any = text(whole).compile(dialect=dialect)
        made = self._rendered[dialect.name] = (str(compiled), compiled.positiontup)
        return made


def insert(table: Table, columns: str, *, returning: str = "") -> Statement:
    """An INSERT of one row; its values are named as the columns are, which are given separated by blanks."""
    names = columns.split()
    values = ", ".join(f":{name}" for name in names)
    told = f" RETURNING {returning}" if returning else ""
    return Statement(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}){told}")


def plain(value: Any) -> Any:
    """A value as both databases' drivers take it."""
    return to_micros(value) if isinstance(value, datetime) else value
