"""Converters of rich text by name, as `--field body_html=/body:markdown` has them, and a guess where none is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.intake import text
from service.intake.rich_text import (
    contentful_document,
    hygraph,
    lexical,
    markdown,
    portable_text,
    prismic,
    storyblok,
    strapi_blocks,
)
from service.intake.rich_text.html_writing import ImageAddress, Writing, plain_address

LETTERS_MAX = 2 * 1024 * 1024  # of Markdown and the like: no story may be longer
# Each may begin a link, a list or an emphasis. A MiB of nothing but links takes seconds, and a system waits for us.
MARKS_MAX = 30_000
_MARKS = "[*_`<!"
_BLOCKS = "p|div|h[1-6]|ul|ol|figure|img|blockquote|table|section|article|br|a|em|strong|b|i|span|pre"
_HTML = re.compile(rf"\s{{0,99}}<(?:{_BLOCKS})\b|.{{0,2000}}</p>", re.I | re.S)


class NoRichText(ValueError):
    """The value is not what its converter reads. The words say so."""


@dataclass(frozen=True)
class RichText:
    """HTML out of rich text. `left_out`: kinds of parts that it does not show."""

    html: str
    left_out: tuple[str, ...] = ()


def _write_html(value: Any, _writing: Writing) -> str:
    return value if isinstance(value, str) else ""


def _write_text(value: Any, _writing: Writing) -> str:
    return text.to_html(value) if isinstance(value, str) else ""


CONVERTERS: dict[str, Callable[[Any, Writing], str]] = {
    "html": _write_html,
    "text": _write_text,
    "markdown": markdown.write,
    "lexical": lexical.write,
    "portable-text": portable_text.write,
    "contentful": contentful_document.write,
    "strapi-blocks": strapi_blocks.write,
    "hygraph": lambda value, _writing: hygraph.to_html(value),
    "prismic": lambda value, _writing: prismic.to_html(value),
    "storyblok": lambda value, _writing: storyblok.to_html(value),
}
_OF_TEXT = ("html", "text", "markdown")


def converted(value: Any, name: str, image_address: ImageAddress = plain_address) -> RichText:
    """The value as HTML, by the converter of that name, or by the one that fits it. Raises NoRichText."""
    if value in (None, "", [], {}):
        return RichText("")
    chosen = name or fitting(value)
    write = CONVERTERS.get(chosen)
    if write is None:
        raise NoRichText(f"there is no converter {chosen!r}; there are {', '.join(CONVERTERS)}")
    if isinstance(value, str) is not (chosen in _OF_TEXT):
        kind = "a text" if isinstance(value, str) else "no text"
        raise NoRichText(f"it is {kind}, which the converter {chosen} does not read")
    if isinstance(value, str) and len(value) > LETTERS_MAX:
        raise NoRichText(f"it has more than {LETTERS_MAX:,} letters")
    if chosen == "markdown" and sum(map(value.count, _MARKS)) > MARKS_MAX:
        raise NoRichText(f"it is Markdown with more than {MARKS_MAX:,} of the characters {_MARKS}")
    writing = Writing(image_address)
    written = write(value, writing)
    return RichText(written, tuple(sorted(writing.left_out)))


def fitting(value: Any) -> str:
    """The name of the converter that reads such a value. Raises NoRichText."""
    if isinstance(value, str):
        return "html" if _HTML.match(value) else "markdown"
    if isinstance(value, dict):
        if value.get("nodeType") == "document":
            return "contentful"
        if isinstance(value.get("root"), dict):
            return "lexical"
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, dict):
        if "_type" in first:
            return "portable-text"
        if "__component" in first or "type" in first:
            return "strapi-blocks"
    raise NoRichText("it is no rich text that is known; name its converter: --field body_html=/…:CONVERTER")
