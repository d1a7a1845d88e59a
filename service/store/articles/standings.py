"""Articles as a comparison with their system sees them: by the system's own ids."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from service.store.database.record import Record
from service.store.database.sql import Query, Statement


class Standing(NamedTuple):
    """An article of a source, as a comparison with its system sees it. `final`: its system cannot bring it back."""

    external_id: str
    status: str
    final: bool


def revision_of(record: Record, source_id: int, external_id: str) -> int:
    """The number of the newest revision of a source's article; 0 if there is none."""
    with record.reading() as connection:
        found = _REVISION_OF.value(connection, source=source_id, external_id=external_id)
    return int(found or 0)


_REVISION_OF = Statement(
    "SELECT revision FROM article WHERE source_id = :source AND external_id = :external_id"
)


def standings(record: Record, source_id: int, now: datetime) -> list[Standing]:
    """Every article of a source."""
    with record.surveying() as connection:
        return _STANDINGS.all(connection, source=source_id, now=now)


_STANDINGS = Query(
    Standing,
    "SELECT external_id, status, killed_by_desk OR status = 'killed' OR returns_at IS NOT NULL"
    " OR coalesce(expires_at <= :now, false) FROM article WHERE source_id = :source",
)
