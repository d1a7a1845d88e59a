"""Attributes that hide an element from readers: it goes with its content, and does not come to light in a feed."""

from __future__ import annotations

import html as entities
import re

_STYLE_COMMENT = re.compile(r"/\*[^*]*+(?:\*(?!/)[^*]*+)*+\*/")
_HIDING = {"display": ("none",), "visibility": ("hidden", "collapse"), "mso-hide": ("all",)}
SHOWING = ("hidden", "style", "aria-hidden", "popover")
# Elements that are not shown without this attribute.
SHOWN_BY = {"dialog": "open"}


def quoted(value: str) -> str:
    """The value as it stands between double quotes."""
    return value.replace('"', "&quot;")


def is_hidden(name: str, attributes: dict[str, str]) -> bool:
    """Tells whether an element of this name says that readers do not see it."""
    if "hidden" in attributes or "popover" in attributes:
        return True
    if name in SHOWN_BY and SHOWN_BY[name] not in attributes:
        return True
    if attributes.get("aria-hidden", "").strip().lower() == "true" and name != "img":
        return True
    return "style" in attributes and _hides(_decoded(attributes["style"]))


def _hides(style: str) -> bool:
    declared: dict[str, str] = {}
    for each in _STYLE_COMMENT.sub("", style).lower().split(";"):
        name, _, value = each.partition(":")
        declared[name.strip()] = value.replace("!important", "").strip()
    return any(declared.get(name) in values for name, values in _HIDING.items())


def _decoded(value: str) -> str:
    try:
        return entities.unescape(value)
    except ValueError:  # a reference of more than 4,300 digits
        return value
