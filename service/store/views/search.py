"""The operators' search: articles by ids and words, for ever; outlets by name and address. Read-only.

An article under embargo is found, too, for only operators search; its headline is shown in no list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from service.store import names
from service.store.articles import search_words
from service.store.articles.search_words import SearchTerm
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.views.articles import LIST_LENGTH, ArticleListRow, ArticleNow, listed, listing

OUTLETS_FOUND = 10


class OutletFound(NamedTuple):
    """A partner that a search found. `url`: that of the endpoint that it was found by; None if by its own name."""

    slug: str
    name: str
    url: str | None


def search_articles(
    record: Record, now: datetime, words: str, *, after: str | None = None, limit: int = LIST_LENGTH
) -> list[ArticleNow]:
    """By our id or its last part, or by the source's own id; else those that have all words, the newest first.

    Words are those of the id, headline, origin, authors and address; each may be the beginning of a longer one.
    `after`: the id of the last article of the page before. Any text may be asked for.
    """
    if not names.is_storable(words):
        return []
    with record.surveying() as connection:
        if after is None and (exact := _exact(connection, words)):
            return listed(connection, exact, now)
        terms = search_words.question_terms(words)
        before = _ALL if after is None else names.find_article(connection, after)
        if not terms or before is None:
            return []
        ids = _found(connection, {**_question(terms), "before": before, "limit": limit})
        return listed(connection, _OF_IDS.all(connection, ids=ids), now)


_ALL = names.ROW_MAX


def _exact(connection: Connection, words: str) -> Sequence[ArticleListRow]:
    return _EXACT.all(connection, words=words, article=names.find_article(connection, words) or 0)


# One probe of the index per source, whatever the number of articles: SQLite takes a CROSS JOIN in this order.
_EXACT = listing(
    "SELECT x.* FROM source o CROSS JOIN article x WHERE x.source_id = o.id AND x.external_id = :words"
    " UNION SELECT * FROM article WHERE id = :article"
)


def _question(terms: Sequence[SearchTerm]) -> dict[str, object]:
    """The terms as each database takes them. They are letters and digits alone: no quote, no operator, no pattern."""
    return {
        "fts5": " ".join(f'"{each.word}"*' if each.prefix else f'"{each.word}"' for each in terms),
        "tsquery": " & ".join(f"'{each.word}':*" if each.prefix else f"'{each.word}'" for each in terms),
        "parts": [f" {each.word}" if each.prefix else f" {each.word} " for each in terms],
    }


# On SQLite, what the sweep has not sorted in yet is looked through beside the index.
_FOUND = Statement(
    """
    SELECT * FROM (SELECT rowid AS id FROM article_search_index
        WHERE article_search_index MATCH :fts5 AND rowid < :before ORDER BY rowid DESC LIMIT :limit)
    UNION ALL
    SELECT * FROM (SELECT article_id FROM article_search INDEXED BY ix_article_search_new
        WHERE NOT in_index AND article_id < :before AND NOT EXISTS (
            SELECT 1 FROM json_each(:parts) WHERE instr(' ' || words || ' ', value) = 0)
        ORDER BY article_id DESC LIMIT :limit)
    ORDER BY id DESC LIMIT :limit""",
    postgresql="""
    SELECT article_id FROM article_search
    WHERE words @@ CAST(:tsquery AS tsquery) AND article_id < :before ORDER BY article_id DESC LIMIT :limit""",
)
_OF_IDS = listing("SELECT * FROM article WHERE id IN :ids[]", order="a.id")

# PostgreSQL cannot tell how rare the beginning of a word is. So it is counted by the index of words, up to a bound. The
# articles of a rare word are read by that index, those of a common one from the newest on.
COMMON = 1000
_COUNT = Statement(
    "SELECT 0",
    postgresql="SELECT count(*) FROM (SELECT 1 FROM article_search WHERE words @@ CAST(:tsquery AS tsquery)"
    f" AND article_id < :before LIMIT {COMMON}) c",
)
_ALLOW = Statement(
    "SELECT 0",
    postgresql="SELECT set_config('enable_seqscan', :others, true), set_config('enable_indexscan', :ordered, true),"
    " set_config('enable_bitmapscan', :words, true)",
)


def _found(connection: Connection, question: Mapping[str, object]) -> list[int]:
    if connection.dialect.name == "sqlite":
        return [number for (number,) in _FOUND.rows(connection, **question)]
    _ALLOW.rows(connection, others="off", ordered="off", words="on")
    if _COUNT.value(connection, **question) == COMMON:
        _ALLOW.rows(connection, others="off", ordered="on", words="off")
    ids = [number for (number,) in _FOUND.rows(connection, **question)]
    _ALLOW.rows(connection, others="on", ordered="on", words="on")
    return ids


class _OutletRow(NamedTuple):
    slug: str
    name: str
    url: str | None


_OUTLETS = Query(
    _OutletRow,
    "SELECT p.slug, p.name, e.url FROM partner p LEFT JOIN endpoint e ON e.partner_id = p.id ORDER BY p.id, e.id",
)


def search_outlets(record: Record, words: str, limit: int = OUTLETS_FOUND) -> list[OutletFound]:
    """Partners with all the words in their name, slug or an endpoint's address, each once, in the order of adding."""
    terms = search_words.question_terms(words) if names.is_storable(words) else []
    if not terms:
        return []
    found: dict[str, OutletFound] = {}
    with record.surveying() as connection:
        rows = _OUTLETS.all(connection)
    for row in rows:
        if row.slug not in found and search_words.has_all(f"{row.slug} {row.name} {row.url or ''}", terms):
            by_name = search_words.has_all(f"{row.slug} {row.name}", terms)
            found[row.slug] = OutletFound(row.slug, row.name, None if by_name else row.url)
            if len(found) == limit:
                break
    return list(found.values())
