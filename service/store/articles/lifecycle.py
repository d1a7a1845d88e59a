"""The lifecycle of an article: the event that a post makes, decided from the current state and the posted one. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True)
class ArticleState:
    """An article as it is, or as a post would have it. `fingerprint` covers all that a reader or partner could see
    change, and the status.

    `returns_at`: it is withheld by its own embargo alone, and usable again then.
    """

    status: str
    fingerprint: str
    version: int | None
    updated_at: datetime | None
    corrected: bool = False  # posted with a correction note
    killed_by_desk: bool = False
    returns_at: datetime | None = None


@dataclass(frozen=True)
class Change:
    """A new revision, with the type of its event."""

    type: str


@dataclass(frozen=True)
class Repeat:
    """Nothing changed: nothing is stored, nothing is sent."""


@dataclass(frozen=True)
class Stale:
    """Older than the current state: recorded, and changes nothing."""

    why: str


def fingerprint(status: str, content: str) -> str:
    """The fingerprint of an article with this status and this canonical content."""
    return hashlib.sha256(f"{status}\n{content}".encode()).hexdigest()


Verdict = Change | Repeat | Stale


@dataclass(frozen=True)
class Terms:
    """The times that a post sets its article. `was_public`: some revision of it was, or is."""

    embargo_until: datetime | None
    expires_at: datetime | None
    was_public: bool


def as_of(now: datetime, posted: ArticleState, content: str, terms: Terms) -> ArticleState:
    """The state in which a usable article is at `now`: what has expired is unpublished, and never public again by
    this content; what was public and is under embargo is withheld until that ends."""
    if posted.status != "usable":
        return posted
    if terms.expires_at is not None and terms.expires_at <= now:
        return replace(posted, status="unpublished", fingerprint=fingerprint("unpublished", content))
    if terms.was_public and terms.embargo_until is not None and terms.embargo_until > now:
        held = fingerprint("withheld", content)
        return replace(posted, status="withheld", fingerprint=held, returns_at=terms.embargo_until)
    return posted


CHANGED_SINCE = "the story has changed since this came, and nothing says that this is newer"
KILLED_BY_DESK = "the desk killed this article; only an operator can restore it: dateline restore ARTICLE"
_TYPE_OF_STATUS = {
    "withheld": "article.withheld",
    "killed": "article.killed",
    "unpublished": "article.unpublished",
}


def judge(current: ArticleState | None, posted: ArticleState) -> Verdict:
    """The event a post makes (interface.md, "The service works out the event")."""
    if current is None:
        return Change(_TYPE_OF_STATUS.get(posted.status, "article.published"))
    if older := _older(current, posted):
        return Stale(older)
    if posted.fingerprint == current.fingerprint and posted.returns_at == current.returns_at:
        return Repeat()
    if current.status == "killed" and current.killed_by_desk:
        return Stale(KILLED_BY_DESK)
    if current.status == "killed" and posted.status != "killed":
        return _revive(current, posted)
    return Change(_type_of_change(current, posted))


def _type_of_change(current: ArticleState, posted: ArticleState) -> str:
    if posted.status in _TYPE_OF_STATUS:
        # Also when the status stays: a change of a story taken down is sent as the takedown again, not as news.
        return _TYPE_OF_STATUS[posted.status]
    if current.status != "usable":
        return "article.restored"
    return "article.corrected" if posted.corrected else "article.updated"


def _revive(current: ArticleState, posted: ArticleState) -> Verdict:
    """A killed story comes back only by something that is surely later than the kill.

    A content system that repeats an old post without a version must not bring a killed story back to every outlet.
    """
    if posted.status != "usable" and posted.returns_at is None:
        return Stale("the article is killed, which no other takedown replaces")
    if not is_surely_newer(current, posted):
        return Stale("the article is killed; to restore it, post a higher version or a later updated_at")
    return Change(_TYPE_OF_STATUS.get(posted.status, "article.restored"))


def _older(current: ArticleState, posted: ArticleState) -> str | None:
    if current.version is not None and posted.version is not None and current.version != posted.version:
        return (
            None
            if posted.version > current.version
            else f"version {posted.version} is older than {current.version}"
        )
    if (
        current.updated_at is not None
        and posted.updated_at is not None
        and posted.updated_at < current.updated_at
    ):
        return f"updated_at {posted.updated_at.isoformat()} is older than {current.updated_at.isoformat()}"
    return None


def is_surely_newer(current: ArticleState, posted: ArticleState) -> bool:
    """Whether the source itself says that what it posted is later than the current state."""
    if current.version is not None and posted.version is not None:
        return posted.version > current.version
    return (
        current.updated_at is not None
        and posted.updated_at is not None
        and posted.updated_at > current.updated_at
    )
