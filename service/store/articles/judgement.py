"""The judgement of a post: its content made whole, its times, and the event that it makes of the article as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from service.store.articles import current_article, posts
from service.store.articles.current_article import CurrentArticle
from service.store.articles.lifecycle import (
    CHANGED_SINCE,
    ArticleState,
    Change,
    Stale,
    StoryIdentity,
    Terms,
    Verdict,
    as_of,
    fingerprints,
    is_another,
    is_surely_newer,
    judge,
    with_status,
)
from service.store.articles.posts import Post, PostedRevision
from service.store.content import read
from service.store.database.sql import Statement
from service.store.errors import UnknownSections
from service.store.feeds import sections
from service.store.schema.base import from_micros
from service.times import from_iso

SURELY_LATER = timedelta(minutes=1)  # after a takedown came: a source's clock may be so much ahead of ours


def verdict(post: Post, revision: PostedRevision, current: CurrentArticle | None) -> Verdict:
    """The event that the post makes; a post that waited makes none where the story went on without it.

    It brings back nothing that was taken down meanwhile, though it be newer than the last text: a takedown has no time
    of its own in most systems, so that the post may be older than it.
    """
    found = judge(current.state if current else None, revision.state, takedown=post.article.is_takedown)
    if not isinstance(found, Change) or current is None or post.received_at is None:
        return found
    if current.changed_at < post.received_at:
        return found
    brings_back = current.state.status != "usable" and revision.state.status == "usable"
    if is_surely_newer(current.state, revision.state) and not brings_back:
        return found
    return Stale(CHANGED_SINCE)


def as_of_now(
    connection: Connection, post: Post, revision: PostedRevision, current: CurrentArticle | None
) -> PostedRevision:
    """The post with the state that its times leave it in."""
    if post.article.is_takedown:
        return revision
    same = current is not None and revision.state.is_content_of(current.state)
    if same and current is not None and current.expires_at is None and current.state.status == "usable":
        return revision  # it expired, and the desk brought it back: it stays until its source says otherwise
    times = terms(connection, current, post.article.embargo_until, post.article.expires_at, post.now)
    return PostedRevision(revision.content, as_of(post.now, revision.state, revision.content, times))


def terms(
    connection: Connection,
    current: CurrentArticle | None,
    embargo_until: datetime | None,
    expires_at: datetime | None,
    now: datetime,
) -> Terms:
    """The times that an article is to have, with whether it was public."""
    embargoed = current is not None and embargo_until is not None and embargo_until > now
    public = embargoed and current is not None and current_article.was_public(connection, current.id, now)
    return Terms(embargo_until, expires_at, public)


def is_reused(connection: Connection, post: Post, current: CurrentArticle) -> bool:
    """Whether the post is another story than the one that had its id until that was deleted."""
    posted = post.article
    deleted = current.state.status in ("unpublished", "killed") and not current.state.killed_by_desk
    if posted.is_takedown or posted.content is None or not deleted:
        return False
    if posted.created_at is None and "published_at" not in posted.content:
        return False
    content = read(current_article.current_content(connection, current))
    held = StoryIdentity(current.created_at, _moment(content.get("published_at")), content.get("headline"))
    new = _moment(posted.content.get("published_at"))
    return is_another(held, StoryIdentity(posted.created_at, new, posted.content.get("headline")))


def _moment(written: str | None) -> datetime | None:
    return None if written is None else from_iso(written)


def complete(
    connection: Connection, post: Post, revision: PostedRevision | None, current: CurrentArticle | None
) -> CompletePost:
    """As posted, or with the article's own content when a takedown came without. Raises UnknownSections.

    The very story that the desk killed does not come back because its source gave it another id. A story whose takedown
    came before it is taken down, if that was the later of the two.
    """
    if revision is None:
        assert current is not None, "a takedown of what was never here has nothing to be made whole by"
        return CompletePost(
            posts.with_content(post.article, current_article.current_content(connection, current))
        )
    known = _known(connection, post, revision.content)
    if unknown := [slug for slug in post.article.sections if slug not in known.names]:
        raise UnknownSections(unknown, sorted(known.names))
    if current is not None:
        return CompletePost(revision)
    if known.taken_down is not None and is_surely_newer(revision.state, known.taken_down):
        ended = with_status(known.taken_down, known.taken_down.status, revision.content)
        revision = PostedRevision(revision.content, ended)
    killed = None if known.killed is None else current_article.lock_by_id(connection, known.killed)
    return CompletePost(revision, killed, _is_taken_down_since(post, revision.state, known))


def _is_taken_down_since(post: Post, state: ArticleState, known: _DeskFacts) -> bool:
    """Whether a takedown has come since a story that waited, or whose hook may have been overtaken, and nothing says
    that the story is newer. One that is taken down as it arrives is no such story."""
    if post.received_at is None or known.taken_down is None or known.taken_down_at is None:
        return False
    if state.status != "usable" or known.taken_down_at <= post.received_at:
        return False
    is_later = state.updated_at is not None and state.updated_at > known.taken_down_at + SURELY_LATER
    return not (is_later or is_surely_newer(known.taken_down, state))


@dataclass(frozen=True)
class CompletePost:
    """A post made whole. `killed`: the article that the desk killed with this very content. `is_overtaken`: a takedown
    came before this story, and nothing says which of the two was first."""

    revision: PostedRevision
    killed: CurrentArticle | None = None
    is_overtaken: bool = False


@dataclass(frozen=True)
class _DeskFacts:
    """The names of sections that a post may use; the article that the desk killed with the post's very content, the
    newest of several; and the state in which an early takedown leaves the post's story, with the time when it came."""

    names: set[str]
    killed: int | None
    taken_down: ArticleState | None
    taken_down_at: datetime | None


def _known(connection: Connection, post: Post, content: str) -> _DeskFacts:
    """All in one question, because each is a way to the server and back."""
    killed = fingerprints("killed", content)
    rows = _KNOWN.rows(
        connection,
        source=post.source.id,
        external_id=post.article.external_id,
        killed=killed.essential,
        to_the_letter=killed.to_the_letter or killed.essential,
    )
    early = next((row for row in rows if row[2] is not None), None)
    return _DeskFacts(
        names={row[0] for row in rows if row[0] is not None},
        killed=next((row[1] for row in rows if row[1] is not None), None),
        taken_down=None if early is None else _state(*early[2:5]),
        taken_down_at=None if early is None else from_micros(early[5]),
    )


def _state(status: str, version: int | None, updated_at: int | None) -> ArticleState:
    return ArticleState(status, "", version, None if updated_at is None else from_micros(updated_at))


_KNOWN = Statement(f"""
    SELECT n.slug, CAST(NULL AS bigint), CAST(NULL AS text), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint)
    FROM ({sections.NAMES}) n
    UNION ALL SELECT NULL, max(id), NULL, NULL, NULL, NULL FROM article
    WHERE killed_by_desk AND source_id = :source AND content_hash IN (:killed, :to_the_letter)
    UNION ALL SELECT NULL, NULL, status, version, source_updated_at, received_at FROM early_takedown
    WHERE source_id = :source AND external_id = :external_id""")
