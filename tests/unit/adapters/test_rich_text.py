"""Rich text of editors as HTML: every converter by its name, and a guess that fits where none is named."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.intake.adapters.json_values import at_pointer
from service.intake.rich_text.converters import CONVERTERS, NoRichText, converted, fitting
from tests.captured_hooks import any_json, spoiled


def test_markdown_has_tables_and_strikethrough_and_keeps_html() -> None:
    html = converted("At **dawn** & ~~six~~ <b>b</b>\n\n|a|\n|-|\n|1|", "markdown").html
    assert html.startswith("<p>At <strong>dawn</strong> &amp; <s>six</s> <b>b</b></p>")
    assert "<td>1</td>" in html


def test_plain_text_is_escaped_and_html_stays() -> None:
    assert converted("5 < 6\n\nb", "text").html == "<p>5 &lt; 6</p><p>b</p>"
    assert converted("<p>a</p>", "html").html == "<p>a</p>"
    assert converted(None, "lexical").html == ""


def _words(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}]


_LEXICAL: dict[str, Any] = {"root": {"type": "root", "children": [
    {"type": "heading", "tag": "h3", "children": [{"type": "text", "text": "Head <1>", "format": 0}]},
    {"type": "paragraph", "children": [
        {"type": "text", "text": "bold italic", "format": 3}, {"type": "linebreak"},
        {"type": "link", "fields": {"url": "https://a.example/?a=1&b=2"}, "children": _words("link")},
        {"type": "link", "fields": {"linkType": "internal", "doc": 7}, "children": _words("within")}]},
    {"type": "list", "listType": "number", "children": [
        {"type": "listitem", "children": [{"type": "text", "text": "one"}]},
        {"type": "listitem", "children": [{"type": "list", "listType": "bullet", "children": [
            {"type": "listitem", "children": [{"type": "text", "text": "inner"}]}]}]}]},
    {"type": "quote", "children": [{"type": "text", "text": "q"}]},
    {"type": "horizontalrule"},
    {"type": "upload", "value": {"url": "https://p.example/f.png", "alt": "F"}},
    {"type": "block", "fields": {"blockType": "banner"}},
]}}  # fmt: skip


def test_lexical_is_written_and_what_cannot_be_shown_is_named() -> None:
    rich = converted(_LEXICAL, "")
    assert rich.html == (
        "<h3>Head &lt;1&gt;</h3>"
        '<p><em><strong>bold italic</strong></em><br><a href="https://a.example/?a=1&amp;b=2">link</a>within</p>'
        "<ol><li>one</li><li><ul><li>inner</li></ul></li></ol><blockquote>q</blockquote><hr>"
        '<figure><img src="https://p.example/f.png" alt="F"></figure>'
    )
    assert rich.left_out == ("block",)


def _block(text: str, **facts: Any) -> dict[str, Any]:
    return {"_type": "block", "children": [{"_type": "span", "text": text}], **facts}


_PORTABLE = [
    _block("H", style="h2"),
    _block("a", listItem="bullet", level=1),
    _block("b", listItem="bullet", level=2),
    _block("c", listItem="number", level=1),
    _block("d"),
    {"_type": "code", "code": "x < y"},
    {"_type": "youtube", "url": "https://y.example"},
]


def test_lists_of_portable_text_are_put_into_each_other() -> None:
    rich = converted(_PORTABLE, "")
    assert rich.html == (
        "<h2>H</h2><ul><li>a<ul><li>b</li></ul></li></ul><ol><li>c</li></ol><p>d</p><pre>x &lt; y</pre>"
    )
    assert rich.left_out == ("youtube",)


_CONTENTFUL_TREE: dict[str, Any] = {"nodeType": "document", "data": {}, "content": [
    {"nodeType": "heading-2", "content": [{"nodeType": "text", "value": "H", "marks": [{"type": "italic"}]}]},
    {"nodeType": "paragraph", "content": [
        {"nodeType": "hyperlink", "data": {"uri": "https://a.example"},
         "content": [{"nodeType": "text", "value": "l"}]},
        {"nodeType": "entry-hyperlink", "data": {}, "content": [{"nodeType": "text", "value": "e\nf"}]}]},
    {"nodeType": "unordered-list", "content": [{"nodeType": "list-item", "content": [
        {"nodeType": "paragraph", "content": [{"nodeType": "text", "value": "i"}]}]}]},
    {"nodeType": "hr"},
    {"nodeType": "embedded-entry-block", "data": {}, "content": []},
]}  # fmt: skip


def test_contentfuls_rich_text_keeps_the_words_of_links_to_entries() -> None:
    rich = converted(_CONTENTFUL_TREE, "")
    assert rich.html == (
        '<h2><em>H</em></h2><p><a href="https://a.example">l</a>e<br>f</p><ul><li><p>i</p></li></ul><hr>'
    )
    assert rich.left_out == ("embedded-entry-block",)


_BLOCKS_OF_STRAPI: list[dict[str, Any]] = [
    {"type": "heading", "level": 3, "children": [{"type": "text", "text": "H"}]},
    {"type": "paragraph", "children": [
        {"type": "text", "text": "a ", "bold": True},
        {"type": "link", "url": "https://a.example", "children": [{"type": "text", "text": "l"}]}]},
    {"type": "list", "format": "ordered", "children": [
        {"type": "list-item", "children": [{"type": "text", "text": "i"}]}]},
    {"type": "image", "image": {"url": "/uploads/f.png", "alternativeText": "F", "caption": "C"}},
    {"__component": "shared.rich-text", "body": "**m**"},
    {"__component": "shared.quote", "title": "Who", "body": "q"},
    {"__component": "shared.slider"},
]  # fmt: skip


def test_strapis_blocks_and_dynamic_zones_are_written() -> None:
    rich = converted(_BLOCKS_OF_STRAPI, "")
    assert rich.html == (
        '<h3>H</h3><p><strong>a </strong><a href="https://a.example">l</a></p><ol><li>i</li></ol>'
        '<figure><img src="/uploads/f.png" alt="F"><figcaption>C</figcaption></figure>'
        "<p><strong>m</strong></p>\n<blockquote><p>q</p>\n<p>Who</p></blockquote>"
    )
    assert rich.left_out == ("shared.slider",)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("<p>a</p>", "html"), ("5 < 6 & **b**", "markdown"), (_LEXICAL, "lexical"), (_PORTABLE, "portable-text"),
        (_CONTENTFUL_TREE, "contentful"), (_BLOCKS_OF_STRAPI, "strapi-blocks"),
    ],
)  # fmt: skip
def test_the_converter_that_fits_is_found(value: Any, name: str) -> None:
    assert fitting(value) == name


def test_a_value_that_its_converter_does_not_read_is_told() -> None:
    for value, name in (
        ({"a": 1}, ""),
        ([1], ""),
        ("a", "lexical"),
        ([{"_type": "block"}], "html"),
        ("a", "docx"),
    ):
        with pytest.raises(NoRichText):
            converted(value, name)
    with pytest.raises(NoRichText, match="letters"):
        converted("a" * 3_000_000, "markdown")


def test_nodes_without_end_in_each_other_are_left_out() -> None:
    node: dict[str, Any] = {"type": "text", "text": "deep"}
    for _ in range(300):
        node = {"type": "quote", "children": [node]}
    assert converted({"root": {"children": [node]}}, "").left_out == ("what is nested too deep",)


def test_a_pointer_goes_through_the_items_of_a_list() -> None:
    record = {"a/b": [{"n": {"~": 1}}, {"n": {"~": 2}}, 3]}
    assert at_pointer(record, "/a~1b/n/~0") == [1, 2]
    assert at_pointer(record, "/a~1b/1/n/~0") == 2
    assert at_pointer(record, "/none/0/x") is None


@given(
    value=any_json() | spoiled([_LEXICAL, _PORTABLE, _CONTENTFUL_TREE, _BLOCKS_OF_STRAPI]),
    name=st.sampled_from(["", *CONVERTERS]),
)
@settings(max_examples=100, deadline=None)
def test_any_value_is_written_or_its_fault_told(value: Any, name: str) -> None:
    with contextlib.suppress(NoRichText):
        assert isinstance(converted(value, name).html, str)
