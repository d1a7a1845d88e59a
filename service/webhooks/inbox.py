"""The inbox of a receiver: drops repeats, keeps the newest revision of each article, as docs/partners.md has it.

It keeps everything in memory: for trying things out, not for production.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

IDS_MAX = 100_000


@dataclass(frozen=True)
class ReceivedPush:
    """One verified push. `result` is stored, repeat (its id was seen) or stale (a newer revision is there)."""

    at: datetime
    id: str
    type: str
    article: str
    revision: int
    status: str
    headline: str | None
    sequence: int | None
    result: str
    message: dict[str, Any] = field(repr=False)


class NotAPush(ValueError):
    """The body is signed well but is no push; the text says what is missing."""


class Inbox:
    """Per article the `data` of its newest revision. Safe for many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: dict[str, None] = {}  # the oldest first
        self.articles: dict[str, dict[str, Any]] = {}
        self.sequence = 0

    def take(
        self, message_id: str, message: dict[str, Any], sequence: int | None, at: datetime
    ) -> ReceivedPush:
        """Stores the push unless it is a repeat or stale. Raises NotAPush."""
        data = _data(message)
        article, revision = data["article"], data["revision"]
        with self._lock:
            newest = self.articles.get(article)
            if message_id in self._ids:
                result = "repeat"
            elif newest and revision <= newest["revision"]:
                result = "stale"
            else:
                result = "stored"
                self.articles[article] = data
            self._remember(message_id)
            self.sequence = max(self.sequence, sequence or 0)
        return ReceivedPush(
            at=at,
            id=message_id,
            type=message["type"],
            article=article,
            revision=revision,
            status=data["status"],
            headline=data.get("headline"),
            sequence=sequence,
            result=result,
            message=message,
        )

    def _remember(self, message_id: str) -> None:
        self._ids[message_id] = None
        if len(self._ids) > IDS_MAX:
            del self._ids[next(iter(self._ids))]


def _data(message: Any) -> dict[str, Any]:
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, dict) or not isinstance(message.get("type"), str):
        raise NotAPush("a push is {type, timestamp, data}")
    for name, kind in (("article", str), ("revision", int), ("status", str)):
        if not isinstance(data.get(name), kind):
            raise NotAPush(f"data.{name} is missing or of the wrong kind")
    return data


def text_line(push: ReceivedPush, name: str = "") -> str:
    """One push for people: time, type, revision, article, headline, sequence."""
    note = {
        "stored": "",
        "repeat": "  (repeat, dropped)",
        "stale": "  (not newer than the revision here, ignored)",
    }
    parts = [
        f"{push.at:%H:%M:%S}",
        *([name] if name else []),
        push.type,
        f"r{push.revision}",
        push.article,
        push.headline or f"({push.status})",
        f"#{push.sequence}" if push.sequence is not None else "",
    ]
    line = "  ".join(part for part in parts if part) + note[push.result]
    return "".join(character if character.isprintable() else " " for character in line)


def json_line(push: ReceivedPush) -> str:
    facts = asdict(push) | {"at": push.at.isoformat()}
    return json.dumps(facts, ensure_ascii=False)
