"""The operators' search: each article's words, written in the transaction of its revision.

PostgreSQL sorts them into its index by itself, some hundred articles at a time. On SQLite the sweep does so, for an
article at a time is dear; until then they are found without the index (`views/search.py`). What a version before this
one accepts, and what was there before the search, has no words yet: the sweep writes them, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from service.store.articles.search_words import article_words
from service.store.content import glance
from service.store.database.joint_writes import Write
from service.store.database.record import Record
from service.store.database.sql import Query, Statement

WRITTEN_AT_ONCE = 100  # articles in one transaction
SORTED_AT_ONCE = 500


class SearchedArticle(NamedTuple):
    """An article with what tells its words."""

    row: int | object  # or joint_writes.ID_OF_FIRST
    external_id: str
    status: str
    content: Mapping[str, Any]


def written(new: SearchedArticle) -> Write:
    """The writing of an article's words in place of its former ones; its row names the revision that they are of."""
    words = article_words(new.external_id, new.status, new.content)
    return Write(_WRITE, {"article": new.row, "words": words})


_WRITE_WORDS = (
    "INSERT INTO article_search (article_id, words, in_index) VALUES (:article, {})"
    " ON CONFLICT (article_id) DO UPDATE SET words = excluded.words, in_index = excluded.in_index"
)
_WRITE = Statement(
    _WRITE_WORDS.format(":words, false"),
    postgresql=_WRITE_WORDS.format("array_to_tsvector(string_to_array(:words, ' ')), true"),
)


class _WordlessRow(NamedTuple):
    row: int
    external_id: str
    revision: int
    status: str
    content: str


# As the index `ix_article_wordless` has it.
_IS_WORDLESS = "(a.words_revision IS NULL OR a.words_revision < a.revision)"
_ANY_WORDLESS = Statement(f"SELECT 1 FROM article a WHERE {_IS_WORDLESS} LIMIT 1")
_WORDLESS = Query(
    _WordlessRow,
    f"""
    SELECT a.id, a.external_id, a.revision, a.status, r.content
    FROM article a JOIN revision r ON r.article_id = a.id AND r.number = a.revision
    WHERE {_IS_WORDLESS} ORDER BY a.id DESC LIMIT :limit""",
    locking=" FOR NO KEY UPDATE OF a SKIP LOCKED",
)
_NOTE = Statement("UPDATE article SET words_revision = :revision WHERE id = :row")


def is_behind(record: Record) -> bool:
    """Whether some article cannot be found by the words of its newest revision yet."""
    with record.reading() as connection:
        return _ANY_WORDLESS.value(connection) is not None


def catch_up(record: Record) -> bool:
    """One bounded step of what intake left to do; whether there may be more. Safe to run twice."""
    return _write_missing(record) or _sort_in(record)


def _write_missing(record: Record) -> bool:
    """The newest first."""
    if not is_behind(record):
        return False
    with record.writing() as connection:
        rows = _WORDLESS.all(connection, limit=WRITTEN_AT_ONCE)
        for each in rows:
            article = SearchedArticle(each.row, each.external_id, each.status, glance(each.content))
            written(article).run(connection)
        _NOTE.run_all(connection, [{"revision": each.revision, "row": each.row} for each in rows])
    return bool(rows)


_ANY_NEW = Statement("SELECT 1 FROM article_search WHERE NOT in_index LIMIT 1")
_SORT_IN = Statement("""
    UPDATE article_search SET in_index = true WHERE article_id IN
        (SELECT article_id FROM article_search WHERE NOT in_index ORDER BY article_id LIMIT :limit)""")


def _sort_in(record: Record) -> bool:
    if not record.is_sqlite:
        return False
    with record.reading() as connection:
        if _ANY_NEW.value(connection) is None:
            return False
    with record.writing() as connection:
        return _SORT_IN.run(connection, {"limit": SORTED_AT_ONCE}) == SORTED_AT_ONCE
