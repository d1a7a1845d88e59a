"""Markup: well-formed HTML out of texts and values of which nothing is certain. All that is not a tag is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

DEEPEST_TREE = 60  # levels of a rich text in each other; no story has a third of them
_VOID = frozenset(("br", "hr", "img"))


def escaped(text: Any) -> str:
    """A text for the inside of an element; its line breaks stay. Empty for what is no text."""
    return html.escape(text, quote=False).replace("\n", "<br>") if isinstance(text, str) else ""


def element(name: str, inner: str, attributes: Mapping[str, Any] | None = None) -> str:
    """An element with those of the attributes that are texts or whole numbers."""
    written = "".join(
        f' {key}="{html.escape(str(value))}"'
        for key, value in (attributes or {}).items()
        if isinstance(value, str | int) and not isinstance(value, bool) and value != ""
    )
    return f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{inner}</{name}>"


def marked(inner: str, names: Iterable[str]) -> str:
    """The inside in the elements of these names, the last one outermost."""
    for name in names:
        inner = element(name, inner)
    return inner


def link(inner: str, address: Any) -> str:
    """A link; without an address nothing but its words."""
    return element("a", inner, {"href": address}) if isinstance(address, str) and address else inner


def picture(address: Any, alt: Any = "", caption: Any = "") -> str:
    """A figure with its caption; empty without an address."""
    if not isinstance(address, str) or not address:
        return ""
    alt_words = html.escape(alt) if isinstance(alt, str) else ""
    image = f'<img src="{html.escape(address)}" alt="{alt_words}">'
    below = element("figcaption", escaped(caption)) if escaped(caption) else ""
    return f"<figure>{image}{below}</figure>"


def heading(level: Any, inner: str) -> str:
    """A heading below the story's own: h1 is the headline's."""
    known = isinstance(level, int) and not isinstance(level, bool)
    return element(f"h{min(max(level, 2), 4)}" if known else "h2", inner)


def paragraphs(text: str) -> str:
    """Plain text with its empty lines as paragraphs."""
    parts = text.replace("\r\n", "\n").split("\n\n")
    return "".join(element("p", escaped(each.strip())) for each in parts if each.strip())
