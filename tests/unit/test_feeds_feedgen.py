"""The faults of feedgen 1.0, which these feeds do not have."""

import locale
import re
from datetime import timedelta

import pytest
from lxml import etree

from feeds import Format, ItemImage, entry, render
from feeds.feedgen_xml import full_build
from feeds.public import public, public_feed
from feeds.repairs import ATOM, MEDIA
from tests.feed_samples import T, a_feed, a_full_item, an_item, some_items

XML: tuple[Format, ...] = ("rss", "atom")


def rss(*items: object, **fields: object) -> etree._Element:
    channel = etree.fromstring(render(a_feed(**fields), list(items), "rss")).find("channel")  # type: ignore[arg-type]
    assert channel is not None
    return channel


def atom(*items: object) -> etree._Element:
    return etree.fromstring(render(a_feed(), list(items), "atom"))  # type: ignore[arg-type]


def test_trap_1_atom_entry_links_keep_rel_type_language_title_and_length() -> None:
    links = [dict(link.attrib) for link in atom(a_full_item()).findall("{*}entry/{*}link")]
    assert links == [
        {"href": "https://paper.example/world/1", "rel": "alternate", "type": "text/html", "hreflang": "en"},
        {"href": "https://harbour.example/story", "rel": "via", "title": "Harbour Daily"},
        {
            "href": "https://img.example/ship.jpg",
            "rel": "enclosure",
            "type": "image/jpeg",
            "title": "A ship",
            "length": "12345",
        },
        {
            "href": "https://img.example/crane.png",
            "rel": "enclosure",
            "type": "image/png",
            "title": "A crane",
        },
        {"href": "https://paper.example/licence", "rel": "license"},
    ]


def test_trap_2_the_channel_links_home_though_the_hub_was_linked_last() -> None:
    assert rss(hub="https://hub.example/").findtext("link") == "https://feeds.example/"


def test_trap_3_rss_has_the_hub_too() -> None:
    links = {link.get("rel"): link.get("href") for link in rss().findall(f"{{{ATOM}}}link")}
    assert links == {"self": "https://feeds.example/feeds/world.rss", "hub": "https://hub.example/"}


@pytest.mark.parametrize("fmt", XML)
def test_trap_4_feeds_have_no_time_but_their_items(fmt: Format) -> None:
    made = render(a_feed(), [an_item(1), an_item(2)], fmt).decode()
    times = set(re.findall(r"\d\d:\d\d:\d\d(?:\.\d+)?", made))
    assert times <= {"08:00:00", "08:01:00.001", "08:02:00.002", "08:02:00"}


@pytest.mark.parametrize("fmt", XML)
def test_trap_5_the_full_build_keeps_the_order(fmt: Format) -> None:
    shown = [public(an_item(n)) for n in (1, 2)]
    made = full_build(public_feed(a_feed()), shown, (), T, fmt).decode()
    assert made.index("day 1") < made.index("day 2")


def test_trap_6_the_summary_does_not_take_the_contents_place() -> None:
    found = atom(an_item()).find("{*}entry")
    assert found is not None
    assert found.findtext("{*}content") == "<p>Ships returned on Friday.</p>"
    assert found.findtext("{*}summary") == "Ships are back in the harbour."


@pytest.mark.parametrize("fmt", XML)
def test_trap_7_cdata_is_no_type_and_its_end_within_the_text_ends_nothing(fmt: Format) -> None:
    made = entry(an_item(body_html="<p>a]]>b<![CDATA[c]]></p>"), fmt)
    assert b'type="CDATA"' not in made
    content = etree.fromstring(render(a_feed(), [an_item(body_html="<p>a]]>b<![CDATA[c]]></p>")], fmt))
    assert "<p>a]]>b<![CDATA[c]]></p>" in {element.text for element in content.iter()}


def test_trap_8_rss_names_authors_that_have_no_address() -> None:
    names = [creator.text for creator in rss(a_full_item()).findall("item/{*}creator")]
    assert names == ["Ann Lee, Bo Ek, 李雷"]
    assert rss(a_full_item()).find("item/author") is None


