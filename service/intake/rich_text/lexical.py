"""Lexical, the tree of Payload's editor: nodes by `type`, marks as bits of `format`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.intake.rich_text.html_writing import (
    DEPTH_MAX,
    Writing,
    escaped,
    lines,
    linked,
    marked,
    nodes,
    tagged,
)

_BITS = ((16, "code"), (1, "strong"), (2, "em"), (4, "s"), (8, "u"), (32, "sub"), (64, "sup"))
_TAGS = {"paragraph": "p", "quote": "blockquote", "listitem": "li", "table": "table", "tablerow": "tr"}
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


def write(value: Any, writing: Writing) -> str:
    return _children(value.get("root", value) if isinstance(value, dict) else None, writing, 0)


def _children(node: Any, writing: Writing, depth: int) -> str:
    if depth > DEPTH_MAX:
        return writing.leave_out("what is nested too deep")
    return "".join(_node(each, writing, depth + 1) for each in nodes(node))


def _node(node: dict[str, Any], writing: Writing, depth: int) -> str:
    kind = node.get("type")
    kind = kind if isinstance(kind, str) else ""
    leaf = _LEAVES.get(kind)
    if leaf is not None:
        return leaf(node, writing)
    inner = _children(node, writing, depth)
    if kind in ("link", "autolink"):
        return linked(inner, _address(node))
    tag = _tag(node, kind)
    if tag:
        return tagged(tag, inner)
    return inner or writing.leave_out(kind or "node without a type")


def _tag(node: dict[str, Any], kind: str) -> str:
    if kind == "heading":
        return str(node["tag"]) if node.get("tag") in _HEADINGS else "h2"
    if kind == "list":
        return "ol" if node.get("listType") == "number" or node.get("tag") == "ol" else "ul"
    if kind == "tablecell":
        return "th" if node.get("headerState") not in (None, 0, False) else "td"
    if kind == "code":
        return "pre"
    return _TAGS.get(kind, "")


def _address(node: dict[str, Any]) -> Any:
    """A link within the system (`linkType: internal`) has a document instead of an address: its words stay."""
    fields = node.get("fields")
    return fields.get("url") if isinstance(fields, dict) else node.get("url")


def _text(node: dict[str, Any], _writing: Writing) -> str:
    bits = node.get("format")
    bits = bits if isinstance(bits, int) else 0
    return marked(lines(node.get("text")), (tag for bit, tag in _BITS if bits & bit))


def _upload(node: dict[str, Any], writing: Writing) -> str:
    value = node.get("value")
    facts = value if isinstance(value, dict) else {}
    return writing.image(value, facts.get("alt"), facts.get("caption"))


_LEAVES: dict[str, Callable[[dict[str, Any], Writing], str]] = {
    "text": _text,
    "code-highlight": lambda node, _: escaped(node.get("text")),
    "linebreak": lambda _node, _writing: "<br>",
    "tab": lambda _node, _writing: " ",
    "horizontalrule": lambda _node, _writing: "<hr>",
    "upload": _upload,
}
