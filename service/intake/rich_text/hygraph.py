"""Hygraph's rich text as it keeps it: a tree of Slate nodes, the marks as properties of the texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.intake.adapters.adapter import Unreadable
from service.intake.rich_text.html_writing import DEPTH_MAX, figure, heading, lines, linked, marked, tagged

_ELEMENTS = {
    "paragraph": "p",
    "bulleted-list": "ul",
    "numbered-list": "ol",
    "list-item": "li",
    "block-quote": "blockquote",
    "code-block": "pre",
    "table": "table",
    "table_head": "thead",
    "table_body": "tbody",
    "table_row": "tr",
    "table_cell": "td",
    "table_header_cell": "th",
}
_HEADINGS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_MARKS = {"bold": "strong", "italic": "em", "underline": "u", "code": "code"}


def to_html(value: Any) -> str:
    """The HTML of a rich text. Raises Unreadable."""
    return _children(value, 0)


def is_rich_text(value: Any) -> bool:
    """Whether it is a tree; its envelope, {"raw": …, "html": …}, is none."""
    return isinstance(value, Mapping) and isinstance(value.get("children"), list) and "type" not in value


def _children(node: Any, depth: int) -> str:
    if depth > DEPTH_MAX:
        raise Unreadable("its rich text is nested too deep")
    children = node.get("children") if isinstance(node, Mapping) else None
    return "".join(_node(each, depth + 1) for each in children) if isinstance(children, list) else ""


def _node(node: Any, depth: int) -> str:
    if not isinstance(node, Mapping):
        return ""
    if isinstance(node.get("text"), str):
        marks = [name for mark, name in _MARKS.items() if node.get(mark) is True]
        return marked(lines(node["text"]), marks)
    kind = str(node.get("type"))
    inner = _children(node, depth)
    if kind == "link":
        return linked(inner, node.get("href"))
    if kind == "image":
        return figure(node.get("src"), node.get("altText"), node.get("title"))
    if kind.startswith("heading-"):
        return heading(_HEADINGS.get(kind.removeprefix("heading-")), inner)
    return tagged(_ELEMENTS[kind], inner) if kind in _ELEMENTS else inner
