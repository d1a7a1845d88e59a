"""Articles into the record: one transaction makes the revision and its event, and supersedes what still waits.

Everything here is safe to run twice: an idempotency key gives the first answer again, the same content is a repeat.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from service.store import audit, names
from service.store.articles import current_article, early_takedowns, idempotency, judgement, posts, revisions
from service.store.articles.current_article import CurrentArticle
from service.store.articles.idempotency import NOTHING_TO_DO, TAKEN_DOWN_BEFORE, Answer
from service.store.articles.lifecycle import (
    KILLED_BY_DESK,
    Change,
    Repeat,
    Stale,
    as_of,
    in_its_order,
    not_ahead,
    with_status,
)
from service.store.articles.posts import Post, PostedRevision
from service.store.articles.revisions import NewArticle, RevisionDraft
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.errors import ChangedMeanwhile, NotFound, NotPossible
from service.times import to_iso

_TRIES = 4  # two posts of a new article at once: the second finds what the first wrote


def accept(record: Record, post: Post) -> Answer:
    """Records a post. Raises KeyReused, UnknownSections, ChangedMeanwhile; then nothing was changed."""
    revision = posts.posted_revision(post.article)
    for last in range(_TRIES, 0, -1):
        try:
            return record.write(lambda connection: accept_within(connection, post, revision))
        except IntegrityError:
            if last == 1:
                raise
    raise AssertionError("unreachable")


def kill(connection: Connection, name: str, reason: str, actor: str, now: datetime) -> Answer:
    """The desk kills an article everywhere; its source cannot bring it back. Killed already: a repeat."""
    return _by_desk(connection, name, "killed", actor, reason, now)


def restore(connection: Connection, name: str, reason: str | None, actor: str, now: datetime) -> Answer:
    """The desk brings back an article that was taken down: at once, or when its embargo ends.

    Raises NotPossible for one that is usable, or that returns by itself.
    """
    return _by_desk(connection, name, "usable", actor, reason, now)


def expire_due(record: Record, now: datetime, limit: int = 100) -> int:
    """Unpublishes what has expired, each as an event of its own; returns how many."""
    with record.writing() as connection:
        ids = [number for (number,) in _EXPIRED.rows(connection, now=now, limit=limit)]
        for article_id in ids:
            current = current_article.lock_by_id(connection, article_id)
            if current is not None:
                _set_status(connection, current, "unpublished", "system", "expired", now)
    return len(ids)


def return_due(record: Record, now: datetime, limit: int = 100) -> int:
    """Brings back what its own embargo took from the public, at its time, each as an event; returns how many."""
    with record.writing() as connection:
        ids = [number for (number,) in _RETURNING.rows(connection, now=now, limit=limit)]
        for article_id in ids:
            current = current_article.lock_by_id(connection, article_id)
            if current is None:
                continue
            if current.state.returns_at is None:
                revisions.forget_return(connection, current)
            else:
                status = "unpublished" if current.expires_at and current.expires_at <= now else "usable"
                _set_status(connection, current, status, "system", "the embargo has ended", now)
    return len(ids)


_RETURNING = Statement(
    "SELECT id FROM article WHERE returns_at IS NOT NULL AND status = 'withheld' AND returns_at <= :now"
    " ORDER BY returns_at LIMIT :limit",
    locking=" FOR UPDATE SKIP LOCKED",
)
_EXPIRED = Statement(
    "SELECT id FROM article WHERE expires_at IS NOT NULL AND status = 'usable' AND expires_at <= :now"
    " ORDER BY expires_at LIMIT :limit",
    locking=" FOR UPDATE SKIP LOCKED",
)


def accept_within(connection: Connection, post: Post, revision: PostedRevision | None) -> Answer:
    """The same in a transaction of the caller's; an IntegrityError says that another was faster."""
    if (answer := idempotency.find_answer(connection, post)) is not None:
        return answer
    current = current_article.lock_by_source(connection, post.source.id, post.article.external_id)
    if current is not None and (state := not_ahead(current.state, post.now)) is not current.state:
        current = replace(current, state=state)
    if post.of_revision is not None and post.of_revision != (current.revision if current else 0):
        raise ChangedMeanwhile(post.article.external_id)
    if current is None and revision is None:
        early_takedowns.note(connection, post)
        idempotency.store_answer(connection, post, NOTHING_TO_DO)
        return NOTHING_TO_DO
    if current is not None and judgement.is_reused(connection, post, current):
        revisions.give_up_id(connection, current)
        current = None
    complete = judgement.complete(connection, post, revision, current)
    if complete.killed is not None:
        answer = current_article.current_answer(connection, complete.killed, "stale")
        _note_stale(connection, post, complete.killed, KILLED_BY_DESK)
        idempotency.store_answer(connection, post, answer)
        return answer
    if complete.is_overtaken:
        idempotency.store_answer(connection, post, TAKEN_DOWN_BEFORE)
        return TAKEN_DOWN_BEFORE
    revision = judgement.as_of_now(connection, post, complete.revision, current)
    match judgement.verdict(post, revision, current):
        case Repeat():
            assert current is not None
            revisions.raise_version(connection, current, revision.state)
            # No revision is stored, but the key's answer is: a client that had none posts the same again, perhaps
            # after a newer story, and its old content must not become a revision then.
            answer = current_article.current_answer(connection, current, "repeat")
        case Stale(why=why):
            assert current is not None
            answer = current_article.current_answer(connection, current, "stale")
            _note_stale(connection, post, current, why)
        case Change(type=kind):
            return _change(connection, post, revision, current, kind)
    idempotency.store_answer(connection, post, answer)
    return answer


