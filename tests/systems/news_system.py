"""The parts of a content system that a journey needs: an editor's acts, and all that its readers see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tests.systems.partner_view import ShownStory
from tests.systems.runner import Step

PARAGRAPH = "The ferry left the harbour at dawn, and nobody on board looked back."
SECTIONS = {"world": "World", "business": "Business & Money", "china": "中国"}  # ours → the system's own name


@dataclass(frozen=True)
class EditedStory:
    """A story as an editor writes it; `section` is ours."""

    title: str
    paragraphs: Sequence[str] = field(default=(PARAGRAPH,))
    section: str = "world"
    language: str = "en"


class NewsSystem(Protocol):
    """Each act names a story by the id that the system gave it. `lacks`: the steps that the system has no act for, with
    the reason. `ahead`: seconds from now, the nearest time that it takes for a scheduled story."""

    source: str
    lacks: Mapping[str, str]
    ahead: float

    def publish(self, story: EditedStory) -> str: ...

    def schedule(self, story: EditedStory, at: datetime) -> str: ...

    def come_due(self) -> None:
        """The system's own cron has its turn; nothing where it has a clock of its own."""
        ...

    def retitle(self, story: str, title: str) -> None: ...

    def correct(self, story: str, title: str, note: str) -> None: ...

    def rename(self, story: str, slug: str) -> str:
        """Returns the new address."""
        ...

    def move(self, story: str, section: str) -> None: ...

    def unpublish(self, story: str) -> None: ...

    def publish_again(self, story: str) -> None: ...

    def trash(self, story: str) -> None: ...

    def restore(self, story: str) -> None: ...

    def delete(self, story: str) -> None: ...

    def bulk_unpublish(self, stories: Sequence[str]) -> None: ...

    def public(self) -> Sequence[ShownStory]:
        """All that a reader without an account sees."""
        ...

    def external_id(self, story: str) -> str:
        """The id under which the source's stories are known to the desk."""
        ...

    def own_steps(self) -> Iterator[Step]:
        """Acts that only this system has; after each the whole is compared."""
        ...
