"""The costs of a round: processor time of our processes, of the database and of Redis apart, and bytes on the disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from sqlalchemy.engine import make_url

from bench.databases import SQLITE, Databases
from bench.processes import Processes, cpu_of
from bench.table import Line, at_most_times

# The record of deliveries, in whatever shape a tree has it: what is not there is left out.
DELIVERY_TABLES = ("delivery", "attempt", "receipt", "live", "settled")
NOT_OURS = ("redis", "sink", "bare", "ghost", "nginx")  # all else that a desk starts is a process of ours

_WAL = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"
_DISK = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s)
"""
_ENTRIES = """
SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_user_indexes
WHERE schemaname = current_schema() AND relname = ANY(%s)
"""


@dataclass(frozen=True)
class CostReading:
    """The costs so far. Seconds of the processor are None off Linux; SQLite's are within ours."""

    ours: float | None
    database: float | None
    redis: float | None
    wal: int
    disk: int


class CostMeter:
    """Reads the costs of one desk."""

    def __init__(self, databases: Databases, kind: str, url: str, children: Processes) -> None:
        self._databases = databases
        self._on_sqlite = kind == SQLITE
        self._url = url
        self._children = children

    def read(self) -> CostReading:
        server = self._databases.server_process
        return CostReading(
            self._children.cpu_without(*NOT_OURS),
            None if self._on_sqlite or server is None else cpu_of([server]),
            self._children.cpu("redis"),
            self.wal_bytes(),
            self._disk_bytes(),
        )

    def empty_wal(self) -> None:
        """Writes SQLite's WAL into the file, and empties it if no reader needs it; PostgreSQL's goes on."""
        if self._on_sqlite:
            with closing(sqlite3.connect(sqlite_path(self._url), timeout=1)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def index_entries(self) -> int:
        """The entries that were read so far of the indexes of the record of deliveries, on PostgreSQL."""
        return int(self._ask(_ENTRIES, [list(DELIVERY_TABLES)]))

    def wal_bytes(self) -> int:
        """The size of SQLite's WAL now, or how many bytes PostgreSQL has written to its own so far."""
        if not self._on_sqlite:
            return int(self._ask(_WAL))
        path = sqlite_path(self._url)
        wal = path.with_name(f"{path.name}-wal")
        return wal.stat().st_size if wal.exists() else 0

    def _disk_bytes(self) -> int:
        if not self._on_sqlite:
            return int(self._ask(_DISK, [list(DELIVERY_TABLES)]))
        self.empty_wal()
        return sqlite_path(self._url).stat().st_size

    def _ask(self, query: LiteralString, values: list[Any] | None = None) -> Any:
        with psycopg.connect(conninfo(self._url), autocommit=True) as connection:
            row = connection.execute(query, values).fetchone()
        assert row is not None  # each asks for one value
        return row[0]


def conninfo(url: str) -> str:
    """A PostgreSQL database's URL as the driver takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def sqlite_path(url: str) -> Path:
    return Path(str(make_url(url).database))


@dataclass
class CostLines:
    """The lines of a row that say the costs of one delivery."""

    row: str
    database: str
    most_times: float | None = None  # the target for our processes, beside bare
    lines: dict[str, Line] = field(default_factory=dict)

    def __post_init__(self) -> None:
        server = self.database != SQLITE
        names = [("ours", "CPU of our processes, each", "µs")]
        names += [("built", "… until the feeds are built, each", "µs")]
        names += [("database", "CPU of PostgreSQL, each", "µs")] if server else []
        names += [("redis", "CPU of Redis, each", "µs"), ("whole", "CPU of all of them, each", "µs")]
        names += [("wal", "WAL written, each" if server else "WAL left at the end, each", "B")]
        names += [("disk", "tables and indexes of deliveries, each" if server else "file, each", "B")]
        self.lines = {name: Line(self.row, self.database, what, unit) for name, what, unit in names}
        if self.most_times is not None:
            self.lines["ours"].target = at_most_times(self.most_times)

    def note(self, before: CostReading, after: CostReading, delivered: int) -> None:
        """Notes a round's costs: the WAL of SQLite starts empty, so its size is the growth."""
        each = max(1, delivered)
        processor = {
            "ours": _difference(before.ours, after.ours),
            "database": _difference(before.database, after.database),
            "redis": _difference(before.redis, after.redis),
        }
        for name, seconds in processor.items():
            if seconds is not None and name in self.lines:
                self.lines[name].ours.append(seconds / each * 1e6)
        if processor["ours"] is not None:
            whole = sum(seconds or 0.0 for seconds in processor.values())
            self.lines["whole"].ours.append(whole / each * 1e6)
        wal = after.wal if self.database == SQLITE else after.wal - before.wal
        self.lines["wal"].ours.append(wal / each)
        self.lines["disk"].ours.append((after.disk - before.disk) / each)

    def note_built(self, before: CostReading, built: CostReading, delivered: int) -> None:
        """Notes the processor time that a round took until its feeds and their archives were built, too."""
        if (seconds := _difference(before.ours, built.ours)) is not None:
            self.lines["built"].ours.append(seconds / max(1, delivered) * 1e6)


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
