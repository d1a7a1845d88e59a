"""Idempotency: the first answer to a key is stored, and a repeat of the post gets it again word for word.

The answer is stored for every outcome: accepted, repeat and stale. A refusal stores nothing. It is forgotten after 30
days, unless it is that of an article's newest revision. By then the same content is a repeat by itself, and the content
of an older revision has no version or an older one; a source that sends no versions must not repeat posts that old.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store.articles.posts import Post
from service.store.database.joint_writes import Write
from service.store.database.record import Record
from service.store.database.sql import Query, Statement, insert
from service.store.errors import KeyReused
from service.store.schema.articles import answer as answer_table

ANSWER_LIFETIME = timedelta(days=30)
ANSWERS_AT_ONCE = 500  # answers that are looked at in one transaction


@dataclass(frozen=True)
class Answer:
    """The answer to a source: `outcome` is accepted, repeat, stale, or ignored.

    All else is empty for the takedown of what was never here, which is ignored, and for a story that may be older than
    such a takedown, which is stale. `given_at`: of a key's first answer that is given again, the time of the post.
    """

    article: str
    revision: int
    event: str
    type: str
    outcome: str
    given_at: datetime | None = field(default=None, compare=False)

    def facts(self) -> dict[str, Any]:
        """As it is sent and stored."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "given_at"}


NOTHING_TO_DO = Answer(article="", revision=0, event="", type="", outcome="ignored")
TAKEN_DOWN_BEFORE = Answer(article="", revision=0, event="", type="", outcome="stale")


def find_answer(connection: Connection, post: Post) -> Answer | None:
    """The answer that the post's key got before, if it did. Raises KeyReused when that was for another body."""
    if post.key is None:
        return None
    row = _FIND.one(connection, source=post.source.id, key=post.key)
    if row is None:
        return None
    if row.body_hash != post.body_hash:
        raise KeyReused(post.key)
    return Answer(**json.loads(row.body), given_at=row.given_at)


def first_answer(record: Record, post: Post) -> Answer | None:
    """The same in a transaction of its own."""
    if post.key is None:
        return None
    with record.reading() as connection:
        return find_answer(connection, post)


class _FirstAnswer(NamedTuple):
    body_hash: str
    body: str
    given_at: datetime


_FIND = Query(
    _FirstAnswer, "SELECT body_hash, body, given_at FROM answer WHERE source_id = :source AND key = :key"
)


def store_answer(connection: Connection, post: Post, answer: Answer) -> None:
    """Stores the answer to the post's key, in the transaction of the change that it answers. Nothing for no key."""
    for each in stored(post, answer):
        each.run(connection)


def stored(post: Post, answer: Answer) -> list[Write]:
    """The same, to be written together with the change."""
    if post.key is None:
        return []
    values = {"source_id": post.source.id, "key": post.key, "body_hash": post.body_hash, "given_at": post.now}
    return [Write(_STORE, {**values, "body": json.dumps(answer.facts())})]


_STORE = insert(answer_table, "source_id key body_hash body given_at")


class AnswerPlace(NamedTuple):
    """A place in the order of the answers, by their key."""

    source_id: int
    key: str


START = AnswerPlace(0, "")


class _StoredAnswer(NamedTuple):
    source_id: int
    key: str
    body: str
    given_at: datetime


def prune(record: Record, after: AnswerPlace, now: datetime) -> AnswerPlace:
    """Looks at the next answers after this place and deletes the old ones; returns the place to go on from.

    START again once all were looked at. Without an index by age: a look at 500 rows of the key's costs little.
    """
    before = now - ANSWER_LIFETIME
    with record.reading() as connection:
        found = _NEXT.all(connection, source=after.source_id, key=after.key)
        old = [each for each in found if each.given_at < before]
        answers = {each: Answer(**json.loads(each.body)) for each in old}
        articles = sorted({each.article for each in answers.values()})
        rows = _REVISIONS.rows(connection, ids=articles) if articles else []
        newest: dict[str, int] = dict(rows)
    gone = [each for each, answer in answers.items() if newest.get(answer.article) != answer.revision]
    if gone:
        values = [{"source": each.source_id, "key": each.key, "before": before} for each in gone]
        with record.writing() as connection:
            _DELETE.run_all(connection, values)
    return AnswerPlace(found[-1].source_id, found[-1].key) if len(found) == ANSWERS_AT_ONCE else START


_NEXT = Query(
    _StoredAnswer,
    "SELECT source_id, key, body, given_at FROM answer WHERE (source_id, key) > (:source, :key)"
    f" ORDER BY source_id, key LIMIT {ANSWERS_AT_ONCE}",
)
_REVISIONS = Statement("SELECT public_id, revision FROM article WHERE public_id IN :ids[text]")
_DELETE = Statement("DELETE FROM answer WHERE source_id = :source AND key = :key AND given_at < :before")
