"""Portable Text, Sanity's list of blocks: lists are blocks with a level, links are marks with a key."""

from __future__ import annotations

from typing import Any

from service.intake.rich_text.html_writing import Writing, escaped, lines, linked, marked, nodes, tagged

_STYLES = {"blockquote": "blockquote", **{f"h{size}": f"h{size}" for size in range(1, 7)}}
_DECORATORS = {
    "strong": "strong", "em": "em", "underline": "u", "strike-through": "s", "code": "code", "sub": "sub", "sup": "sup",
}  # fmt: skip
_LEVELS_MAX = 9


def write(value: Any, writing: Writing) -> str:
    page = _Page()
    for each in nodes({"children": value if isinstance(value, list) else [value]}):
        _write_block(page, each, writing)
    page.close_lists(0)
    return "".join(page.out)


class _Page:
    """HTML that is being written, and the lists that are open in it."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self._open: list[str] = []

    def close_lists(self, level: int) -> None:
        while len(self._open) > level:
            self.out.append(f"</li></{self._open.pop()}>")

    def add_item(self, tag: str, level: int, inner: str) -> None:
        self.close_lists(level)
        if len(self._open) == level:
            if self._open[-1] == tag:
                self.out.append("</li>")
            else:
                self.close_lists(level - 1)
        while len(self._open) < level:
            self._open.append(tag)
            self.out.append(f"<{tag}><li>" if len(self._open) < level else f"<{tag}>")
        self.out.append(f"<li>{inner}")


def _write_block(page: _Page, block: dict[str, Any], writing: Writing) -> None:
    if block.get("_type", "block") != "block" and not nodes(block):
        page.close_lists(0)
        page.out.append(_object(block, writing))
        return
    inner = _spans(block, writing)
    item = block.get("listItem")
    if not isinstance(item, str) or not item:
        page.close_lists(0)
        style = block.get("style")
        page.out.append(tagged(_STYLES.get(style, "p") if isinstance(style, str) else "p", inner))
        return
    level = block.get("level")
    level = min(max(level, 1), _LEVELS_MAX) if isinstance(level, int) else 1
    page.add_item("ol" if item == "number" else "ul", level, inner)


def _spans(block: dict[str, Any], writing: Writing) -> str:
    links = {
        each["_key"]: each.get("href") or each.get("url")
        for each in nodes(block, "markDefs")
        if isinstance(each.get("_key"), str)
    }
    return "".join(_span(each, links, writing) for each in nodes(block))


def _span(span: dict[str, Any], links: dict[str, Any], writing: Writing) -> str:
    if span.get("_type", "span") != "span":
        return _object(span, writing)
    inner = lines(span.get("text"))
    marks = span.get("marks")
    names = [each for each in marks if isinstance(each, str)] if isinstance(marks, list) else []
    inner = marked(inner, (_DECORATORS[each] for each in names if each in _DECORATORS))
    for each in names:
        inner = linked(inner, links.get(each))
    return inner


def _object(block: dict[str, Any], writing: Writing) -> str:
    kind = block.get("_type")
    if kind == "image" or "asset" in block:
        return writing.image(block, block.get("alt"), block.get("caption"))
    if isinstance(block.get("code"), str):
        return tagged("pre", escaped(block["code"]))
    if kind in ("break", "divider", "hr", "horizontalRule"):
        return "<hr>"
    rows = nodes(block, "rows")
    if rows:
        return tagged("table", "".join(_row(each) for each in rows))
    return writing.leave_out(kind or "block without a type")


def _row(row: dict[str, Any]) -> str:
    cells = row.get("cells")
    return tagged("tr", "".join(f"<td>{lines(each)}</td>" for each in cells if isinstance(each, str))
                  if isinstance(cells, list) else "")  # fmt: skip
