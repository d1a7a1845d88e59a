"""Types of a system's content that have stories: those that the source names, else those that are called like it."""

from __future__ import annotations

import re

from service.intake.adapters.adapter import SourceSettings

_USUAL_TYPES = frozenset((
    "article", "articles", "newsarticle", "newsarticles", "post", "posts", "blogpost", "blogposts", "newspost", "news",
    "newsitem", "newsitems", "story", "stories", "newsstory", "blogarticle", "articlepage", "blogpage",
    "newspage",
))  # fmt: skip


def is_story_type(name: str, settings: SourceSettings) -> bool:
    """Whether a type has stories: one of `--content-type`, separated by commas, else one that is called like it."""
    wanted = [each.strip() for each in settings.content_type.split(",") if each.strip()]
    short = name.rpartition(".")[2]
    if wanted:
        return name in wanted or short in wanted
    return re.sub(r"[^a-z]", "", short.casefold()) in _USUAL_TYPES


def no_story_type(name: str) -> str:
    """Says that a type has no stories, and how it would."""
    return f"the type {name[:60]!r} has no stories; if it has: dateline source set SLUG --content-type TYPE"
