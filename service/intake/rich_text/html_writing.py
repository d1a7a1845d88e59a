"""HTML as the walkers of rich text write it: escaped text, tags around it, and a note of what could not be shown."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

DEPTH_MAX = 60  # levels of nodes in each other; no story has a third of them
_NAME_LETTERS = 60
ImageAddress = Callable[[Any], str]
"""The address of an image out of a node's own word for it: an object, a reference; empty if there is none."""


def plain_address(value: Any) -> str:
    """The address that an image says itself."""
    found = value.get("url") if isinstance(value, Mapping) else value
    return found if isinstance(found, str) else ""


@dataclass
class Writing:
    """One text that is being written. `left_out`: kinds of nodes that readers do not get."""

    image_address: ImageAddress = plain_address
    left_out: set[str] = field(default_factory=set)

    def leave_out(self, kind: Any) -> str:
        self.left_out.add(str(kind)[:_NAME_LETTERS])
        return ""

    def image(self, value: Any, alt: Any = "", caption: Any = "") -> str:
        return figure(self.image_address(value), alt, caption) or self.leave_out("image without an address")


def lines(text: Any) -> str:
    """A text for the inside of an element, with its line breaks; empty for what is no text."""
    return escaped(text).replace("\n", "<br>")


def escaped(text: Any) -> str:
    """The same without its line breaks: for one line, or for code."""
    return html.escape(text, quote=False) if isinstance(text, str) else ""


def _quoted(text: Any) -> str:
    return html.escape(text) if isinstance(text, str) else ""


def tagged(tag: str, inner: str) -> str:
    """The inner HTML in a tag; nothing if it is empty."""
    return f"<{tag}>{inner}</{tag}>" if inner.strip() else ""


def marked(inner: str, tags: Iterable[str]) -> str:
    """Running text with tags around it; spaces alone stay as they are."""
    for tag in tags:
        inner = tagged(tag, inner) or inner
    return inner


def linked(inner: str, address: Any) -> str:
    """A link; without an address nothing but its words."""
    if not isinstance(address, str) or not address.strip() or not inner.strip():
        return inner
    return f'<a href="{_quoted(address)}">{inner}</a>'


def figure(address: Any, alt: Any = "", caption: Any = "") -> str:
    """A picture with its caption; empty without an address."""
    if not isinstance(address, str) or not address:
        return ""
    image = f'<img src="{_quoted(address)}" alt="{_quoted(alt)}">'
    return f"<figure>{image}{tagged('figcaption', lines(caption))}</figure>"


def heading(level: Any, inner: str) -> str:
    """A heading below the story's own: h1 is the headline's."""
    known = isinstance(level, int) and not isinstance(level, bool)
    return tagged(f"h{min(max(level, 2), 4)}" if known else "h2", inner)


def nodes(value: Any, name: str = "children") -> list[dict[str, Any]]:
    """A node's children: the objects among them."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