def _note_stale(connection: Connection, post: Post, current: CurrentArticle, why: str) -> None:
    audit.note(
        connection,
        actor=f"source:{post.source.slug}",
        action="article.stale",
        target=current.public_id,
        detail={"why": why, "version": post.article.version, "status": post.article.status},
        now=post.now,
    )


def _change(
    connection: Connection,
    post: Post,
    revision: PostedRevision,
    current: CurrentArticle | None,
    kind: str,
) -> Answer:
    posted = post.article
    state = revision.state
    if posted.is_takedown and current is not None:
        state = in_its_order(current.state, state)
    dated = current if posted.content is None and current is not None else posted
    new = RevisionDraft(
        type=kind,
        content=revision.content,
        state=state,
        embargo_until=dated.embargo_until,
        expires_at=dated.expires_at,
        changed_at=post.now if current is None else current.next_change(post.now),
        now=post.now,
        actor=f"source:{post.source.slug}",
        reason=posted.reason,
        answered=lambda answer: idempotency.stored(post, answer),
    )
    if current is None:
        return revisions.create(connection, _new_article(post), new)
    return revisions.advance(connection, current, new)


def _new_article(post: Post) -> NewArticle:
    published = (post.article.content or {}).get("published_at")
    return NewArticle(
        public_id=names.new_article_id(post.authority, post.now),
        source_id=post.source.id,
        external_id=post.article.external_id,
        source_created_at=post.article.created_at,
        # A time ahead would hide the story or lead every list: feeds then have the time of its arrival.
        first_published_at=min(datetime.fromisoformat(published), post.now) if published else post.now,
    )


def _by_desk(
    connection: Connection, name: str, status: str, actor: str, reason: str | None, now: datetime
) -> Answer:
    number = names.find_article(connection, name)
    current = None if number is None else current_article.lock_by_id(connection, number)
    if current is None:
        raise NotFound("article", name)
    if current.state.status == status == "usable":
        raise NotPossible(f"the article {name!r} is usable already: there is nothing to restore")
    if current.state.status == status and current.state.killed_by_desk:
        return current_article.current_answer(connection, current, "repeat")
    if status == "usable" and current.state.returns_at is not None and current.state.returns_at > now:
        raise NotPossible(
            f"the article {name!r} is under embargo: it returns by itself at {to_iso(current.state.returns_at)};"
            " to have it back sooner, let its source lift the embargo"
        )
    return _set_status(connection, current, status, actor, reason, now)


def _set_status(
    connection: Connection,
    current: CurrentArticle,
    status: str,
    actor: str,
    reason: str | None,
    now: datetime,
) -> Answer:
    content = current_article.current_content(connection, current)
    state = replace(
        with_status(current.state, status, content),
        killed_by_desk=status == "killed" and actor != "system",
        returns_at=None,
    )
    # An expiry that has passed was obeyed: restored, the article stays until its source says otherwise.
    expires_at = current.expires_at if current.expires_at and current.expires_at > now else None
    state = as_of(
        now, state, content, judgement.terms(connection, current, current.embargo_until, expires_at, now)
    )
    new = RevisionDraft(
        type="article.restored" if state.status == "usable" else f"article.{state.status}",
        content=content,
        state=state,
        embargo_until=current.embargo_until,
        expires_at=expires_at,
        changed_at=current.next_change(now),
        now=now,
        actor=actor,
        reason=reason,
    )
    return revisions.advance(connection, current, new)
