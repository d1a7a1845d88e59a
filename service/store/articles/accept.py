"""Articles into the record: one transaction makes the revision and its event, and supersedes what still waits.

Everything here is safe to run twice: an idempotency key gives the first answer again, the same content is a repeat.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from service.store import audit, names
from service.store.articles import idempotency, posts, revisions
from service.store.articles.idempotency import Answer
from service.store.articles.lifecycle import (
    CHANGED_SINCE,
    KILLED_BY_DESK,
    ArticleState,
    Change,
    Repeat,
    Stale,
    Terms,
    Verdict,
    as_of,
    fingerprint,
    is_surely_newer,
    judge,
)
from service.store.articles.posts import Post, PostedRevision
from service.store.articles.revisions import CurrentArticle, NewArticle, RevisionDraft
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.errors import ChangedMeanwhile, ContentMissing, NotFound, NotPossible, UnknownSections
from service.store.feeds import sections
from service.times import to_iso

_TRIES = 4  # two posts of a new article at once: the second finds what the first wrote


def accept(record: Record, post: Post) -> Answer:
    """Records a post. Raises KeyReused, UnknownSections, ContentMissing, ChangedMeanwhile; then nothing was changed."""
    revision = posts.posted_revision(post.article)
    for last in range(_TRIES, 0, -1):
        try:
            with record.writing() as connection:
                return accept_within(connection, post, revision)
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
            current = revisions.lock_by_id(connection, article_id)
            if current is not None:
                _set_status(connection, current, "unpublished", "system", "expired", now)
    return len(ids)


def return_due(record: Record, now: datetime, limit: int = 100) -> int:
    """Brings back what its own embargo took from the public, at its time, each as an event; returns how many."""
    with record.writing() as connection:
        ids = [number for (number,) in _RETURNING.rows(connection, now=now, limit=limit)]
        for article_id in ids:
            current = revisions.lock_by_id(connection, article_id)
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
    current = revisions.lock_by_source(connection, post.source.id, post.article.external_id)
    if post.of_revision is not None and post.of_revision != (current.revision if current else 0):
        raise ChangedMeanwhile(post.article.external_id)
    revision, killed = _complete(connection, post, revision, current)
    if killed is not None:
        answer = revisions.current_answer(connection, killed, "stale")
        _note_stale(connection, post, killed, KILLED_BY_DESK)
        idempotency.store_answer(connection, post, answer)
        return answer
    revision = _as_of_now(connection, post, revision, current)
    match _verdict(post, revision, current):
        case Repeat():
            assert current is not None
            revisions.raise_version(connection, current, revision.state)
            # No revision is stored, but the key's answer is: a client that had none posts the same again, perhaps
            # after a newer story, and its old content must not become a revision then.
            answer = revisions.current_answer(connection, current, "repeat")
        case Stale(why=why):
            assert current is not None
            answer = revisions.current_answer(connection, current, "stale")
            _note_stale(connection, post, current, why)
        case Change(type=kind):
            answer = _change(connection, post, revision, current, kind)
    idempotency.store_answer(connection, post, answer)
    return answer


def _verdict(post: Post, revision: PostedRevision, current: CurrentArticle | None) -> Verdict:
    """The event that the post makes; a post that waited makes none where the story went on without it."""
    verdict = judge(current.state if current else None, revision.state)
    if not isinstance(verdict, Change) or current is None or post.received_at is None:
        return verdict
    if current.changed_at < post.received_at or is_surely_newer(current.state, revision.state):
        return verdict
    return Stale(CHANGED_SINCE)


def _as_of_now(
    connection: Connection, post: Post, revision: PostedRevision, current: CurrentArticle | None
) -> PostedRevision:
    """The post with the state that its times leave it in."""
    same = current is not None and current.state.fingerprint == revision.state.fingerprint
    if same and current is not None and current.expires_at is None and current.state.status == "usable":
        return revision  # it expired, and the desk brought it back: it stays until its source says otherwise
    times = _terms(connection, current, post.article.embargo_until, post.article.expires_at, post.now)
    return PostedRevision(revision.content, as_of(post.now, revision.state, revision.content, times))


def _terms(
    connection: Connection,
    current: CurrentArticle | None,
    embargo_until: datetime | None,
    expires_at: datetime | None,
    now: datetime,
) -> Terms:
    embargoed = current is not None and embargo_until is not None and embargo_until > now
    public = embargoed and current is not None and revisions.was_public(connection, current.id, now)
    return Terms(embargo_until, expires_at, public)


def _note_stale(connection: Connection, post: Post, current: CurrentArticle, why: str) -> None:
    audit.note(
        connection,
        actor=f"source:{post.source.slug}",
        action="article.stale",
        target=current.public_id,
        detail={"why": why, "version": post.article.version, "status": post.article.status},
        now=post.now,
    )


def _complete(
    connection: Connection, post: Post, revision: PostedRevision | None, current: CurrentArticle | None
) -> tuple[PostedRevision, CurrentArticle | None]:
    """As posted, or with the article's own content when a takedown came without.

    The very story that the desk killed does not come back because its source gave it another id: it is returned too.
    """
    if revision is None:
        if current is None:
            raise ContentMissing(post.article.external_id)
        return posts.with_content(post.article, revisions.current_content(connection, current)), None
    known, killed = _known(connection, post.source.id, fingerprint("killed", revision.content))
    if unknown := [slug for slug in post.article.sections if slug not in known]:
        raise UnknownSections(unknown, sorted(known))
    if current is not None or killed is None:
        return revision, None
    return revision, revisions.lock_by_id(connection, killed)


def _known(connection: Connection, source_id: int, killed: str) -> tuple[set[str], int | None]:
    """The names of sections that a post may use, and the article that the desk killed with the content of this
    fingerprint; the newest of several. One question, because each is a way to the server and back."""
    rows = _KNOWN.rows(connection, source=source_id, killed=killed)
    return {slug for slug, _ in rows if slug is not None}, next((each for _, each in rows if each), None)


_KNOWN = Statement(f"""
    {sections.NAMES}
    UNION ALL SELECT NULL, max(id) FROM article
    WHERE killed_by_desk AND source_id = :source AND content_hash = :killed""")


def _change(
    connection: Connection,
    post: Post,
    revision: PostedRevision,
    current: CurrentArticle | None,
    kind: str,
) -> Answer:
    posted = post.article
    dated = current if posted.content is None and current is not None else posted
    new = RevisionDraft(
        type=kind,
        content=revision.content,
        state=revision.state,
        embargo_until=dated.embargo_until,
        expires_at=dated.expires_at,
        changed_at=post.now if current is None else current.next_change(post.now),
        now=post.now,
        actor=f"source:{post.source.slug}",
        reason=posted.reason,
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
        # A time ahead would hide the story or lead every list: feeds then have the time of its arrival.
        first_published_at=min(datetime.fromisoformat(published), post.now) if published else post.now,
    )


def _by_desk(
    connection: Connection, name: str, status: str, actor: str, reason: str | None, now: datetime
) -> Answer:
    number = names.find_article(connection, name)
    current = None if number is None else revisions.lock_by_id(connection, number)
    if current is None:
        raise NotFound("article", name)
    if current.state.status == status == "usable":
        raise NotPossible(f"the article {name!r} is usable already: there is nothing to restore")
    if current.state.status == status and current.state.killed_by_desk:
        return revisions.current_answer(connection, current, "repeat")
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
    content = revisions.current_content(connection, current)
    state: ArticleState = replace(
        current.state,
        status=status,
        fingerprint=fingerprint(status, content),
        killed_by_desk=status == "killed" and actor != "system",
        returns_at=None,
    )
    # An expiry that has passed was obeyed: restored, the article stays until its source says otherwise.
    expires_at = current.expires_at if current.expires_at and current.expires_at > now else None
    state = as_of(now, state, content, _terms(connection, current, current.embargo_until, expires_at, now))
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
