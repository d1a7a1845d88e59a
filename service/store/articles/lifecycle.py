"""What a source's post means: the event, worked out from the state held and the state posted. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class State:
    """An article as held, or as posted. `fingerprint` covers all that a reader or partner could see change."""

    status: str
    fingerprint: str
    version: int | None
    updated_at: datetime | None
    corrected: bool = False  # posted with a correction note
    killed_by_desk: bool = False


@dataclass(frozen=True)
class Change:
    """A new revision, with the type of its event."""

    type: str


@dataclass(frozen=True)
class Repeat:
    """Nothing changed: nothing is stored, nothing is sent."""


@dataclass(frozen=True)
class Stale:
    """Older than what is held: recorded, and changes nothing."""

    why: str


Verdict = Change | Repeat | Stale

_TYPE_OF_STATUS = {
    "withheld": "article.withheld",
    "killed": "article.killed",
    "unpublished": "article.unpublished",
}


def judge(held: State | None, posted: State) -> Verdict:
    """The event a post makes (interface.md, "The service works out the event")."""
    if held is None:
        return Change(_TYPE_OF_STATUS.get(posted.status, "article.published"))
    if older := _older(held, posted):
        return Stale(older)
    if posted.fingerprint == held.fingerprint:
        return Repeat()
    if held.status == "killed" and posted.status != "killed":
        return _revive(held, posted)
    return Change(_type_of_change(held, posted))


def _type_of_change(held: State, posted: State) -> str:
    if posted.status in _TYPE_OF_STATUS:
        # Also when the status stays: what changes in a story taken down is told as the takedown again, not as news.
        return _TYPE_OF_STATUS[posted.status]
    if held.status != "usable":
        return "article.restored"
    return "article.corrected" if posted.corrected else "article.updated"


def _revive(held: State, posted: State) -> Verdict:
    """A killed story comes back only by something that is surely later than the kill, and never past the desk's own.

    A content system that repeats an old post without a version must not bring a killed story back to every outlet.
    """
    if held.killed_by_desk:
        return Stale("the desk killed this article; only an operator can restore it: dateline restore")
    if posted.status != "usable":
        return Stale("the article is killed, which no other takedown replaces")
    if not _surely_newer(held, posted):
        return Stale("the article is killed; to restore it, post a higher version or a later updated_at")
    return Change("article.restored")


def _older(held: State, posted: State) -> str | None:
    if held.version is not None and posted.version is not None and held.version != posted.version:
        return (
            None
            if posted.version > held.version
            else f"version {posted.version} is older than {held.version}"
        )
    if held.updated_at is not None and posted.updated_at is not None and posted.updated_at < held.updated_at:
        return f"updated_at {posted.updated_at.isoformat()} is older than {held.updated_at.isoformat()}"
    return None


def _surely_newer(held: State, posted: State) -> bool:
    if held.version is not None and posted.version is not None:
        return posted.version > held.version
    return (
        held.updated_at is not None and posted.updated_at is not None and posted.updated_at > held.updated_at
    )
