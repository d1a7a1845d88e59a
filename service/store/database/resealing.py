"""Resealing: after DATELINE_SECRET_KEY got a new first key, all that is sealed is sealed anew with it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, LargeBinary, Table, select, update

from service.store.database.record import Record
from service.store.schema.base import metadata

COLUMN = "secret_sealed"
ROWS_PER_TRANSACTION = 200
_ALWAYS_SHOWN = {"endpoint", "source"}  # the others may well have none


def sealed_tables() -> list[Table]:
    """The tables with sealed secrets, each in its column `secret_sealed`."""
    return [table for table in metadata.sorted_tables if COLUMN in table.c]


def reseal(record: Record) -> dict[str, int]:
    """Seals every stored secret with the first key; returns how many, by table. Safe to run twice, and at any time.

    Afterwards the old keys open nothing any more and may be removed. Raises NotPossible for a secret that none of the
    keys opens; those before it are resealed, and stay readable.
    """
    counts = {}
    for table in sealed_tables():
        counts[table.name] = sum(_reseal_batch(record, table, batch) for batch in _batches(record, table))
    return {name: count for name, count in counts.items() if count or name in _ALWAYS_SHOWN}


def _batches(record: Record, table: Table) -> Iterator[list[int]]:
    with record.reading() as connection:
        ids = list(connection.execute(select(table.c.id).order_by(table.c.id)).scalars())
    yield from (
        ids[start : start + ROWS_PER_TRANSACTION] for start in range(0, len(ids), ROWS_PER_TRANSACTION)
    )


def _reseal_batch(record: Record, table: Table, ids: list[int]) -> int:
    with record.writing() as connection:
        return sum(_reseal_one(record, connection, table, each) for each in ids)


def _reseal_one(record: Record, connection: Connection, table: Table, row_id: int) -> int:
    column = table.c[COLUMN]
    assert isinstance(column.type, LargeBinary)
    query = select(column).where(table.c.id == row_id).with_for_update(key_share=True)
    sealed = connection.execute(query).scalar()
    if sealed is None:  # removed since
        return 0
    values = {COLUMN: record.keyring.reseal(sealed)}
    return connection.execute(update(table).where(table.c.id == row_id).values(values)).rowcount
