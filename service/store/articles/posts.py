"""Posts: a source's word on what an article is now, with all that it is accepted by. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.store.articles.lifecycle import ArticleState, fingerprints
from service.store.articles.sources import Source
from service.store.content import canonical
from service.times import to_iso


@dataclass(frozen=True)
class PostedArticle:
    """An article as its source describes it: validated, sanitised. `content` keys: docs/architecture.md, "content".

    `content` is None (and `sections` empty) only for a takedown posted without content.
    """

    external_id: str
    content: dict[str, Any] | None
    sections: tuple[str, ...]
    status: str
    version: int | None = None
    updated_at: datetime | None = None
    embargo_until: datetime | None = None
    expires_at: datetime | None = None
    correction_note: str | None = None
    reason: str | None = None
    created_at: datetime | None = None

    @property
    def is_takedown(self) -> bool:
        return self.status != "usable"


@dataclass(frozen=True)
class Post:
    """One request of a source. `key` is its idempotency key, `body_hash` tells its body from any other.

    `authority` is the host name in the public ids of new articles (RFC 4151).

    `received_at`: it came then and is worked on only now; a story that changed since is not changed by it unless it is
    surely newer. `of_revision`: it says what the story was in its system while this was the revision here (0: none).
    """

    source: Source
    article: PostedArticle
    key: str | None
    body_hash: str
    authority: str
    now: datetime
    received_at: datetime | None = None
    of_revision: int | None = None


@dataclass(frozen=True)
class PostedRevision:
    """The canonical content of a post, and the state that it would put its article in."""

    content: str
    state: ArticleState


def posted_revision(posted: PostedArticle) -> PostedRevision | None:
    """None for a takedown posted without content: it takes over the article's own."""
    if posted.content is None:
        return None
    content = {**posted.content, "sections": list(posted.sections)}
    if posted.correction_note is not None:
        content["correction_note"] = posted.correction_note
    for name in ("embargo_until", "expires_at"):
        if (moment := getattr(posted, name)) is not None:
            content[name] = to_iso(moment)
    return with_content(posted, canonical(content))


def with_content(posted: PostedArticle, content: str) -> PostedRevision:
    """The revision of this post with this canonical content."""
    found = fingerprints(posted.status, content)
    state = ArticleState(
        status=posted.status,
        fingerprint=found.essential,
        to_the_letter=found.to_the_letter,
        version=posted.version,
        updated_at=posted.updated_at,
        corrected=posted.correction_note is not None,
    )
    return PostedRevision(content, state)
