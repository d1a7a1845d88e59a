"""HTML from a source, down to the tags and attributes that every partner and feed reader can show safely.

Four steps: `html_tokens` writes it in few kinds of tags, a parser (nh3) makes a tree of it, `html_blocks` rewrites
that tree, and nh3 washes the result until nothing changes: nothing that it would remove gets through.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import dataclass

import nh3

from service.intake import html_addresses, html_blocks, html_tokens
from service.intake.html_tags import ATTRIBUTES, STAND_INS, TAGS, wanted
from service.intake.html_tokens import GrowsTooMuch
from service.intake.text import from_html, legal, to_html

_SCHEMES = {"http", "https", "mailto"}
# Bounded repeats: a page of openings that never close must not be searched to its end for each of them.
_BAD_SCHEME = re.compile(
    r"""<(?:a|img)\b[^<>]{0,500}?\b(href|src)\s{0,9}=\s{0,9}["']?\s{0,9}(javascript|data|vbscript|file|blob|ftp):""",
    re.I,
)
# A plain story: paragraphs, headings and lists, with links and simple emphasis in them. Such a one, and most are, needs
# only to be washed. Possessive repeats: it is read once.
_WORDS = r"(?:[^<>&]++|&(?:amp|lt|gt|quot|nbsp);|<br ?/?>)*+"
_EMPHASIS = "|".join(f"<{name}>{_WORDS}</{name}>" for name in ("em", "strong", "b", "i"))
_LINK = rf"""<a href="https?://[a-zA-Z0-9](?:[^"<>&@\\\s]|&amp;)*+">{_WORDS}</a>"""
_LINE = rf"{_WORDS}(?:(?:{_EMPHASIS}|{_LINK}){_WORDS})*+"
_PARAGRAPH = "|".join(f"<{name}>{_LINE}</{name}>" for name in ("p", "h2", "h3", "h4", "li"))
# No groups that capture: in possessive repeats Python 3.11 raises SystemError for them.
_PLAIN = re.compile(rf"(?:\s++|</?(?:ul|ol|blockquote)>|{_PARAGRAPH})*+")
_PASSES = 5
# Characters that become longer when HTML is written out. The parser's time grows with the square of those of one text.
_ESCAPED = ("&", "\xa0", ">>", '""')
ESCAPED_MAX = 100_000
# Tags, by their "<": more of a plain story, for it is only washed; and of others before they are read, and as a tree.
PLAIN_TAGS_MAX = 100_000
_OPENINGS_MAX = 2 * html_tokens.PARTS_MAX
_TREE_MAX = 9_000
_NAMED_MAX = 30  # kinds of things that were removed, in a warning
# A cleaned story: escaping, paragraphs and absolute addresses make it longer than it came.
FOLD_MAX = 4
FREE_BYTES = 64 * 1024
STORY_BYTES_MAX = 2 * 1024 * 1024


class TooLarge(ValueError):
    """The cleaned story would be many times as large as it came, or larger than any story may be."""


@dataclass(frozen=True)
class SanitisedHtml:
    """`removed` lists in words what was taken out, such as "<script> (2)"; empty if nothing was."""

    html: str
    removed: tuple[str, ...]


