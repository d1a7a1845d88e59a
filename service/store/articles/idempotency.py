"""Idempotency: the first answer to a key is stored, and a repeat of the post gets it again word for word.

The answer is stored for every outcome: accepted, repeat and stale. A refusal stores nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from service.store.articles.posts import Post
from service.store.database.sql import Statement, insert
from service.store.errors import KeyReused
from service.store.schema.articles import answer as answer_table


@dataclass(frozen=True)
class Answer:
    """The answer to a source: `outcome` is accepted, repeat or stale."""

    article: str
    revision: int
    event: str
    type: str
    outcome: str


def find_answer(connection: Connection, post: Post) -> Answer | None:
    """The answer that the post's key got before, if it did. Raises KeyReused when that was for another body."""
    if post.key is None:
        return None
    row = _FIND.row(connection, source=post.source.id, key=post.key)
    if row is None:
        return None
    body_hash, body = row
    if body_hash != post.body_hash:
        raise KeyReused(post.key)
    return Answer(**json.loads(body))


_FIND = Statement("SELECT body_hash, body FROM answer WHERE source_id = :source AND key = :key")


def store_answer(connection: Connection, post: Post, answer: Answer) -> None:
    """Stores the answer to the post's key, in the transaction of the change that it answers. Nothing for no key."""
    if post.key is None:
        return
    values = {"source_id": post.source.id, "key": post.key, "body_hash": post.body_hash, "given_at": post.now}
    _STORE.run(connection, {**values, "body": json.dumps(asdict(answer))})


_STORE = insert(answer_table, "source_id key body_hash body given_at")
