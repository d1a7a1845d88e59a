"""Any text in any field: documents are well-formed, text comes back without the characters that no feed can carry."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from feeds import (
    FORMATS,
    Feed,
    Format,
    Item,
    ItemAuthor,
    ItemImage,
    ItemOrigin,
    ItemRights,
    Masthead,
    changed_at,
    render,
    text,
)
from feeds.feedgen_xml import full_build
from feeds.public import public, public_feed
from tests.feed_samples import a_feed, an_item

NASTY = (
    *(
        "\x00",
        "\x0b",
        "\x1b",
        "\x7f",
        "\x85",
        "\x9f",
        "\ud800",
        "\udfff",
        "\ufffd",
        "\ufffe",
        "\uffff",
        "\r\n",
        "\r",
    ),
    *(
        "]]>",
        "<![CDATA[",
        "&amp;",
        "&#0;",
        "<b>",
        "--",
        "<?xml",
        "%",
        "\u202e",
        "\u2066",
        "\u200f",
        "\u2028",
        "\ufeff",
    ),
    *(
        "𠮷野家",
        "👩‍👩‍👧",
        "پاکستان",
        "新华社",
        "e\u0301",
        "\t",
        "\n\n",
        "\u3000",
        "\\",
        '"',
        "'",
        "\U0010ffff",
    ),
)
ANY_TEXT = st.lists(st.one_of(st.sampled_from(NASTY), st.characters(exclude_categories=())), max_size=12).map(
    "".join
)
XML_PARSER = {"resolve_entities": False, "no_network": True, "recover": False}


def readable(text: str) -> str:
    """The text as feeds carry it: the characters of XML without the controls of C1; a line feed for each line end."""
    text = re.sub("\r\n|\r|\x85", "\n", text)
    return "".join(c for c in text if c in "\t\n" or " " <= c <= "~" or "\xa0" <= c <= "\ud7ff" or is_high(c))


def is_high(character: str) -> bool:
    return "\ue000" <= character <= "\ufffc" or character >= "\U00010000"


def on_one_line(text: str) -> str:
    return re.sub("[\t\n]+", " ", readable(text)).strip(" ")


def items(text: st.SearchStrategy[str]) -> st.SearchStrategy[Item]:
    return st.builds(
        an_item,
        headline=text.map(lambda t: f"x{t}"),
        summary=text,
        body_html=text.map(lambda t: f"<p>{t}"),
        body_text=text,
        language=text,
        url=text | text.map(lambda t: f"https://paper.example/{t}"),
        authors=st.tuples(st.builds(ItemAuthor, text, text)),
        origin=st.builds(ItemOrigin, text, text, text),
        original_author=text,
        original_headline=text,
        responsible_editor=text,
        rights=st.builds(ItemRights, text, text, text, text),
        sections=st.tuples(st.tuples(text, text)),
        packages=st.tuples(text),
        keywords=st.tuples(text, text),
        images=st.tuples(
            st.builds(ItemImage, text.map(lambda t: f"https://i.example/{t}"), text, text, text, text)
        ),
        correction_note=text,
        source_name=text,
    )


@pytest.mark.parametrize("fmt", ["rss", "atom"])
@settings(max_examples=80, deadline=None)
@given(item=items(ANY_TEXT), title=ANY_TEXT)
def test_any_text_in_any_field_gives_well_formed_xml_twice_the_same(
    fmt: Format, item: Item, title: str
) -> None:
    feed = a_feed(title=title, masthead=Masthead(title, title), description=title, language=title)
    made = render(feed, [item, an_item(2)], fmt)
    root = etree.fromstring(made, etree.XMLParser(**XML_PARSER))  # type: ignore[arg-type]
    assert len(root.findall("channel/item") or root.findall("{*}entry")) == 2
    assert made == render(feed, [item, an_item(2)], fmt)


@pytest.mark.parametrize("fmt", ["rss", "atom"])
@settings(max_examples=80, deadline=None)
@example(item=an_item(summary=None, body_html="&#0;&#127;&#x7f;]]>]]&gt;"))
@given(item=items(ANY_TEXT))
def test_any_text_in_any_field_is_written_as_feedgen_writes_it(fmt: Format, item: Item) -> None:
    whole = full_build(public_feed(a_feed()), [public(item)], (), changed_at(a_feed(), [item]), fmt)
    assert render(a_feed(), [item], fmt) == whole


@given(url=st.from_regex(text._PLAIN_URI, fullmatch=True))
def test_a_plain_url_stays_as_it_is_and_would_by_the_whole_reading_too(url: str) -> None:
    assert text.uri(url) == text.rewritten(url) == url


@settings(max_examples=80, deadline=None)
@given(item=items(ANY_TEXT), title=ANY_TEXT)
def test_any_text_in_any_field_gives_json(item: Item, title: str) -> None:
    feed: Feed = a_feed(title=title, masthead=Masthead(title, title), description=title, language=title)
    assert len(json.loads(render(feed, [item, an_item(2)], "json").decode())["items"]) == 2


@settings(max_examples=100, deadline=None)
@example(text="".join(NASTY))
@given(text=ANY_TEXT)
def test_text_comes_back_from_every_format(text: str) -> None:
    text = f"x{text}x"
    item = an_item(
        headline=text, body_html=text, original_author=text, original_headline=text, responsible_editor=text
    )
    for fmt in FORMATS:
        told = TELL[fmt](render(a_feed(), [item], fmt))
        assert told == [readable(text), *[on_one_line(text)] * 4], fmt


def _of_rss(made: bytes) -> list[Any]:
    (item,) = etree.fromstring(made).findall("channel/item")
    names = ("{*}encoded", "title", "{*}creator", "{*}alternative", "{*}contributor")
    return [item.findtext(name) for name in names]


def _of_atom(made: bytes) -> list[Any]:
    (entry,) = etree.fromstring(made).findall("{*}entry")
    names = ("{*}content", "{*}title", "{*}author/{*}name", "{*}alternative", "{*}contributor/{*}name")
    return [entry.findtext(name) for name in names]


def _of_json(made: bytes) -> list[Any]:
    (item,) = json.loads(made)["items"]
    told = item["_dateline"]
    names = (item["content_html"], item["title"], item["authors"][0]["name"])
    return [*names, told["original_headline"], told["responsible_editor"]]


TELL = {"rss": _of_rss, "atom": _of_atom, "json": _of_json}
