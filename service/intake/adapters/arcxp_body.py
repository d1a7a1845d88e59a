"""The body of an Arc XP story: its content elements (ANS, the Arc Native Specification) as HTML, not yet cleaned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from service.intake.adapters.json_values import an_object, objects, part, plain, words

_DEEPEST = 12  # lists and quotes within each other; what is deeper is left out


def body_html(story: dict[str, Any]) -> tuple[str, list[str]]:
    """The body, and the types of its elements that are no text and were left out."""
    left_out: dict[str, None] = {}
    html = "\n".join(_elements(objects(story, "content_elements"), 0, left_out))
    return html, list(left_out)


def corrections(story: dict[str, Any]) -> list[str]:
    """The texts of its corrections, as they stand in the story."""
    found = [plain(words(each, "text")) for each in objects(story, "content_elements")
             if words(each, "type") == "correction"]  # fmt: skip
    return [each for each in found if each]


def image_credit(image: dict[str, Any]) -> str:
    return ", ".join(words(each, "name") for each in objects(image, "credits", "by") if words(each, "name"))


def _elements(elements: list[dict[str, Any]], depth: int, left_out: dict[str, None]) -> Iterator[str]:
    for element in elements:
        kind = words(element, "type")
        if kind in _NESTED and depth < _DEEPEST:
            yield _NESTED[kind](element, depth, left_out)
        elif kind in _PLAIN:
            yield _PLAIN[kind](element)
        elif len(left_out) < 20:
            left_out[kind[:40] or "without a type"] = None


def _text(element: dict[str, Any]) -> str:
    return f"<p>{words(element, 'content')}</p>"


def _header(element: dict[str, Any]) -> str:
    level = part(element, "level")
    level = level if isinstance(level, int) and not isinstance(level, bool) and 2 <= level <= 6 else 2
    return f"<h{level}>{words(element, 'content')}</h{level}>"


def _image(element: dict[str, Any]) -> str:
    url = words(element, "url")
    if not url:
        return ""
    caption = " ".join(each for each in (words(element, "caption"), image_credit(element)) if each)
    shown = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure><img src="{escape(url)}" alt="{escape(words(element, "alt_text"))}">{shown}</figure>'


def _link(element: dict[str, Any]) -> str:
    return f'<p><a href="{escape(words(element, "url"))}">{words(element, "content")}</a></p>'


def _embed(element: dict[str, Any]) -> str:
    return words(an_object(element, "raw_oembed"), "html")


def _correction(element: dict[str, Any]) -> str:
    return f"<p><strong>{words(element, 'text')}</strong></p>"


def _table(element: dict[str, Any]) -> str:
    rows = part(element, "rows")
    lines = [_row(objects(element, "header"), "th")]
    lines += [_row(objects(each), "td") for each in (rows if isinstance(rows, list) else [])]
    return f"<table>{''.join(lines)}</table>"


def _row(cells: list[dict[str, Any]], tag: str) -> str:
    inside = "".join(f"<{tag}>{words(each, 'content')}</{tag}>" for each in cells)
    return f"<tr>{inside}</tr>" if inside else ""


def _list(element: dict[str, Any], depth: int, left_out: dict[str, None]) -> str:
    tag = "ol" if words(element, "list_type") == "ordered" else "ul"
    items = objects(element, "items")
    inside = [
        words(each, "content")
        if words(each, "type") == "text"
        else "".join(_elements([each], depth + 1, left_out))
        for each in items
    ]
    return f"<{tag}>{''.join(f'<li>{each}</li>' for each in inside if each)}</{tag}>"


def _quote(element: dict[str, Any], depth: int, left_out: dict[str, None]) -> str:
    inside = "".join(_elements(objects(element, "content_elements"), depth + 1, left_out))
    citation = words(element, "citation", "content")
    return f"<blockquote>{inside}{f'<p>{citation}</p>' if citation else ''}</blockquote>"


def _group(element: dict[str, Any], depth: int, left_out: dict[str, None]) -> str:
    return "".join(_elements(objects(element, "content_elements"), depth + 1, left_out))


_PLAIN: dict[str, Callable[[dict[str, Any]], str]] = {
    "text": _text,
    "header": _header,
    "image": _image,
    "interstitial_link": _link,
    "oembed_response": _embed,
    "correction": _correction,
    "table": _table,
    "raw_html": lambda element: words(element, "content"),
    "code": lambda element: f"<pre>{escape(words(element, 'content'))}</pre>",
    "divider": lambda _element: "<hr>",
}
_NESTED: dict[str, Callable[[dict[str, Any], int, dict[str, None]], str]] = {
    "list": _list,
    "quote": _quote,
    "element_group": _group,
}