def clean(html: str, base: str | None) -> SanitisedHtml:
    """Safe HTML with absolute addresses, for any string; cleaning it once more changes nothing.

    `base` is the absolute URL that relative addresses refer to; without one they are removed and reported.
    HTML nested too deep to be parsed in reasonable time is kept as text. Raises TooLarge.
    """
    removed: Counter[str] = Counter()
    markup = legal(html)
    removed["control character"] += len(html) - len(markup)
    most = largest(html)
    if len(markup) > ESCAPED_MAX and sum(map(markup.count, _ESCAPED)) > ESCAPED_MAX:
        raise TooLarge
    openings = markup.count("<")
    if openings > PLAIN_TAGS_MAX:
        raise TooLarge
    if _is_plain(markup):
        return SanitisedHtml(_bounded(_settled(markup), most), _words(removed))
    if openings > _OPENINGS_MAX:
        raise TooLarge
    try:
        normal = html_tokens.normal(markup, removed)
    except GrowsTooMuch as error:
        raise TooLarge from error
    if normal.is_too_deep:
        found = _bounded(_as_text(normal.text), most)
        return SanitisedHtml(found, (f"all tags: they are nested deeper than {html_tokens.DEEPEST}",))
    for attribute, scheme in _BAD_SCHEME.findall(markup):
        removed[f"attribute {attribute.lower()} with a {scheme.lower()}: address"] += 1
    tree = _bounded(_NH3.parse(normal.text), 2 * most)
    if tree.count("<") > _TREE_MAX:
        raise TooLarge
    try:
        rewritten = html_blocks.rewritten(tree, base, removed)
    except GrowsTooMuch as error:
        raise TooLarge from error
    washed = _NH3.wash(_bounded(rewritten, most))
    if "&#" in markup:  # by number, a character comes through that may not come as itself
        washed = legal(washed)
    return SanitisedHtml(_bounded(_settled(washed), most), _words(removed))


def _is_plain(markup: str) -> bool:
    return (
        _PLAIN.fullmatch(markup) is not None
        and markup.count("<ul>") + markup.count("<ol>") + markup.count("<blockquote>") < html_tokens.DEEPEST
        and not ("<a" in markup and html_addresses.may_track(markup))
    )


def largest(html: str) -> int:
    """The most bytes that a story made of this may have: a few times its own, and a limit of all stories."""
    return min(FOLD_MAX * len(html.encode(errors="replace")) + FREE_BYTES, STORY_BYTES_MAX)


def _bounded(markup: str, most: int) -> str:
    if len(markup) > most or len(markup.encode()) > most:
        raise TooLarge
    return markup


def _settled(markup: str) -> str:
    """Washed until nothing changes: a parser may read badly nested HTML differently once it is written out."""
    for _ in range(_PASSES):
        again = _NH3.wash(markup)
        if again == markup:
            return markup
        markup = again
    return _as_text(markup)


def _as_text(markup: str) -> str:
    # Paragraphs of escaped text are what the parser itself would write, so this is settled already.
    return to_html(from_html(markup))


class _Cleaners(threading.local):
    """nh3 with our lists, one for each thread: making one takes as long as washing a story with it."""

    def __init__(self) -> None:
        stand_ins = {name: {"src", "srcset", "data", *wanted("iframe")} for name in STAND_INS}
        self._parser = nh3.Cleaner(
            tags=TAGS | STAND_INS,
            clean_content_tags=set(),
            attributes={
                **ATTRIBUTES,
                **stand_ins,
                "img": set(wanted("img")),
                "*": ATTRIBUTES["*"] | {"hidden"},
            },
            link_rel=None,
            url_schemes=_SCHEMES,
        )
        self._washer = nh3.Cleaner(
            tags=TAGS, clean_content_tags=set(), attributes=ATTRIBUTES, link_rel=None, url_schemes=_SCHEMES
        )

    def parse(self, markup: str) -> str:
        """The tree of the markup, written out well formed, without what no story may carry but for the stand-ins."""
        return str(self._parser.clean(_marked(markup)))

    def wash(self, markup: str) -> str:
        """The markup with nothing in it but what a story may carry."""
        return str(self._washer.clean(_marked(markup))).strip()


def _marked(markup: str) -> str:
    # The parser takes a first U+FEFF for a mark of the encoding; in a text it may begin the proof of its origin.
    return f"\ufeff{markup}" if markup.startswith("\ufeff") else markup


_NH3 = _Cleaners()


def _words(removed: Counter[str]) -> tuple[str, ...]:
    found = [f"{name} ({times})" for name, times in removed.items() if times]
    more = len(found) - _NAMED_MAX
    return (*found[:_NAMED_MAX], f"and {more:,} other things") if more > 0 else tuple(found)
