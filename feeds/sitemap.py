"""The news sitemap: the stories of the last two days, as Google News wants them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape

from feeds.text import line, rfc3339, uri

SITEMAP_STORIES = 1_000  # stories in one file
LONGEST_ADDRESS = 2_048  # of a <loc>: "less than 2,048 characters", https://www.sitemaps.org/protocol.html
_ISO_639 = re.compile(r"[a-z]{2,3}")
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SITEMAPS = "http://www.sitemaps.org/schemas/sitemap/0.9"
_NEWS = "http://www.google.com/schemas/sitemap-news/0.9"
# Google wants ISO 639 codes of two or three letters, but for these.
_CHINESE = {"zh-hans": "zh-cn", "zh-cn": "zh-cn", "zh-sg": "zh-cn", "zh": "zh-cn"}
_TRADITIONAL = frozenset({"zh-hant", "zh-tw", "zh-hk", "zh-mo"})


@dataclass(frozen=True)
class NewsEntry:
    """A story in the sitemap. `published` is the time of its first publication."""

    url: str
    publication: str
    language: str
    published: datetime
    headline: str


def is_valid(story: NewsEntry) -> bool:
    """Whether a sitemap may have it: its address is one and not too long, and Google has a code for its language."""
    address = uri(story.url)
    if address is None or len(address) >= LONGEST_ADDRESS:
        return False
    language = news_language(story.language)
    return language.startswith("zh-") or _ISO_639.fullmatch(language) is not None


def sitemap_bytes(stories: Sequence[NewsEntry]) -> bytes:
    """A sitemap of these stories, at most SITEMAP_STORIES of them."""
    shown = "".join(_url(story) for story in stories)
    return f'{_HEAD}<urlset xmlns="{_SITEMAPS}" xmlns:news="{_NEWS}">\n{shown}</urlset>\n'.encode()


def index_bytes(addresses: Sequence[str]) -> bytes:
    """The index of several sitemaps."""
    shown = "".join(f"  <sitemap><loc>{escape(address)}</loc></sitemap>\n" for address in addresses)
    return f'{_HEAD}<sitemapindex xmlns="{_SITEMAPS}">\n{shown}</sitemapindex>\n'.encode()


def news_language(tag: str) -> str:
    """The code that Google News has for a language."""
    lower = tag.lower()
    primary, _, rest = lower.partition("-")
    if primary != "zh":
        return primary
    short = "-".join([primary, *rest.split("-")[:1]]).rstrip("-")
    return "zh-tw" if short in _TRADITIONAL else _CHINESE.get(short, "zh-cn")


def _url(story: NewsEntry) -> str:
    address = uri(story.url)
    if address is None:
        return ""
    return (
        f"  <url>\n    <loc>{escape(address)}</loc>\n    <news:news>\n      <news:publication>"
        f"<news:name>{escape(line(story.publication) or '')}</news:name>"
        f"<news:language>{escape(news_language(story.language))}</news:language></news:publication>\n"
        f"      <news:publication_date>{rfc3339(story.published)}</news:publication_date>\n"
        f"      <news:title>{escape(line(story.headline) or '')}</news:title>\n    </news:news>\n  </url>\n"
    )
