"""Acts of an operator on an article: kill and restore, each with its line in the audit."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from service.store.articles import accept
from service.store.articles.idempotency import Answer
from service.store.database.record import Record
from service.store.operations.audit_line import AuditLine


def kill(record: Record, article: str, *, reason: str, actor: str, now: datetime) -> Answer:
    """Kills an article everywhere; its source cannot bring it back. Killed already: a repeat."""
    with record.writing() as connection:
        answer = accept.kill(connection, article, reason, actor, now)
        _write_article_line(connection, answer, reason, AuditLine(actor, now))
    return answer


def restore(record: Record, article: str, *, reason: str | None, actor: str, now: datetime) -> Answer:
    """Brings back an article that was taken down."""
    with record.writing() as connection:
        answer = accept.restore(connection, article, reason, actor, now)
        _write_article_line(connection, answer, reason, AuditLine(actor, now))
    return answer


def _write_article_line(connection: Connection, answer: Answer, reason: str | None, line: AuditLine) -> None:
    if answer.outcome == "accepted":
        line.write(connection, answer.type, answer.article, reason=reason, revision=answer.revision)
