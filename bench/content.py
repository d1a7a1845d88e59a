"""The articles that are sent: plausible ones of a given size, each different, the same at every run."""

from __future__ import annotations

import json
import random

SECTION = "world"
_WORDS = [
    "harbour",
    "council",
    "ferry",
    "minister",
    "storm",
    "dawn",
    "bridge",
    "vote",
    "market",
    "spring",
    "border",
    "river",
    "court",
    "police",
    "school",
    "hospital",
    "election",
    "budget",
    "union",
    "strike",
    "rail",
    "port",
    "fishing",
    "quota",
    "treaty",
    "summit",
    "envoy",
    "ceasefire",
    "earthquake",
    "rescue",
    "inquiry",
    "verdict",
    "appeal",
    "mayor",
    "parliament",
    "opposition",
    "coalition",
    "currency",
    "exports",
    "drought",
    "harvest",
]


def article(external_id: str, size: int) -> bytes:
    """An article's JSON as a newsroom posts it, of about `size` bytes."""
    words = random.Random(external_id)
    fields = {
        "id": external_id,
        "headline": _sentence(words, 8),
        "summary": _sentence(words, 24),
        "language": "en",
        "sections": [SECTION],
        "authors": [{"name": "Ayesha Khan"}],
        "original_author": "Ayesha Khan",
        "url": f"https://newsroom.example/{external_id}",
        "version": 1,
        "body_html": "",
    }
    room = size - len(json.dumps(fields))
    paragraphs: list[str] = []
    while room > 0:
        paragraphs.append(f"<p>{_sentence(words, min(60, max(4, room // 9)))}</p>")
        room -= len(paragraphs[-1])
    return json.dumps({**fields, "body_html": "".join(paragraphs)}).encode()


def _sentence(words: random.Random, count: int) -> str:
    return " ".join(words.choices(_WORDS, k=count)).capitalize() + "."
