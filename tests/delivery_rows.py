"""Rows of deliveries, of what they refer to, and of their attempts: read and set as a test needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select, update

from service.store.database.record import Record
from service.store.schema.articles import article
from service.store.schema.deliveries import attempt, delivery
from service.store.schema.partners import endpoint


def set_delivery(record: Record, number: int, **columns: Any) -> None:
    with record.writing() as connection:
        connection.execute(update(delivery).where(delivery.c.id == number).values(**columns))


def set_endpoint(record: Record, number: int, **columns: Any) -> None:
    with record.writing() as connection:
        connection.execute(update(endpoint).where(endpoint.c.id == number).values(**columns))


def set_article(record: Record, number: int, **columns: Any) -> None:
    with record.writing() as connection:
        connection.execute(update(article).where(article.c.id == number).values(**columns))


def add_delivery(record: Record, model: int, **changes: Any) -> int:
    """Adds a row like the delivery `model`, with these changes; returns its id."""
    with record.writing() as connection:
        row = dict(connection.execute(select(delivery).where(delivery.c.id == model)).mappings().one())
        del row["id"]
        highest = select(delivery.c.sequence).order_by(delivery.c.sequence.desc()).limit(1)
        row["sequence"] = connection.execute(highest).scalar_one() + 1
        added = connection.execute(insert(delivery).values(row | changes).returning(delivery.c.id))
        return int(added.scalar_one())


def add_attempt(record: Record, delivery_id: int, **columns: Any) -> None:
    with record.writing() as connection:
        connection.execute(insert(attempt).values(delivery_id=delivery_id, **columns))


def deliveries(record: Record, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of all deliveries, in the order of their ids."""
    query = select(*[delivery.c[name] for name in columns]).order_by(delivery.c.id)
    with record.reading() as connection:
        return [tuple(row) for row in connection.execute(query)]


def one_delivery(record: Record, number: int, *columns: str) -> tuple[Any, ...]:
    query = select(*[delivery.c[name] for name in columns]).where(delivery.c.id == number)
    with record.reading() as connection:
        return tuple(connection.execute(query).one())


def ids_of(record: Record) -> Sequence[int]:
    return [number for (number,) in deliveries(record, "id")]
