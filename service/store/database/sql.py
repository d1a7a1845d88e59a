"""Hand-written SQL: the only place for it, and for what differs between the databases.

`Query` reads rows as named values of a type, `Statement` writes; both are rendered once, then handed to the driver as
they are. SQLAlchemy spends several times as long on wrapping a statement and its result as the driver does on running
it. They run on SQLAlchemy's connections, in its transactions, and fail with its exceptions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from operator import itemgetter
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from sqlalchemy import Connection, Dialect, Table, text
from sqlalchemy.exc import DBAPIError

from service.store.schema.base import from_micros, to_micros

Row = tuple[Any, ...]
T = TypeVar("T")
_Given = Callable[[Mapping[str, Any]], Any]  # what the driver is handed

_LIST = re.compile(r"IN :(\w+)\[(\w*)\]")
# SQLite compares texts byte by byte as they are; PostgreSQL does so in this collation.
_BYTEWISE = re.compile(r' COLLATE "C"')
_AS_LIST = {
    "postgresql": lambda found: f"= ANY(CAST(:{found[1]} AS {found[2] or 'bigint'}[]))",
    "sqlite": lambda found: f"IN (SELECT value FROM json_each(:{found[1]}))",
}


class Statement:
    """SQL with `:name` where a value goes, and `IN :name[]` or `IN :name[text]` for a list of ids or texts.

    `locking` is added on PostgreSQL; `postgresql` is used there instead of `sql`. `COLLATE "C"` orders texts byte by
    byte on both.

    Times are given as they are everywhere, but rows are the driver's own: in them times are microseconds
    (`schema.from_micros`), and SQLite's truth is 1 and 0.
    """

    def __init__(self, sql: str, *, locking: str = "", postgresql: str | None = None) -> None:
        self._sql = {"sqlite": sql, "postgresql": (postgresql or sql) + locking}
        self._rendered: dict[str, tuple[str, _Given]] = {}

    @property
    def postgresql(self) -> str:
        """Its text there."""
        return self._sql["postgresql"]

    @property
    def returns(self) -> bool:
        """Whether it is an INSERT that returns something."""
        return " RETURNING " in self.postgresql

    def rows(self, connection: Connection, **values: Any) -> list[Row]:
        """All that a query, or RETURNING, gives."""
        rows: list[Row] = self._ran(connection, values).fetchall()
        return rows

    def each(self, connection: Connection, **values: Any) -> Iterator[Row]:
        """The same one by one, for a caller that may stop early: SQLite reads no further than it is asked."""
        return iter(self._ran(connection, values))

    def row(self, connection: Connection, **values: Any) -> Row | None:
        """The only row, if there is one."""
        rows = self.rows(connection, **values)
        assert len(rows) <= 1, "what is asked for is unique"
        return rows[0] if rows else None

    def value(self, connection: Connection, **values: Any) -> Any:
        """The only column of the only row; None where there is no row."""
        row = self.row(connection, **values)
        return None if row is None else row[0]

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """How many rows it changed."""
        return int(self._ran(connection, values).rowcount)

    def run_all(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Once for each; nothing for none."""
        if rows:
            sql, given = self._statement(connection.dialect)
            self._execute(connection, sql, list(map(given, rows)), many=True)

    def _ran(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        sql, given = self._statement(connection.dialect)
        return self._execute(connection, sql, given(values))

    def _execute(self, connection: Connection, sql: str, given: Any, *, many: bool = False) -> Any:
        cursor = connection.connection.cursor()
        # Those who listen to an engine's statements hear of these too. Its lists are asked for, because a connection
        # puts its own together anew, which costs as much as a small statement does.
        listeners = connection.engine.dispatch
        if listeners.before_cursor_execute:
            for listener in listeners.before_cursor_execute:
                listener(connection, cursor, sql, given, None, many)
        try:
            (cursor.executemany if many else cursor.execute)(sql, given)
        except connection.dialect.loaded_dbapi.Error as error:
            dialect, kind = connection.dialect, connection.dialect.loaded_dbapi.Error
            raise DBAPIError.instance(
                sql, None, error, kind, hide_parameters=True, dialect=dialect
            ) from error
        if listeners.after_cursor_execute:
            for listener in listeners.after_cursor_execute:
                listener(connection, cursor, sql, given, None, many)
        return cursor

    def _statement(self, dialect: Dialect) -> tuple[str, _Given]:
        return self._rendered.get(dialect.name) or self._render(dialect)

    def _render(self, dialect: Dialect) -> tuple[str, _Given]:
        sql = _LIST.sub(_AS_LIST[dialect.name], self._sql[dialect.name])
        if dialect.name == "sqlite":
            sql = _BYTEWISE.sub("", sql)
        compiled: Any = text(sql).compile(dialect=dialect)
        given = _named if compiled.positiontup is None else _in_order(compiled.positiontup)
        made = self._rendered[dialect.name] = (str(compiled), given)
        return made


class Query(Statement, Generic[T]):
    """A `Statement` that reads rows as values of one type: a NamedTuple or a dataclass.

    The columns stand in the order of the type's fields. What a field says it is, it is on both databases: `datetime`
    comes aware and UTC, `bool` comes as a truth; either may be `| None`.
    """

    def __init__(
        self, kind: Callable[..., T], sql: str, *, locking: str = "", postgresql: str | None = None
    ) -> None:
        super().__init__(sql, locking=locking, postgresql=postgresql)
        self._kind = kind

    def all(self, connection: Connection, **values: Any) -> list[T]:
        """Every row, in the query's order."""
        rows = self.rows(connection, **values)
        return [self._kind(*row) for row in rows] if not self._converters else list(map(self._read, rows))

    def one(self, connection: Connection, **values: Any) -> T | None:
        """The only row, None where there is none. More than one is an error of the caller."""
        row = self.row(connection, **values)
        return None if row is None else self._read(row)

    @cached_property
    def _converters(self) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
        """Places of the columns that a driver returns otherwise than their field's type, with what mends each."""
        kinds = get_type_hints(self._kind)
        converters = [_CONVERTERS.get(_not_none(kind)) for kind in kinds.values()]
        return tuple((place, convert) for place, convert in enumerate(converters) if convert)

    def _read(self, row: Row) -> T:
        values = list(row)
        for place, convert in self._converters:
            if values[place] is not None:
                values[place] = convert(values[place])
        return self._kind(*values)


_CONVERTERS: Mapping[Any, Callable[[Any], Any]] = {datetime: from_micros, bool: bool}


def _not_none(kind: Any) -> Any:
    """`datetime` of `datetime | None`; any other type as it is."""
    kinds = [each for each in get_args(kind) if each is not type(None)]
    return kinds[0] if len(kinds) == 1 and type(None) in get_args(kind) else kind


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """For PostgreSQL. A list goes as text: to look at each element is dear enough once, and psycopg does it thrice."""
    return {
        name: _array(value) if isinstance(value, list) else plain(value) for name, value in values.items()
    }


def _array(values: list[Any]) -> str:
    """As PostgreSQL writes arrays of numbers, truths or texts (its manual, 8.15.6)."""
    write = str if {int}.issuperset(map(type, values)) else _element
    return "{" + ",".join(map(write, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"'
    return str(plain(value))


def _in_order(names: Sequence[str]) -> _Given:
    """For SQLite, which takes values by their places, and a list as JSON."""
    # Of several names it gives a tuple, made without a step of the interpreter for each.
    values_of = itemgetter(*names) if len(names) > 1 else lambda values: tuple(map(values.__getitem__, names))

    def pick(values: Mapping[str, Any]) -> tuple[Any, ...]:
        given: tuple[Any, ...] = values_of(values)
        if _NOT_PLAIN.isdisjoint(map(type, given)):
            return given
        return tuple([json.dumps(each) if isinstance(each, list) else plain(each) for each in given])

    return pick


_NOT_PLAIN = {datetime, list}


def insert(table: Table, columns: str, *, returning: str = "") -> Statement:
    """An INSERT of one row; its values are named as the columns are, which are given separated by blanks."""
    names = columns.split()
    values = ", ".join(f":{name}" for name in names)
    answer = f" RETURNING {returning}" if returning else ""
    return Statement(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}){answer}")


class Rows:
    """An INSERT of thousands of rows at once: one statement of arrays on PostgreSQL, one prepared for all on SQLite.

    `columns` with their types; `conflict` is what to do with a row that is there.
    """

    def __init__(self, table: Table, columns: Mapping[str, str], *, conflict: str = "") -> None:
        into = f"INSERT INTO {table.name} ({', '.join(columns)})"
        arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
        self._names = tuple(columns)
        self._statement = Statement(
            f"{into} VALUES ({', '.join(f':{name}' for name in columns)}) {conflict}",
            postgresql=f"{into} SELECT * FROM unnest({arrays}) {conflict}",
        )

    def insert(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Nothing for none."""
        if connection.dialect.name == "sqlite":
            self._statement.run_all(connection, rows)
        elif rows:
            columns = {name: [row[name] for row in rows] for name in self._names}
            self._statement.run(connection, columns)


def plain(value: Any) -> Any:
    """A value as both databases' drivers take it."""
    return to_micros(value) if isinstance(value, datetime) else value
