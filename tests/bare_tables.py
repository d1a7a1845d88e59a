"""The tables that deliveries are in, in memory and empty, for statements alone: SQLite, without foreign keys.

The index that has the deliveries in the order of claims is not there, so that no statement is right by chance. With
`last_first` rows come the other way round where no ORDER BY says how.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, insert, select, update
from sqlalchemy.pool import StaticPool

from service.store.schema.articles import article, event
from service.store.schema.base import metadata
from service.store.schema.deliveries import attempt, delivery, receipt
from service.store.schema.partners import endpoint

NOW = 10**15  # microseconds, as all times here are
SECOND = 10**6


class BareTables:
    """Rows are added with what a test says of them; all else is as it mostly is."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._sequences = count(1)

    def article(self, number: int = 1, **columns: Any) -> int:
        row = {
            "id": number,
            "public_id": f"art_{number}",
            "source_id": 1,
            "external_id": str(number),
            "revision": 1,
            "status": "usable",
            "content_hash": "",
            "first_published_at": NOW,
            "changed_at": NOW,
        }
        return self._add(article, row | columns)

    def endpoint(self, number: int = 1, **columns: Any) -> int:
        row = {
            "id": number,
            "partner_id": 10 + number,
            "url": f"https://{number}.test/",
            "secret_sealed": b"sealed",
            "all_sections": True,
            "state_since": NOW,
            "created_at": NOW,
        }
        return self._add(endpoint, row | columns)

    def event(self, number: int = 1, **columns: Any) -> int:
        row = {
            "id": number,
            "public_id": f"evt_{number}",
            "article_id": 1,
            "revision": number,
            "type": "article.published",
            "occurred_at": NOW,
            "actor": "system",
        }
        return self._add(event, row | columns)

    def delivery(self, **columns: Any) -> int:
        row = {
            "endpoint_id": 1,
            "event_id": 1,
            "article_id": 1,
            "revision": 1,
            "sequence": next(self._sequences),
            "priority": 2,
            "owed": False,
            "ordered": False,
            "state": "pending",
            "due_at": NOW,
            "created_at": NOW,
        }
        return self._add(delivery, row | columns)

    def attempt(self, delivery_id: int, **columns: Any) -> int:
        row = {"number": 1, "started_at": NOW, "outcome": "timeout", "words": "was slow", "worker": "w1.test"}
        return self._add(attempt, row | {"delivery_id": delivery_id} | columns)

    def receipt(self, article_id: int, endpoint_id: int, revision: int = 1) -> None:
        row = {"article_id": article_id, "endpoint_id": endpoint_id, "partner_id": 1, "revision": revision}
        self.connection.execute(insert(receipt).values(row | {"channel": "push", "held_since": NOW}))

    def set(self, number: int, **columns: Any) -> None:
        self.connection.execute(update(delivery).where(delivery.c.id == number).values(**columns))

    def column(self, name: str) -> list[Any]:
        """That of all deliveries, in the order of their ids; times in microseconds."""
        return [
            value for (value,) in self.connection.exec_driver_sql(f"SELECT {name} FROM delivery ORDER BY id")
        ]

    def value(self, number: int, name: str) -> Any:
        return self.connection.exec_driver_sql(
            f"SELECT {name} FROM delivery WHERE id = {number}"
        ).scalar_one()

    def rows(self) -> list[tuple[Any, ...]]:
        """All that is written of all deliveries."""
        return [tuple(row) for row in self.connection.execute(select(delivery).order_by(delivery.c.id))]

    def _add(self, table: Table, row: dict[str, Any]) -> int:
        return int(self.connection.execute(insert(table).values(row)).inserted_primary_key[0])


@contextmanager
def bare_tables(*, last_first: bool = False) -> Iterator[BareTables]:
    with _engine().connect() as connection:
        connection.exec_driver_sql(f"PRAGMA reverse_unordered_selects = {'ON' if last_first else 'OFF'}")
        yield BareTables(connection)
        connection.rollback()


@cache
def _engine() -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        metadata.create_all(connection, tables=[article, endpoint, event, delivery, attempt, receipt])
        connection.exec_driver_sql("DROP INDEX ix_delivery_due")
    return engine
