"""A post's answer without its effect: it is accepted in a transaction of which nothing stays."""

from __future__ import annotations

from service.store.articles import posts
from service.store.articles.accept import accept_within
from service.store.articles.idempotency import Answer
from service.store.articles.posts import Post
from service.store.database.record import Record


def preview(record: Record, post: Post) -> Answer:
    """The answer as if the post were recorded; nothing is. Raises what `accept` raises."""
    revision = posts.posted_revision(post.article)
    try:
        with record.writing() as connection:
            raise _RolledBack(accept_within(connection, post, revision))  # noqa: TRY301
    except _RolledBack as end:
        return end.answer


class _RolledBack(Exception):
    """Ends a transaction of which nothing is to stay."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer
