"""Prismic's rich text: a list of blocks, each a text with spans that may overlap; and slices, which hold such lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from service.intake.rich_text.html_writing import figure, heading, lines, linked, marked, tagged

_BLOCKS = {"paragraph": "p", "preformatted": "pre", "list-item": "li", "o-list-item": "li"}
_LISTS = {"list-item": "ul", "o-list-item": "ol"}
_SPANS = {"strong": "strong", "em": "em"}
SPANS_MOST = 2_000  # of one block


def to_html(value: Any) -> str:
    """The HTML of a rich text, or of slices with rich texts in them."""
    out: list[str] = []
    open_list = ""
    for block in value if isinstance(value, list) else []:
        if not isinstance(block, Mapping):
            continue
        wanted = _LISTS.get(str(block.get("type")), "")
        if wanted != open_list:
            out.append((f"</{open_list}>" if open_list else "") + (f"<{wanted}>" if wanted else ""))
            open_list = wanted
        out.append(_slice(block) if "slice_type" in block else _block(block))
    return "".join(out) + (f"</{open_list}>" if open_list else "")


def is_rich_text(value: Any) -> bool:
    """Whether it is a list of blocks or slices."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(each, Mapping) and ("slice_type" in each or isinstance(each.get("type"), str))
            for each in value
        )
    )


def text_of(value: Any) -> str:
    """The plain text of a rich text: that of a title."""
    blocks = value if isinstance(value, list) else []
    texts = [each.get("text") for each in blocks if isinstance(each, Mapping)]
    return " ".join(each for each in texts if isinstance(each, str) and each)


def _slice(block: Mapping[str, Any]) -> str:
    """The rich texts of a slice, its pictures too, in their order."""
    items = block.get("items")
    groups = [block.get("primary"), *(items if isinstance(items, list) else [])]
    found = []
    for group in groups:
        for field in group.values() if isinstance(group, Mapping) else []:
            if isinstance(field, Mapping):
                found.append(_image(field) if isinstance(field.get("dimensions"), Mapping) else "")
            elif is_rich_text(field) and not any("slice_type" in each for each in field):
                found.append(to_html(field))
    return "".join(found)


def _block(block: Mapping[str, Any]) -> str:
    kind = str(block.get("type"))
    if kind == "image":
        return _image(block)
    if kind == "embed":
        return _embed(block.get("oembed"))
    spans = block.get("spans")
    inner = _spanned(block.get("text"), spans if isinstance(spans, list) else [])
    if kind.startswith("heading"):
        level = kind.removeprefix("heading")
        return heading(int(level) if level in "123456" and level else None, inner)
    return tagged(_BLOCKS.get(kind, "p"), inner)


def _image(block: Mapping[str, Any]) -> str:
    return figure(block.get("url"), block.get("alt"), block.get("copyright"))


def _embed(oembed: Any) -> str:
    """A link to what is embedded: its markup is a stranger's."""
    if not isinstance(oembed, Mapping):
        return ""
    address = oembed.get("embed_url")
    words = lines(oembed.get("title")) or lines(address)
    return tagged("p", linked(words, address))


def _spanned(text: Any, spans: Sequence[Any]) -> str:
    """The text cut where a span begins or ends. Its places count UTF-16 units, as JavaScript does."""
    if not isinstance(text, str):
        return ""
    units = text.encode("utf-16-le", "surrogatepass")
    length = len(units) // 2
    usable = [
        (span["start"], min(span["end"], length), span)
        for span in spans[:SPANS_MOST]
        if isinstance(span, Mapping)
        and all(type(span.get(edge)) is int for edge in ("start", "end"))
        and 0 <= span["start"] < min(span["end"], length)
    ]
    edges = sorted({0, length, *(edge for start, end, _ in usable for edge in (start, end))})
    if len(edges) > SPANS_MOST:
        return lines(text)
    out = []
    for start, end in pairwise(edges):
        piece = units[2 * start : 2 * end].decode("utf-16-le", "replace")
        inner = lines(piece)
        for first, last, span in usable:
            if first <= start and end <= last:
                inner = _span(inner, span)
        out.append(inner)
    return "".join(out)


def _span(inner: str, span: Mapping[str, Any]) -> str:
    kind = str(span.get("type"))
    data = span.get("data")
    if kind == "hyperlink" and isinstance(data, Mapping):
        return linked(inner, data.get("url"))
    return marked(inner, [_SPANS[kind]]) if kind in _SPANS else inner
