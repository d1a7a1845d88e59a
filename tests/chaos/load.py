"""The posts that go on while parts break: articles in several revisions, repeats and takedowns among them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

REVISED = 3  # every third article has three revisions
SOON = 0.15  # the longest time between two revisions of an article, as a share of the whole
KILLED = 15  # every fifteenth article is killed at the end
REPEATED = 10  # every tenth post is sent twice


@dataclass(frozen=True)
class LoadPost:
    """One POST: the article's body and the id under which its source sends it."""

    message_id: str
    article: dict[str, Any]


@dataclass
class LoadStory:
    """An article of the load: all its versions, the newest last, and the public id that Dateline gave it."""

    versions: list[dict[str, Any]]
    public_id: str = ""

    @property
    def killed(self) -> bool:
        return bool(self.versions[-1].get("status") == "killed")


def stories(prefix: str, count: int) -> list[LoadStory]:
    return [LoadStory(_versions(f"{prefix}-{number}", number)) for number in range(count)]


def _versions(name: str, number: int) -> list[dict[str, Any]]:
    last = 3 if number % REVISED == 0 else 1
    versions: list[dict[str, Any]] = [
        {
            "id": name,
            "version": version,
            "headline": f"{name}, version {version}",
            "body_html": f"<p>{name} as of version {version}.</p>",
            "sections": ["world"],
        }
        for version in range(1, last + 1)
    ]
    if number % KILLED == 0:
        versions.append({"id": name, "version": last + 1, "status": "killed"})
    return versions


def in_order(stories: Sequence[LoadStory], seed: int) -> Iterator[tuple[LoadStory, LoadPost]]:
    """Every version of every story: the stories mixed, each one's versions in order and close together; some twice."""
    chance = random.Random(seed)
    turns: list[tuple[float, LoadStory, dict[str, Any]]] = []
    for story in stories:
        moment = chance.random()
        for article in story.versions:
            turns.append((moment, story, article))
            moment += chance.random() * SOON
    for count, (_, story, article) in enumerate(sorted(turns, key=lambda turn: turn[0])):
        post = LoadPost(f"{article['id']}/{article['version']}", article)
        yield story, post
        if count % REPEATED == 0:
            yield story, post
