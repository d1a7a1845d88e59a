"""Storyblok's rich text: a tree of TipTap nodes, its marks on the texts, its components (bloks) among the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.intake.adapters.adapter import Unreadable
from service.intake.rich_text.html_writing import DEPTH_MAX, figure, heading, lines, linked, marked, tagged

_ELEMENTS = {
    "paragraph": "p",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "blockquote": "blockquote",
    "code_block": "pre",
    "table": "table",
    "tableRow": "tr",
    "tableCell": "td",
    "tableHeader": "th",
    "bulletList": "ul",
    "orderedList": "ol",
    "listItem": "li",
    "codeBlock": "pre",
}
_EMPTY = {"hard_break": "br", "horizontal_rule": "hr", "hardBreak": "br", "horizontalRule": "hr"}
_MARKS = {
    "bold": "strong",
    "strong": "strong",
    "italic": "em",
    "strike": "s",
    "underline": "u",
    "code": "code",
    "superscript": "sup",
    "subscript": "sub",
}


def to_html(value: Any) -> str:
    """The HTML of a rich text. Of a component in it, its own rich texts are taken. Raises Unreadable."""
    return _node(value, 0)


def is_rich_text(value: Any) -> bool:
    return (
        isinstance(value, Mapping) and value.get("type") == "doc" and isinstance(value.get("content"), list)
    )


def _node(node: Any, depth: int) -> str:
    if depth > DEPTH_MAX:
        raise Unreadable("its rich text is nested too deep")
    if not isinstance(node, Mapping):
        return ""
    kind = str(node.get("type"))
    given = node.get("attrs")
    leaf = _leaf(node, kind, given if isinstance(given, Mapping) else {}, depth)
    if leaf is not None:
        return leaf
    content = node.get("content")
    inner = "".join(_node(each, depth + 1) for each in content) if isinstance(content, list) else ""
    if kind == "heading":
        return heading(given.get("level") if isinstance(given, Mapping) else None, inner)
    return tagged(_ELEMENTS[kind], inner) if kind in _ELEMENTS else inner


def _leaf(node: Mapping[str, Any], kind: str, attributes: Mapping[str, Any], depth: int) -> str | None:
    """The HTML of a node that has no other nodes in it; None for one that may."""
    if kind in _EMPTY:
        return f"<{_EMPTY[kind]}>"
    match kind:
        case "text":
            return _text(node)
        case "image":
            return figure(attributes.get("src"), attributes.get("alt"), attributes.get("title"))
        case "emoji":
            return lines(attributes.get("emoji"))
        case "blok":
            return _components(attributes.get("body"), depth + 1)
        case _:
            return None


def _components(bloks: Any, depth: int) -> str:
    """The rich texts and pictures among the fields of components, in their order."""
    found = []
    for blok in bloks if isinstance(bloks, list) else []:
        for field in blok.values() if isinstance(blok, Mapping) else []:
            if is_rich_text(field):
                found.append(_node(field, depth + 1))
            elif isinstance(field, Mapping) and field.get("fieldtype") == "asset":
                found.append(figure(field.get("filename"), field.get("alt"), field.get("title")))
    return "".join(found)


def _text(node: Mapping[str, Any]) -> str:
    inner = lines(node.get("text"))
    marks = node.get("marks")
    for mark in marks if isinstance(marks, list) else []:
        if not isinstance(mark, Mapping):
            continue
        if mark.get("type") == "link":
            inner = linked(inner, _address(mark.get("attrs")))
        elif (name := _MARKS.get(str(mark.get("type")))) is not None:
            inner = marked(inner, [name])
    return inner


def _address(attributes: Any) -> str:
    if not isinstance(attributes, Mapping):
        return ""
    address = attributes.get("href")
    if not isinstance(address, str) or not address:
        return ""
    if attributes.get("linktype") == "email" and not address.startswith("mailto:"):
        return f"mailto:{address}"
    anchor = attributes.get("anchor")
    return f"{address}#{anchor}" if isinstance(anchor, str) and anchor else address
