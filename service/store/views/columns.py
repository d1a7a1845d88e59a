"""Columns of a revision's content that several views read."""

from __future__ import annotations

from collections.abc import Callable

from service.store.database.sql import Query, T

_SQLITE = {
    "headline": "json_extract(r.content, '$.headline')",
    "language": "json_extract(r.content, '$.language')",
}
_POSTGRESQL = {
    "headline": "(r.content::json ->> 'headline')",
    "language": "(r.content::json ->> 'language')",
}


def query(kind: Callable[..., T], sql: str) -> Query[T]:
    """A query in which {headline} and {language} are those of revision `r`. The database reads its body, not we."""
    return Query(kind, sql.format(**_SQLITE), postgresql=sql.format(**_POSTGRESQL))
