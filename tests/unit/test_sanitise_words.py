"""Cleaning keeps what a story says: no word vanishes, no two words become one, nothing hidden comes to light."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.intake import html_tags, sanitise
from service.intake.sanitise import clean
from service.intake.text import from_html

BASE = "https://paper.example/2026/story"


def text_of(markup: str) -> str:
    return from_html(clean(markup, BASE).html)


@pytest.mark.parametrize(
    ("given_html", "cleaned"),
    [
        ("<div>dawn.</div><div>The mayor</div>", "<p>dawn.</p><p>The mayor</p>"),
        ("<div>a<p>b</p>c <i>d</i></div>", "<p>a</p><p>b</p><p>c <i>d</i></p>"),
        ("<b><div>One</div><div>Two</div></b>", "<b><p>One</p><p>Two</p></b>"),
        ("<h2><div>One</div><div>Two</div></h2>", "<h2>One<br>Two</h2>"),
        ("<tr><td>One</td><td>Two</td></tr>", "<p>One</p><p>Two</p>"),
        ("<menu><li>One<li>Two</menu>", "<ul><li>One</li><li>Two</li></ul>"),
        ("a<xmp><b>x</b></xmp>b", "a<pre>&lt;b&gt;x&lt;/b&gt;</pre>b"),
        (
            "<del>people died</del> <strike>x</strike> <ins>were hurt</ins>",
            "<s>people died</s> <s>x</s> <u>were hurt</u>",
        ),
        ("<bdo dir=rtl>abc</bdo>", '<span dir="rtl">abc</span>'),
        ("a\ufdd0b\U0001fffec", "abc"),
        ("<p>a&#xFDD0;b</p>", "<p>ab</p>"),
    ],
)
def test_words_keep_their_meaning_and_their_distance(given_html: str, cleaned: str) -> None:
    assert clean(given_html, BASE).html == cleaned


@pytest.mark.parametrize(
    "given_html",
    [
        "<p hidden>x</p>",
        '<p hidden="until-found">x</p>',
        "<p style='display:none'>x</p>",
        '<font style="color: red; DISPLAY : none !important">x</font>',
        '<p style="display/**/:none">x</p>',
        '<p style="display&#58;none">x</p>',
        "<div style='visibility: hidden'><p>x</p></div>",
        "<span aria-hidden=true>x</span>",
        "<template><p>x</p></template>",
        "<table><tr hidden><td>x</table>",
        "<datalist><option>x</datalist>",
        "<dialog>x</dialog>",
        "<div popover>x</div>",
    ],
)
def test_hidden_parts_go_with_their_content(given_html: str) -> None:
    assert text_of(f"<p>before</p>{given_html}<p>after</p>") == "before\n\nafter"


@pytest.mark.parametrize(
    "style", ["color:red", "display:none;display:block", "background:url(none)", "x-display:none"]
)
def test_visible_parts_stay(style: str) -> None:
    assert text_of(f'<p style="{style}">x</p>') == "x"


def test_an_open_dialog_is_a_paragraph_of_its_own() -> None:
    assert (
        clean("<dialog open>We use cookies.</dialog>The mayor", BASE).html
        == "<p>We use cookies.</p>The mayor"
    )


@pytest.mark.parametrize(
    ("given_html", "address"),
    [
        ('<img data-src="/a.jpg">', "https://paper.example/a.jpg"),
        ('<img src="data:image/gif;base64,R0" data-src="/a.jpg">', "https://paper.example/a.jpg"),
        ('<img src="/spinner.gif" data-lazy-src="/a.jpg">', "https://paper.example/a.jpg"),
        ('<img srcset="/s.jpg 400w, /a.jpg 800w">', "https://paper.example/a.jpg"),
        ('<img data-srcset="/s.jpg 1x, /a.jpg 2x">', "https://paper.example/a.jpg"),
        ('<picture><source srcset="/a.jpg 800w"><img alt=""></picture>', "https://paper.example/a.jpg"),
        ('<noscript><img src="/a.jpg"></noscript>', "https://paper.example/a.jpg"),
        (
            '<img data-src="/a.jpg"><noscript><img src="/a.jpg">Enable JavaScript</noscript>',
            "https://paper.example/a.jpg",
        ),
        ("<amp-img src='//i.example/a.jpg'></amp-img>", "https://i.example/a.jpg"),
        ("<img src=//i.example/a.jpg>", "https://i.example/a.jpg"),
    ],
)
def test_a_picture_has_its_true_address_once(given_html: str, address: str) -> None:
    cleaned = clean(given_html, BASE).html
    assert re.findall('src="([^"]*)"', cleaned) == [address]
    assert "Enable" not in cleaned


def test_a_picture_without_an_address_goes_and_its_neighbours_stay_two_words() -> None:
    cleaned = clean("One<img data-id=7>Two", None)
    assert (cleaned.html, "<img> without an address (1)" in cleaned.removed) == ("One Two", True)


@pytest.mark.parametrize(
    "given_html",
    [
        '<video src="//v.example/1">x</video>',
        '<video controls><source src="https://v.example/1">Your browser is old</video>',
        '<audio src="https://v.example/1" />',
        '<iframe src="//v.example/1"></iframe>',
        '<iframe title="<a>" data-src="https://v.example/1"></iframe>',
        '<embed src="https://v.example/1">',
        '<object data="https://v.example/1"></object>',
    ],
)
def test_a_film_alone_is_a_story(given_html: str) -> None:
    link = '<p><a href="https://v.example/1">https://v.example/1</a></p>'
    assert clean(given_html, None).html == link


def test_a_frame_of_plain_http_becomes_a_link_and_words_beside_it_stay() -> None:
    cleaned = clean('<p>See<iframe src="http://v.example/1" />below</p>', None).html
    assert (
        from_html(cleaned),
        cleaned.count("<a "),
    ) == ("See http://v.example/1 below", 1)


def test_a_bookmark_card_does_not_glue_its_title_to_its_description() -> None:
    card = '<figure><a href="/b"><div><div>Title</div><div>Description</div></div></a></figure>'
    assert text_of(card) == "Title\n\nDescription"


def test_the_mark_and_the_selectors_that_prove_a_texts_origin_are_untouched() -> None:
    proof = "\ufeff" + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
    for markup in (f"{proof}a", f"<p>a{proof}</p>", f"<div>{proof}a</div>"):
        assert proof in clean(markup, None).html


def test_a_users_name_and_password_leave_the_addresses_with_a_warning() -> None:
    cleaned = clean('<a href="https://u:p@h.example/x">y</a><img src="https://u:p@h.example/y">', None)
    assert cleaned.html == '<a href="https://h.example/x">y</a><img src="https://h.example/y">'
    assert cleaned.removed == ("user name or password in an address (2)",)


def test_an_address_keeps_its_own_query() -> None:
    assert (
        clean('<a href="https://e.example/?a=1&copy=2&amp;b">y</a>', None).html
        == '<a href="https://e.example/?a=1&amp;copy=2&amp;b">y</a>'
    )


NOT_SHOWN = {
    *["script", "style", "title", "textarea", "noembed", "noframes", "template", "select", "datalist"],
    *["svg", "math", "video", "audio", "iframe", "noscript", "xmp", "plaintext", "amp-video", "amp-audio"],
    *["option", "optgroup", "picture", "dialog"],
}
APART = sorted(
    {
        "address", "article", "aside", "blockquote", "body", "button", "caption", "center", "dd", "details", "dir",
        "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
        "header", "hgroup", "legend", "li", "listing", "main", "marquee", "menu", "nav", "ol", "optgroup", "option",
        "p", "pre", "search", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
    }
)  # fmt: skip


@pytest.mark.parametrize("name", APART)
def test_words_of_two_blocks_never_become_one(name: str) -> None:
    assert text_of(f"<{name}>One</{name}><{name}>Two</{name}>").split() == ["One", "Two"]


@pytest.mark.parametrize("name", ["br", "hr", "img", "input", "iframe", "video", "audio", "object", "canvas"])
def test_words_on_both_sides_of_a_thing_never_become_one(name: str) -> None:
    words = text_of(f"<p>One<{name}></{name}>Two</p>").split()
    assert words == ["One", "Two"]


NAMES = sorted(
    (html_tags.KEPT_KINDS.keys() | {"font", "mark", "small", "label", "my-card"}) - NOT_SHOWN - html_tags.VOID
)
NAMES = [
    name
    for name in NAMES
    if html_tags.KEPT_KINDS.get(name) not in (html_tags.Kind.GONE, html_tags.Kind.APART)
]
INLINE = {
    name for name in NAMES if html_tags.KEPT_KINDS.get(name, html_tags.Kind.INLINE) is html_tags.Kind.INLINE
}


@st.composite
def trees(draw: st.DrawFn, depth: int = 4) -> list[str]:
    """Nested elements in a row, as their tags and texts; each word is `w`, for a number each."""
    parts: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        if depth and draw(st.booleans()):
            name = draw(st.sampled_from(NAMES))
            parts += [f"<{name}>", *draw(trees(depth - 1)), f"</{name}>"]
        else:
            parts.append(" w ")
    return parts


@settings(max_examples=400, deadline=None)
@given(trees())
def test_no_visible_word_vanishes_or_glues(parts: list[str]) -> None:
    numbers = iter(range(len(parts)))
    words = [f"w{next(numbers)}w" if part == " w " else part for part in parts]
    markup = "".join(f" {word} " if word[0] == "w" else word for word in words)
    shown = text_of(markup).split()
    assert sorted(shown) == sorted(word for word in words if word[0] == "w")


@settings(max_examples=300, deadline=None)
@given(
    trees(),
    st.lists(st.sampled_from(["<div>", "</div>", "<p>", "</b>", "<b>", "<td>", "<!--x-->"]), max_size=4),
)
def test_cleaned_trees_are_settled_and_nothing_is_left_to_remove(parts: list[str], noise: list[str]) -> None:
    markup = "".join(part + loose for part, loose in zip(parts, [*noise, *[""] * len(parts)], strict=False))
    once = clean(markup, BASE).html
    assert clean(once, BASE).html == once
    assert sanitise._NH3.wash(once) == once


PLAIN_PIECES = ["<p>a</p>", "<p>a <em>b</em></p>", '<p><a href="https://e.example/a?b=1&amp;c=2">l</a></p>',
                "\n", "<ul><li>a</li></ul>",
                "<blockquote>", "</blockquote>", "<h2>h</h2>", "<p>x &amp; y<br>z</p>"]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PLAIN_PIECES), max_size=8).map("".join))
def test_the_short_way_of_a_plain_story_ends_where_the_long_way_does(markup: str) -> None:
    assert clean(markup, BASE).html == clean(f"{markup}<!-- -->", BASE).html
