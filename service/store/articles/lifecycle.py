"""The lifecycle of an article: the event that a post makes, decided from the current state and the posted one. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

BELIEVED_AHEAD = timedelta(minutes=5)  # a time further ahead than this is no evidence of order
_SECOND = timedelta(seconds=1)
_Ordered = TypeVar("_Ordered", int, datetime)


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
    # The fingerprint of the content to the letter, as versions before this one made it; empty: it is no other.
    to_the_letter: str = ""

    def is_content_of(self, current: ArticleState) -> bool:
        """Whether nobody could see a difference between the two."""
        return current.fingerprint in (self.fingerprint, self.to_the_letter)


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


class Fingerprints(NamedTuple):
    """An article's content with its status: without what changes nothing for a reader, and as versions before this one
    made it, to the letter; that is empty if it is no other."""

    essential: str
    to_the_letter: str


def fingerprints(status: str, content: str) -> Fingerprints:
    """The fingerprints of an article with this status and this canonical content."""
    core = essence(content)
    return Fingerprints(_digest(status, core), "" if core == content else _digest(status, content))


def _digest(status: str, content: str) -> str:
    return hashlib.sha256(f"{status}\n{content}".encode()).hexdigest()


def essence(content: str) -> str:
    """The canonical content without what changes nothing for a reader: fractions of seconds, the order of keywords.

    It is looked for in the text, which takes a fraction of the time of reading the whole.
    """
    start = content.find(_KEYWORDS)
    if start >= 0:
        words, end = _DECODER.raw_decode(content, start + len(_KEYWORDS) - 1)
        if words != (ordered := sorted(words)):
            listed = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
            content = f"{content[:start]}{_KEYWORDS[:-1]}{listed}{content[end:]}"
    for name in _TIMES:
        at = content.find(name)
        if at >= 0 and (found := _FRACTION.match(content, at + len(name))):
            content = content[: found.start(1)] + content[found.end(1) :]
    return content


_KEYWORDS = '"keywords":['
_TIMES = ('"published_at":"', '"embargo_until":"', '"expires_at":"')
_FRACTION = re.compile(r"[0-9T:-]{19}(\.[0-9]+)")
_DECODER = json.JSONDecoder()


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
        return with_status(posted, "unpublished", content)
    if terms.was_public and terms.embargo_until is not None and terms.embargo_until > now:
        return replace(with_status(posted, "withheld", content), returns_at=terms.embargo_until)
    return posted


def with_status(state: ArticleState, status: str, content: str) -> ArticleState:
    """The state with another status, or of another content."""
    found = fingerprints(status, content)
    return replace(state, status=status, fingerprint=found.essential, to_the_letter=found.to_the_letter)


CHANGED_SINCE = "the story has changed since this came, and nothing says that this is newer"
KILLED_BY_DESK = "the desk killed this article; only an operator can restore it: dateline restore ARTICLE"
_TYPE_OF_STATUS = {
    "withheld": "article.withheld",
    "killed": "article.killed",
    "unpublished": "article.unpublished",
}


def judge(current: ArticleState | None, posted: ArticleState, *, takedown: bool = False) -> Verdict:
    """The event a post makes (interface.md, "The service works out the event").

    `takedown`: its source takes the article down. Then no clock makes it stale: only a version does.
    """
    if current is None:
        return Change(_TYPE_OF_STATUS.get(posted.status, "article.published"))
    if older := _older(current, posted, takedown=takedown):
        return Stale(older)
    if posted.is_content_of(current) and _to_seconds(posted.returns_at) == _to_seconds(current.returns_at):
        return Repeat()
    if current.status == "killed" and current.killed_by_desk:
        return Stale(KILLED_BY_DESK)
    if current.status == "killed" and posted.status != "killed":
        return _revive(current, posted)
    return Change(_type_of_change(current, posted))


def _to_seconds(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(microsecond=0)


def not_ahead(current: ArticleState, now: datetime) -> ArticleState:
    """The state without a time that lies ahead: a source's clock, or its schedule, wrote it."""
    if current.updated_at is None or current.updated_at <= now + BELIEVED_AHEAD:
        return current
    return replace(current, updated_at=None)


def in_its_order(current: ArticleState, posted: ArticleState) -> ArticleState:
    """A takedown's state, in an order that no older post is newer than.

    A kill without a version or a time has none: nothing is surely newer than it.
    """
    timeless = posted.status == "killed" and posted.updated_at is None
    unnumbered = posted.status == "killed" and posted.version is None
    return replace(
        posted,
        version=None if unnumbered else later(current.version, posted.version),
        updated_at=None if timeless else later(current.updated_at, posted.updated_at),
    )


def later(one: _Ordered | None, other: _Ordered | None) -> _Ordered | None:
    """The later of two versions or times, of which either may be missing."""
    return one if other is None or (one is not None and one > other) else other


@dataclass(frozen=True)
class StoryIdentity:
    """The marks by which two stories of one id are told apart."""

    created_at: datetime | None
    published_at: datetime | None
    headline: str | None


def is_another(held: StoryIdentity, posted: StoryIdentity) -> bool:
    """Whether a system has given the id of a story that it deleted to another one.

    Some systems give a story a new time of publication each time: by itself it says nothing.
    """
    if held.created_at is not None and posted.created_at is not None:
        return abs(held.created_at - posted.created_at) >= _SECOND
    if held.published_at is None or posted.published_at is None:
        return False
    return abs(held.published_at - posted.published_at) >= _SECOND and held.headline != posted.headline


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


def _older(current: ArticleState, posted: ArticleState, *, takedown: bool) -> str | None:
    if current.version is not None and posted.version is not None and current.version != posted.version:
        return (
            None
            if posted.version > current.version
            else f"version {posted.version} is older than {current.version}"
        )
    if (
        not takedown
        and current.updated_at is not None
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
