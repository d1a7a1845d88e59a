"""A hook's only story accepted and the hook kept, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.articles import hooks, posts
from service.store.articles.accept import accept_within
from service.store.articles.hooks import HookClaim, HookResult, NewHook
from service.store.articles.idempotency import Answer
from service.store.articles.posts import Post
from service.store.database.record import Record


class HookEnd(NamedTuple):
    """A hook that was kept, its result, and the answer to its story."""

    claim: HookClaim
    result: HookResult
    answer: Answer


def accept_and_keep(
    record: Record,
    post: Post,
    described: Callable[[Answer], tuple[NewHook, HookResult]],
    *,
    sweep: bool | None = None,
) -> HookEnd:
    """Accepts a post and keeps its hook as `described` for the answer, which must be pure. `sweep`: as in `hooks.keep`.

    All of it stands, or nothing. Raises UnknownSections; IntegrityError where another post was faster. The article is
    locked before the hook, and that before the comparison: nobody locks them in another order."""
    revision = posts.posted_revision(post.article)

    def act(connection: Connection) -> HookEnd:
        answer = accept_within(connection, post, revision)
        new, result = described(answer)
        claim = hooks.keep_within(connection, new, result, post.now, sweep=sweep)
        return HookEnd(claim, result, answer)

    return record.write(act)
