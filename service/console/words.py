"""Facts into words for operators, who are not engineers. Pure: the moment `now` is a parameter, all times are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from service.plain_text import printable

# From the calmest to the worst. Each has an icon of its own beside its colour.
LEVELS = ("good", "quiet", "busy", "warn", "bad")


@dataclass(frozen=True)
class Word:
    """A state as it is shown: `level` is one of LEVELS, `icon` names a drawing, `detail` says more, or nothing."""

    level: str
    icon: str
    word: str
    detail: str = ""


@dataclass(frozen=True)
class Summary:
    """The sentence at the top. `remedy`: what to do about it, or nothing."""

    level: str
    sentence: str
    remedy: str = ""


def count(number: int, one: str, many: str | None = None) -> str:
    """'1 partner', '3 partners', '1,204 events'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


EVENT_WORDS = {
    "article.published": "Published",
    "article.updated": "Updated",
    "article.corrected": "Corrected",
    "article.withheld": "Withheld",
    "article.killed": "Killed",
    "article.unpublished": "Unpublished",
    "article.restored": "Restored",
}
NOTICE_WORDS = {
    "endpoint.breaker_opened": "Circuit opened",
    "endpoint.breaker_closed": "Circuit closed",
    "endpoint.paused": "Paused",
    "endpoint.resumed": "Resumed",
    "endpoint.off": "Switched off",
    "endpoint.behind": "Behind",
    "endpoint.rate_changed": "Rate changed",
    "delivery.dead": "Deliveries given up",
    "takedown.late": "Takedown not confirmed",
    "source.takedowns_wait": "Takedowns wait for you",
    "hook.deleted": "Held hooks deleted",
    "feed.too_large": "Feed too large",
    "wal.long": "Log held open",
}
STATUS_WORDS = {
    "usable": Word("good", "good", "Usable"),
    "withheld": Word("warn", "paused", "Withheld"),
    "killed": Word("bad", "off", "Killed"),
    "unpublished": Word("quiet", "none", "Unpublished"),
}
DELIVERY_WORDS = {
    "sending": Word("busy", "sending", "Sending"),
    "pending": Word("busy", "pending", "Pending"),
    "waiting": Word("warn", "retry", "Retrying"),
    "dead": Word("bad", "off", "Given up"),
    "delivered": Word("good", "good", "Delivered"),
    "superseded": Word("quiet", "none", "Superseded"),
    "cancelled": Word("quiet", "none", "Cancelled"),
}
SCHEDULED = Word("quiet", "slow", "Scheduled")


def delivery_word(state: str, due_at: datetime, now: datetime) -> Word:
    """A pending delivery whose time has not come (an embargo) is scheduled."""
    return SCHEDULED if state == "pending" and due_at > now else DELIVERY_WORDS[state]


def delivery_counts(counts: Mapping[str, int]) -> list[tuple[Word, int]]:
    """An event's deliveries by state, what needs attention first."""
    order = ("dead", "waiting", "sending", "pending", "delivered", "superseded", "cancelled")
    return [(DELIVERY_WORDS[state], counts[state]) for state in order if counts.get(state)]


def actor_words(actor: str) -> str:
    """'source:wire' → 'the source wire'."""
    kind, _, name = actor.partition(":")
    if kind == "source" and name:
        return f"the source {name}"
    return {"operator": "an operator", "system": "Dateline itself"}.get(kind, actor)


def sentence(words: str) -> str:
    """The words with a capital first letter, safe to show."""
    return printable(words[:1].upper() + words[1:])


def shown_text(body: bytes) -> str:
    """A partner's answer as text, with a mark for what is not UTF-8 or would move the cursor."""
    text = body.decode("utf-8", errors="replace")
    return printable(text.replace("\r\n", "\n"), keep="\n\t")