def test_trap_9_a_licence_is_linked_in_both() -> None:
    licence = "https://paper.example/licence"
    rels = [
        link.get("rel") for link in atom(a_full_item()).iter(f"{{{ATOM}}}link") if link.get("href") == licence
    ]
    assert rels == ["license"]
    assert rss(a_full_item()).findtext("item/{*}license") == licence


@pytest.mark.parametrize("fmt", XML)
def test_trap_10_control_characters_harm_neither_the_feed_nor_the_story(fmt: Format) -> None:
    made = render(a_feed(), [an_item(headline="Har\x00bour\x1b"), an_item(2)], fmt)
    assert b"Harbour<" in made
    assert len(etree.fromstring(made).findall(".//{*}item") + etree.fromstring(made).findall("{*}entry")) == 2


@pytest.mark.parametrize("fmt", XML)
def test_trap_11_images_are_whole_and_not_in_groups(fmt: Format) -> None:
    root = etree.fromstring(render(a_feed(), [a_full_item()], fmt))
    assert root.find(f".//{{{MEDIA}}}group") is None
    ship, crane = root.iter(f"{{{MEDIA}}}content")
    assert dict(ship.attrib) == {
        "url": "https://img.example/ship.jpg",
        "medium": "image",
        "type": "image/jpeg",
        "width": "1200",
        "height": "800",
        "fileSize": "12345",
    }
    told = {etree.QName(part).localname: part.text for part in ship}
    assert told == {"title": "A ship", "description": "A ship at dawn", "credit": "Photo: Z. Hu"}
    assert dict(crane.attrib) == {
        "url": "https://img.example/crane.png",
        "medium": "image",
        "type": "image/png",
    }


@pytest.mark.parametrize("fmt", XML)
def test_trap_12_the_processs_locale_is_never_touched(fmt: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: object) -> None:
        raise AssertionError("the locale belongs to the whole process")

    monkeypatch.setattr(locale, "setlocale", touched)
    render(a_feed(), some_items(), fmt)
    full_build(public_feed(a_feed()), [public(item) for item in some_items()], (), T, fmt)


def test_trap_13_no_incomplete_atom_source_is_written() -> None:
    found = atom(a_full_item()).find("{*}entry")
    assert found is not None
    assert found.find(f"{{{ATOM}}}source") is None
    assert found.find(f"{{{ATOM}}}title").attrib == {}  # type: ignore[union-attr]


@pytest.mark.parametrize("fmt", XML)
def test_trap_14_every_entry_tells_its_own_language(fmt: Format) -> None:
    root = etree.fromstring(render(a_feed(), some_items(), fmt))
    told = (
        [found.text for found in root.findall("channel/item/{*}language")]
        if fmt == "rss"
        else [found.get("{http://www.w3.org/XML/1998/namespace}lang") for found in root.findall("{*}entry")]
    )
    assert told == ["en", "zh-Hans", "ur", "en"]


def test_trap_15_the_guid_is_no_link() -> None:
    guid = rss(an_item()).find("item/guid")
    assert guid is not None
    assert dict(guid.attrib) == {"isPermaLink": "false"}
    assert guid.text == an_item().id


@pytest.mark.parametrize("fmt", XML)
def test_many_images_and_authors_do_not_mix_up_their_links(fmt: Format) -> None:
    images = tuple(ItemImage(f"https://img.example/{n}.png", alt=str(n)) for n in range(20))
    root = etree.fromstring(render(a_feed(), [an_item(images=images)], fmt))
    media = [(m.get("url"), m.findtext("{*}title")) for m in root.iter(f"{{{MEDIA}}}content")]
    assert media == [(image.url, image.alt) for image in images]


def test_stories_released_in_the_same_second_have_distinct_times() -> None:
    together = T + timedelta(hours=1)
    released = [an_item(n, updated=together) for n in range(60)]
    told = [found.text for found in atom(*released).findall("{*}entry/{*}updated")]
    assert len(set(told)) == 60
    assert all(text is not None and text.startswith("2026-01-02T09:00:00.0") for text in told)
    assert atom(*released).findtext("{*}updated") == max(text for text in told if text)
