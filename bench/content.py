"""The articles to send: plausible, of a given size, each different, and the same in every run."""

from __future__ import annotations

import hmac
import json
import random
import time
from functools import cache

SECTION = "world"
_WORDS = """
harbour council ferry minister storm dawn bridge vote market spring border river court police school hospital election
budget union strike rail port fishing quota treaty summit envoy ceasefire earthquake rescue inquiry verdict appeal mayor
parliament opposition coalition currency exports drought harvest
""".split()  # noqa: SIM905 - a text is easier to read than a list


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
        paragraphs.append(words.choice(_paragraphs()))
        room -= len(paragraphs[-1])
    return json.dumps({**fields, "body_html": "".join(paragraphs)}).encode()


def ghost_hook(article: bytes) -> bytes:
    """The webhook with which Ghost publishes the article: half of its bytes are former revisions."""
    story = json.loads(article)
    half = len(story["body_html"]) // 2
    end = story["body_html"].find("</p>", half) + len("</p>")
    at = "2026-01-02T08:00:00.000Z"
    current = {
        "id": story["id"],
        "title": story["headline"],
        "custom_excerpt": story["summary"],
        "html": story["body_html"][:end],
        "url": story["url"],
        "status": "published",
        "visibility": "public",
        "published_at": at,
        "updated_at": at,
        "authors": story["authors"],
        "tags": [{"name": each.title(), "slug": each, "visibility": "public"} for each in story["sections"]],
        "post_revisions": [{"lexical": story["body_html"][end:], "author": {"email": "a@newsroom.example"}}],
    }
    return json.dumps({"event": "post.published", "post": {"current": current, "previous": {}}}).encode()


def ghost_signature(body: bytes, secret: str) -> str:
    at = str(int(time.time() * 1000))
    return f"sha256={hmac.digest(secret.encode(), body + at.encode(), 'sha256').hex()}, t={at}"


@cache
def _paragraphs() -> list[str]:
    """The stock that bodies are put together from: to make new ones would take longer than intake does."""
    words = random.Random("paragraphs")
    return [f"<p>{_sentence(words, words.randint(30, 70))}</p>" for _ in range(500)]


def _sentence(words: random.Random, count: int) -> str:
    return " ".join(words.choices(_WORDS, k=count)).capitalize() + "."
