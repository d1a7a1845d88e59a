"""Answers of partners about a killed story, which often repeat it: wiped with the kill, and as they come later.

An attempt keeps its status, times and the SHA-256 of the body. Of a redirect's words only the target goes: its address
may be made of the headline. A `Retry-After` stays as a name, for it is looked for when a clock was put back
(`due_times`).
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from service.store import notices
from service.store.database.sql import Query, Statement
from service.store.deliveries import attempts, health, state_writes
from service.store.redirect_words import without_target

BATCH = 500  # answers of 4 KiB that are in memory at once
_ASKED_TO_WAIT = json.dumps([["retry-after", "wiped"]])


class _WithdrawnAnswer(NamedTuple):
    id: int
    delivery_id: int
    endpoint_id: int
    words: str
    last_words: str | None
    response_headers: str | None
    response_body: bytes | None
    answer_hash: str | None


# On PostgreSQL a settlement that is being written is waited for: what it writes is then seen, and wiped.
_LOCK = Statement(
    "SELECT id FROM delivery WHERE article_id = :article AND state = 'sending' ORDER BY id",
    locking=" FOR NO KEY UPDATE",
)
_ANSWERS = Query(
    _WithdrawnAnswer,
    f"""
    SELECT t.id, t.delivery_id, d.endpoint_id, t.words, d.last_words, t.response_headers, t.response_body,
        t.answer_hash
    FROM delivery d JOIN attempt t ON t.delivery_id = d.id
    WHERE d.article_id = :article AND t.id > :after
        AND (t.response_body IS NOT NULL OR t.words LIKE '%, a redirect to %'
            OR (t.response_headers IS NOT NULL AND t.response_headers <> '{_ASKED_TO_WAIT}'))
    ORDER BY t.id LIMIT {BATCH}""",
)
_KILLED = Statement("SELECT id FROM article WHERE id IN :ids[] AND status = 'killed'")


def wipe(connection: Connection, article_id: int) -> int:
    """Wipes all that partners answered about this article, in the kill's own transaction; returns how many answers.

    Call it before deliveries of the article are locked: it may lock their endpoints (database/locks.py).
    """
    _LOCK.rows(connection, article=article_id)
    leaks: dict[int, set[str]] = defaultdict(set)
    count = 0
    for answers in _batches(connection, article_id):
        _wipe(connection, answers)
        count += len(answers)
        for each in answers:
            if without_target(each.words) != each.words:
                leaks[each.endpoint_id].add(each.words)
    for endpoint_id, words in sorted(leaks.items()):
        pairs = {each: without_target(each) for each in words}
        health.reword_failure(connection, endpoint_id, pairs)
        notices.reword(connection, endpoint_id, pairs)
    return count


def wipe_late(connection: Connection, articles: Collection[int]) -> None:
    """Wipes what was answered about those of these articles that were killed meanwhile, in the transaction that wrote
    the answers."""
    for (article_id,) in _KILLED.rows(connection, ids=sorted(articles)) if articles else ():
        for answers in _batches(connection, article_id):
            _wipe(connection, answers)


def _batches(connection: Connection, article_id: int) -> Iterator[list[_WithdrawnAnswer]]:
    after = 0
    while answers := _ANSWERS.all(connection, article=article_id, after=after):
        after = answers[-1].id
        yield answers


def _wipe(connection: Connection, answers: Sequence[_WithdrawnAnswer]) -> None:
    wiped = [
        attempts.WipedAnswer(each.id, without_target(each.words), _headers_left(each), _hash(each))
        for each in answers
    ]
    attempts.wipe(connection, wiped)
    last = {each.delivery_id: each.last_words for each in answers if each.last_words}
    changed = {number: without_target(words) for number, words in last.items()}
    state_writes.reword(
        connection, {number: words for number, words in changed.items() if words != last[number]}
    )


def _headers_left(each: _WithdrawnAnswer) -> str | None:
    return _ASKED_TO_WAIT if '"retry-after"' in (each.response_headers or "").lower() else None


def _hash(each: _WithdrawnAnswer) -> str | None:
    return each.answer_hash if each.response_body is None else hashlib.sha256(each.response_body).hexdigest()
