"""Strapi's blocks editor, and its dynamic zones: a list of nodes by `type`, or of components by `__component`."""

from __future__ import annotations

from typing import Any

from service.intake.rich_text import markdown
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

_TAGS = {"paragraph": "p", "list-item": "li", "quote": "blockquote", "code": "pre"}
_MARKS = (
    ("code", "code"),
    ("bold", "strong"),
    ("italic", "em"),
    ("underline", "u"),
    ("strikethrough", "s"),
)
_TEXTS = ("body", "text", "content", "richText")
_MEDIA = ("file", "image", "media", "files", "images")


def write(value: Any, writing: Writing) -> str:
    return _children({"children": value if isinstance(value, list) else [value]}, writing, 0)


def _children(node: Any, writing: Writing, depth: int) -> str:
    if depth > DEPTH_MAX:
        return writing.leave_out("what is nested too deep")
    return "".join(_node(each, writing, depth + 1) for each in nodes(node))


def _node(node: dict[str, Any], writing: Writing, depth: int) -> str:
    if "__component" in node:
        return _component(node, writing, depth)
    kind = node.get("type")
    kind = kind if isinstance(kind, str) else ""
    if kind == "text":
        return marked(lines(node.get("text")), (tag for name, tag in _MARKS if node.get(name) is True))
    if kind == "image":
        return _image(node.get("image"), writing)
    inner = _children(node, writing, depth)
    if kind == "link":
        return linked(inner, node.get("url"))
    tag = _tag(node, kind)
    return tagged(tag, inner) if tag else inner or writing.leave_out(kind or "node without a type")


def _tag(node: dict[str, Any], kind: str) -> str:
    if kind == "heading":
        level = node.get("level")
        return f"h{level if isinstance(level, int) and 1 <= level <= 6 else 2}"
    if kind == "list":
        return "ol" if node.get("format") == "ordered" else "ul"
    return _TAGS.get(kind, "")


def _component(node: dict[str, Any], writing: Writing, depth: int) -> str:
    """A component of a dynamic zone: its text is Markdown or blocks, its media are images."""
    text = next((node[name] for name in _TEXTS if node.get(name)), None)
    inner = markdown.write(text, writing) if isinstance(text, str) else ""
    if isinstance(text, list):
        inner = _children({"children": text}, writing, depth)
    if inner:
        is_quote = "quote" in str(node["__component"]).lower()
        source = f"<p>{escaped(node.get('title'))}</p>" if is_quote and escaped(node.get("title")) else ""
        return tagged("blockquote", inner + source) if is_quote else inner
    media = next((node[name] for name in _MEDIA if node.get(name)), None)
    if media is None:
        return writing.leave_out(node["__component"])
    return "".join(_image(each, writing) for each in (media if isinstance(media, list) else [media]))


def _image(value: Any, writing: Writing) -> str:
    facts = value if isinstance(value, dict) else {}
    return writing.image(value, facts.get("alternativeText"), facts.get("caption"))
