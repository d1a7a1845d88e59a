"""A partner as a system's test sees it: the stories that it may show now, by what was pushed to it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.outlet import Outlet

TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class ShownStory:
    """A story as readers see it, at the system or at the partner, without what cleaning may change."""

    headline: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, headline: str, body_html: str) -> ShownStory:
        return cls(html.unescape(headline).strip(), tuple(html.unescape(TAG.sub(" ", body_html)).split()))


class PartnerView:
    """Reads an outlet's pushes by the partners' five rules: the highest revision of each story is what counts."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def newest(self) -> dict[str, dict[str, Any]]:
        """article → the data of its highest revision."""
        found: dict[str, dict[str, Any]] = {}
        for push in list(self._outlet.pushes):
            data = push.data
            held = found.get(data["article"])
            if held is None or data["revision"] >= held["revision"]:
                found[data["article"]] = data
        return found

    def shown(self) -> dict[str, ShownStory]:
        """address → the story, of all that the partner may show."""
        return {
            str(data["url"]): ShownStory.of(str(data["headline"]), str(data["body_html"]))
            for data in self.newest().values()
            if data["status"] == "usable"
        }

    def shown_by_headline(self) -> dict[str, ShownStory]:
        """The same by headline, for systems whose stories have no address of their own."""
        return {each.headline: each for each in self._shown()}

    def _shown(self) -> list[ShownStory]:
        return [
            ShownStory.of(str(data["headline"]), str(data["body_html"]))
            for data in self.newest().values()
            if data["status"] == "usable"
        ]

    def article_at(self, address: str) -> str:
        """The story's name; empty while the partner has no story of that address."""
        return next((name for name, data in self.newest().items() if data.get("url") == address), "")

    def events(self, article: str) -> list[str]:
        """The types of its pushes, in their order, such as `published`."""
        return [push.message["type"].removeprefix("article.") for push in self._outlet.of(article)]


def difference(theirs: Mapping[str, ShownStory], ours: Mapping[str, ShownStory]) -> str:
    """Says where the partner differs from the system; empty if it does not."""
    lines = [f"the partner lacks {each}" for each in sorted(theirs.keys() - ours.keys())]
    lines += [f"the partner still shows {each}" for each in sorted(ours.keys() - theirs.keys())]
    lines += [
        f"the partner has another version of {each}: {ours[each].headline!r}, not {theirs[each].headline!r}"
        for each in sorted(theirs.keys() & ours.keys())
        if theirs[each] != ours[each]
    ]
    return "; ".join(lines)
