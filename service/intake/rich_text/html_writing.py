"""HTML as the walkers of rich text write it: escaped text, tags around it, and a note of what could not be shown."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

DEPTH_MAX = 40  # levels of nodes in each other; what is deeper is left out
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
        address = self.image_address(value)
        if not address:
            return self.leave_out("image without an address")
        shown = f'<img src="{escaped(address)}" alt="{escaped(alt)}">'
        return f"<figure>{shown}{tagged('figcaption', escaped(caption))}</figure>"


def escaped(text: Any) -> str:
    return html.escape(text) if isinstance(text, str) else ""


def lines(text: Any) -> str:
    """Text with its line breaks."""
    return escaped(text).replace("\n", "<br>")


def tagged(tag: str, inner: str) -> str:
    """The inner HTML in a tag; nothing if it is empty."""
    return f"<{tag}>{inner}</{tag}>" if inner.strip() else ""


def marked(inner: str, tags: Iterable[str]) -> str:
    """Running text with tags around it; spaces alone stay as they are."""
    for tag in tags:
        inner = tagged(tag, inner) or inner
    return inner


def linked(inner: str, address: Any) -> str:
    if not isinstance(address, str) or not address.strip() or not inner.strip():
        return inner
    return f'<a href="{escaped(address)}">{inner}</a>'


def nodes(value: Any, name: str = "children") -> list[dict[str, Any]]:
    """A node's children: the objects among them."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
