"""Contentful's Rich Text: a document of nodes by `nodeType`; entries and assets in it are links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.intake.rich_text.html_writing import DEPTH_MAX, Writing, lines, linked, marked, nodes, tagged

_TAGS = {
    "paragraph": "p", "unordered-list": "ul", "ordered-list": "ol", "list-item": "li", "blockquote": "blockquote",
    "table": "table", "table-row": "tr", "table-cell": "td", "table-header-cell": "th",
    **{f"heading-{size}": f"h{size}" for size in range(1, 7)},
}  # fmt: skip
_MARKS = {
    "bold": "strong", "italic": "em", "underline": "u", "code": "code", "superscript": "sup", "subscript": "sub",
    "strikethrough": "s",
}  # fmt: skip
_WITH_WORDS = ("document", "entry-hyperlink", "asset-hyperlink", "resource-hyperlink")


def write(value: Any, writing: Writing) -> str:
    return _node(value, writing, 0) if isinstance(value, dict) else ""


def _node(node: dict[str, Any], writing: Writing, depth: int) -> str:
    if depth > DEPTH_MAX:
        return writing.leave_out("what is nested too deep")
    kind = node.get("nodeType")
    kind = kind if isinstance(kind, str) else ""
    leaf = _LEAVES.get(kind)
    if leaf is not None:
        return leaf(node, writing)
    inner = "".join(_node(each, writing, depth + 1) for each in nodes(node, "content"))
    if kind == "hyperlink":
        return linked(inner, _data(node).get("uri"))
    if kind in _TAGS:
        return tagged(_TAGS[kind], inner)
    return inner or (writing.leave_out(kind or "node without a type") if kind not in _WITH_WORDS else "")


def _data(node: dict[str, Any]) -> dict[str, Any]:
    data = node.get("data")
    return data if isinstance(data, dict) else {}


def _text(node: dict[str, Any], _writing: Writing) -> str:
    kinds = [each.get("type") for each in nodes(node, "marks")]
    tags = (_MARKS[each] for each in kinds if isinstance(each, str) and each in _MARKS)
    return marked(lines(node.get("value")), tags)


def _asset(node: dict[str, Any], writing: Writing) -> str:
    target = _data(node).get("target")
    facts = target if isinstance(target, dict) else {}
    return writing.image(target, facts.get("description"), facts.get("title"))


_LEAVES: dict[str, Callable[[dict[str, Any], Writing], str]] = {
    "text": _text,
    "hr": lambda _node, _writing: "<hr>",
    "embedded-asset-block": _asset,
}
