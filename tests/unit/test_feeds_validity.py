"""The rules of the W3C feed validator that concern these feeds, and what a real reader makes of them."""

import json
import re
from datetime import datetime
from typing import Any

import feedparser
import pytest
from lxml import etree

from feeds import Format, ItemAuthor, ItemImage, ItemOrigin, Masthead, entry, render
from feeds.direction import direction
from feeds.json_feed import VERSION
from tests.feed_samples import T, a_feed, a_full_item, an_item, some_items

XML: tuple[Format, ...] = ("rss", "atom")
URI = re.compile(r"https?://[0-9a-zA-Z;/?:@&=+$.\-_!~*'()%,#\[\]]+")


def rss_item(**fields: Any) -> etree._Element:
    return etree.fromstring(render(a_feed(), [a_full_item(**fields)], "rss"))[0].findall("item")[0]


def atom_entry(**fields: Any) -> etree._Element:
    return etree.fromstring(render(a_feed(), [a_full_item(**fields)], "atom")).findall("{*}entry")[0]


def json_item(**fields: Any) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(entry(a_full_item(**fields), "json"))
    return item


def names(element: etree._Element) -> list[str]:
    return [etree.QName(child).localname for child in element]


# --- RSS


def test_content_comes_after_a_description_even_if_there_is_no_summary() -> None:
    for item in (rss_item(), rss_item(summary=None, body_text=None), rss_item(summary=None, body_html=None)):
        assert names(item).index("description") < names(item).index("encoded")
        assert item.findtext("description")


def test_a_description_made_for_want_of_a_summary_is_short_and_has_no_markup() -> None:
    made = rss_item(
        summary=None, body_text=None, correction_note=None, body_html="<p>One &amp; two</p>" * 200
    )
    text = made.findtext("description") or ""
    assert text.startswith("One &amp; two One")
    assert len(text) < 500
    assert text.endswith("…")


def test_a_description_of_chinese_text_is_short_too() -> None:
    text = rss_item(summary=None, body_text="港" * 1000, correction_note=None).findtext("description") or ""
    assert text == "港" * 300 + "…"


def test_plain_text_in_a_description_is_read_as_it_was_written() -> None:
    read = feedparser.parse(render(a_feed(), [an_item(summary="1 < 2 & <b> is no tag")], "rss"))
    assert read.entries[0].summary == "1 &lt; 2 &amp; &lt;b&gt; is no tag"


def test_rss_has_one_enclosure_with_a_length_in_digits() -> None:
    (enclosure,) = rss_item().findall("enclosure")
    assert dict(enclosure.attrib) == {
        "url": "https://img.example/ship.jpg",
        "length": "12345",
        "type": "image/jpeg",
    }


@pytest.mark.parametrize("size", [None, 0, -1])
def test_unknown_length_is_zero_and_unknown_size_is_absent(size: int | None) -> None:
    item = rss_item(images=(ItemImage("https://img.example/a", bytes=size, width=size, height=size),))
    assert dict(item.findall("enclosure")[0].attrib)["length"] == "0"
    assert dict(item.findall("{*}content")[0].attrib) == {"url": "https://img.example/a", "medium": "image"}


def test_an_image_on_a_host_without_a_dot_is_no_enclosure() -> None:
    images = (ItemImage("http://localhost/a.png"), ItemImage("http://127.0.0.1/b.png"))
    (enclosure,) = rss_item(images=images).findall("enclosure")
    assert enclosure.get("url") == "http://127.0.0.1/b.png"
    assert rss_item(images=images[:1]).find("enclosure") is None


def test_creators_are_not_said_twice() -> None:
    assert "author" not in names(rss_item())
    same = rss_item(authors=(ItemAuthor("李雷"),))
    assert [creator.text for creator in same.findall("{*}creator")] == ["李雷"]


def test_the_source_is_not_said_twice() -> None:
    assert names(rss_item()).count("source") == 1
    assert names(rss_item(origin=ItemOrigin("AP"))).count("source") == 1


def test_dates_are_in_the_form_of_rfc_2822_with_a_numeric_zone_and_the_right_day() -> None:
    written = rss_item().findtext("pubDate") or ""
    assert written == "Fri, 02 Jan 2026 08:00:00 +0000"
    assert datetime.strptime(written, "%a, %d %b %Y %H:%M:%S %z") == T


def test_an_edit_moves_updated_and_leaves_the_date_of_publication() -> None:
    before, after = rss_item(), rss_item(revision=4, updated=T.replace(day=3, microsecond=1_007))
    assert before.findtext("pubDate") == after.findtext("pubDate")
    assert after.findtext("{*}modified") == after.findtext("{*}updated") == "2026-01-03T08:00:00.001+00:00"


def test_channel_elements_come_before_the_first_item() -> None:
    channel = etree.fromstring(render(a_feed(), some_items(), "rss"))[0]
    after = names(channel)[names(channel).index("item") :]
    assert set(after) == {"item"}
    assert {"title", "link", "description", "language", "lastBuildDate", "docs", "generator"} <= set(
        names(channel)
    )


# --- both


@pytest.mark.parametrize("fmt", XML)
def test_namespaces_are_exact(fmt: Format) -> None:
    root = etree.fromstring(render(a_feed(), some_items(), fmt))
    assert root.nsmap["media"] == "http://search.yahoo.com/mrss/"
    assert root.nsmap["dc"] == "http://purl.org/dc/elements/1.1/"
    assert root.nsmap["dcterms"] == "http://purl.org/dc/terms/"
    assert root.nsmap.get("content" if fmt == "rss" else None) in {
        "http://purl.org/rss/1.0/modules/content/",
        "http://www.w3.org/2005/Atom",
    }


@pytest.mark.parametrize("fmt", XML)
def test_the_feed_links_to_its_own_address_with_its_own_type(fmt: Format) -> None:
    root = etree.fromstring(render(a_feed(public_url="https://feeds.example/"), [], fmt))
    (own,) = [link for link in root.iter("{http://www.w3.org/2005/Atom}link") if link.get("rel") == "self"]
    assert own.get("href") == f"https://feeds.example/feeds/world.{fmt}"
    assert own.get("type") == f"application/{fmt}+xml"


@pytest.mark.parametrize("fmt", XML)
@pytest.mark.parametrize(
    ("given", "written"),
    [
        (
            "https://paper.example/世界/a b?q=港#é",
            "https://paper.example/%E4%B8%96%E7%95%8C/a%20b?q=%E6%B8%AF#%C3%A9",
        ),
        ("HTTPS://Paper.Example", "https://paper.example/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://paper.example/100%/%41", "https://paper.example/100%25/%41"),
        ("https://user:pass@paper.example:8443/x", "https://paper.example:8443/x"),
        ('https://paper.example/"<>', "https://paper.example/%22%3C%3E"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x"),
    ],
)
def test_links_are_written_in_ascii(fmt: Format, given: str, written: str) -> None:
    root = etree.fromstring(render(a_feed(), [an_item(url=given)], fmt))
    link = root.findtext("channel/item/link") if fmt == "rss" else root.find("{*}entry/{*}link").get("href")  # type: ignore[union-attr]
    assert link == written


@pytest.mark.parametrize("fmt", [*XML, "json"])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "/a",
        "javascript:alert(1)",
        "ftp://a.example/",
        "https://",
        "https://[",
        "https://a:b/",
        "https://a b/",
    ],
)
def test_text_that_is_no_web_address_is_left_out(fmt: Format, url: str) -> None:
    author, origin = ItemAuthor("Ann", url), ItemOrigin("AP", url)
    made = entry(an_item(url=url, authors=(author,), origin=origin, images=(ItemImage(url),)), fmt)
    assert made == entry(an_item(url=None, authors=(ItemAuthor("Ann"),), origin=ItemOrigin("AP")), fmt)


@pytest.mark.parametrize("tag", ["", "english!", "e", "en_GB", "a-" * 9])
@pytest.mark.parametrize("fmt", [*XML, "json"])
def test_text_that_is_no_language_is_left_out(fmt: Format, tag: str) -> None:
    assert entry(an_item(language=tag), fmt) == entry(an_item(language=None), fmt)


@pytest.mark.parametrize("fmt", XML)
def test_a_correction_is_the_first_thing_read(fmt: Format) -> None:
    read = feedparser.parse(render(a_feed(), [a_full_item()], fmt)).entries[0]
    note = "An earlier version named the wrong port."
    assert read.content[0].value.startswith(f"<p><strong>Correction:</strong> {note}</p>")
    assert read.summary.startswith(f"Correction: {note} Ships")


@pytest.mark.parametrize("fmt", [*XML, "json"])
def test_a_correction_note_cannot_bring_markup(fmt: Format) -> None:
    made = render(a_feed(), [an_item(correction_note="<script>x</script>")], fmt).decode()
    assert "&lt;script&gt;" in made


def test_text_without_markup_becomes_paragraphs() -> None:
    body = atom_entry(
        body_html=None, body_text="One & two\nthree\n\n\nfour", correction_note=None, origin=None
    )
    assert body.findtext("{*}content") == "<p>One &amp; two<br>three</p>\n<p>four</p>"


# --- Atom


def test_atom_has_each_obligatory_element_once() -> None:
    root = etree.fromstring(render(a_feed(), some_items(), "atom"))
    for name in ("id", "title", "updated", "author", "generator"):
        assert len(root.findall(f"{{*}}{name}")) == 1
    for found in root.findall("{*}entry"):
        for name in ("id", "title", "updated", "published", "content"):
            assert len(found.findall(f"{{http://www.w3.org/2005/Atom}}{name}")) == 1


def test_attribution_is_in_atom() -> None:
    found = atom_entry()
    assert found.findtext("{http://purl.org/dc/elements/1.1/}source") == "Harbour Daily"
    assert [a.text for a in found.findall("{*}author/{*}name")] == ["Ann Lee", "Bo Ek", "李雷"]
    assert found.findtext("{*}author/{*}uri") == "https://paper.example/ann"
    assert found.findtext("{*}contributor/{*}name") == "韩梅梅"
    assert found.findtext("{*}alternative") == "港口重新开放"
    assert found.findtext("{*}rights") == "© 2026 The Paper – No archiving."
    assert found.findtext("{*}publisher") == "The Paper"


def test_attribution_is_in_rss() -> None:
    item = rss_item()
    source = item.find("source")
    assert source is not None
    assert (source.text, source.get("url")) == ("Harbour Daily", "https://harbour.example/story")
    assert item.findtext("{*}contributor") == "韩梅梅"
    assert item.findtext("{*}alternative") == "港口重新开放"
    assert item.findtext("{*}rights") == "© 2026 The Paper – No archiving."
    assert item.findtext("{*}rightsHolder") == "The Paper"


def test_attribution_is_in_json() -> None:
    item = json_item()
    told = item["_dateline"]
    assert item["external_url"] == "https://harbour.example/story"
    assert told["origin"] == {
        "name": "Harbour Daily",
        "url": "https://harbour.example/story",
        "country": "CN",
    }
    assert (told["original_author"], told["original_headline"]) == ("李雷", "港口重新开放")
    assert told["responsible_editor"] == "韩梅梅"
    assert told["rights"]["usage_terms"] == "No archiving."


def test_sections_packages_and_keywords_have_distinct_schemes() -> None:
    told = [dict(category.attrib) for category in atom_entry().findall("{*}category")]
    assert told == [
        {"term": "world", "scheme": "urn:x-dateline:section", "label": "World"},
        {"term": "china", "scheme": "urn:x-dateline:section", "label": "China"},
        {"term": "shipping", "scheme": "urn:x-dateline:package"},
        {"term": "ports"},
        {"term": "trade"},
    ]


# --- JSON Feed


def test_a_json_feed_tells_its_version_first_and_knows_no_nulls() -> None:
    made = render(a_feed(), some_items(), "json")
    assert made.startswith(b'{"version":"%s","title":"World \xe2\x80\x93 Dateline News"' % VERSION.encode())
    assert b"null" not in made
    told = json.loads(made)
    assert told["feed_url"] == "https://feeds.example/feeds/world.json"
    assert told["hubs"] == [{"type": "WebSub", "url": "https://hub.example/"}]


def test_json_items_have_the_fields_that_readers_demand() -> None:
    for item in json.loads(render(a_feed(), some_items(), "json"))["items"]:
        assert isinstance(item["id"], str)
        assert item.get("content_html") or item.get("content_text")
        assert "author" not in item
        assert all(author["name"] for author in item.get("authors", []))
        assert all(a["url"] and a["mime_type"] for a in item.get("attachments", []))
        assert not any("." in name for name in item)


def test_json_is_utf_8_and_not_escaped() -> None:
    assert "港口重新开放".encode() in render(a_feed(), some_items(), "json")


# --- a real reader


@pytest.mark.parametrize("fmt", XML)
def test_feedparser_reads_story_link_image_and_authors(fmt: Format) -> None:
    read = feedparser.parse(render(a_feed(), [a_full_item()], fmt), resolve_relative_uris=False)
    assert not read.bozo
    assert read.version == {"rss": "rss20", "atom": "atom10"}[fmt]
    assert read.feed.link == "https://feeds.example/"
    (story,) = read.entries
    assert story.link == "https://paper.example/world/1"
    assert story.id == a_full_item().id
    assert story.title == "Harbour reopens, day 1"
    assert story.enclosures[0].href == "https://img.example/ship.jpg"
    assert (story.enclosures[0].type, story.enclosures[0].length) == ("image/jpeg", "12345")
    names = ["Ann Lee", "Bo Ek", "李雷"]
    assert [author.name for author in story.authors] == ([", ".join(names)] if fmt == "rss" else names)
    assert story.media_content[0]["url"] == "https://img.example/ship.jpg"
    assert story.published_parsed[:6] == (2026, 1, 2, 8, 0, 0)
    assert story.updated_parsed[:6] == (2026, 1, 2, 8, 1, 0)
    assert [tag.label or tag.term for tag in story.tags][:2] == ["World", "China"]


@pytest.mark.parametrize("fmt", XML)
def test_feedparser_finds_self_and_hub(fmt: Format) -> None:
    links = {link.rel: link.href for link in feedparser.parse(render(a_feed(), [], fmt)).feed.links}
    assert links["self"] == f"https://feeds.example/feeds/world.{fmt}"
    assert links["hub"] == "https://hub.example/"


@pytest.mark.parametrize("fmt", XML)
def test_every_address_written_is_a_uri(fmt: Format) -> None:
    item = a_full_item(url="https://paper.example/世界", images=(ItemImage("https://img.example/船.jpg"),))
    root = etree.fromstring(render(a_feed(), [item], fmt))
    addresses = [value for e in root.iter() for name, value in e.attrib.items() if name in ("href", "url")]
    assert len(addresses) >= 5
    assert all(URI.fullmatch(str(address)) for address in addresses)


# --- the desk's name and logo


LOGO = "https://feeds.example/logo.png"


def test_the_logo_is_in_every_format_and_rss_s_image_has_the_channel_s_title_and_link() -> None:
    feed = a_feed(masthead=Masthead("Harbour Daily", LOGO))
    channel = etree.fromstring(render(feed, [an_item()], "rss"))[0]
    told = {name: channel.findtext(f"image/{name}") for name in ("url", "title", "link", "width")}
    assert told == {"url": LOGO, "title": "World – Harbour Daily", "link": feed.home_url, "width": None}
    assert (channel.findtext("title"), channel.findtext("link")) == (told["title"], told["link"])
    root = etree.fromstring(render(feed, [an_item()], "atom"))
    assert (root.findtext("{*}icon"), root.findtext("{*}logo")) == (LOGO, LOGO)
    made = json.loads(render(feed, [an_item()], "json"))
    assert (made["icon"], made["favicon"]) == (LOGO, LOGO)
    assert f'<link rel="icon" href="{LOGO}">'.encode() in render(feed, [an_item()], "html")
    assert b"<image>" not in render(a_feed(), [an_item()], "rss")


def test_the_desk_s_name_is_that_of_the_publisher_and_of_the_author_of_what_names_none() -> None:
    for fmt in XML:
        read = feedparser.parse(render(a_feed(), [an_item()], fmt)).feed
        assert read.title == "World – Dateline News"
        assert read.get("publisher" if fmt == "rss" else "author") == "Dateline News"
    made = json.loads(render(a_feed(), [an_item()], "json"))
    assert (made["title"], made["_dateline"]["publisher"]) == ("World – Dateline News", "Dateline News")
    assert "authors" not in made


def test_a_republished_story_ends_with_its_source() -> None:
    line = '<p>Source: <a href="https://harbour.example/story">Harbour Daily</a></p>'
    assert (rss_item().findtext("{*}encoded") or "").endswith(line)
    assert (atom_entry().findtext("{*}content") or "").endswith(line)
    assert json_item()["content_html"].endswith(line)
    text = json_item(body_html=None)["content_text"]
    assert text.endswith("\n\nSource: Harbour Daily https://harbour.example/story")
    assert (
        rss_item(origin=ItemOrigin("新华社"), language="zh")
        .findtext("{*}encoded", "")
        .endswith("来源： 新华社</p>")
    )
    assert "wire" not in json_item(withdrawn="killed")["content_html"]
    assert "Source" not in json_item(withdrawn="killed")["content_html"]


# --- text and its direction


@pytest.mark.parametrize(
    ("written", "in_xml"),
    [("Prices <rise", "Prices &#x3C;rise"), ("Q & A", "Q &#x26; A"), ("1 &lt; 2", "1 &#x26;lt; 2")],
)
def test_rss_writes_less_than_and_ampersand_as_numbers(written: str, in_xml: str) -> None:
    """The validator takes `&lt;a` in RSS for markup, and `&#x3C;a` for text."""
    made = render(a_feed(title=written), [an_item(headline=written, keywords=(written,))], "rss")
    assert made.count(f">{in_xml}".encode()) >= 3
    outside = re.sub(rb"<!\[CDATA\[.*?\]\]>|<[^>]*>", b"", made, flags=re.DOTALL)
    assert b"&lt;" not in outside
    assert b"&amp;" not in outside
    assert etree.fromstring(made).findtext("channel/item/title") == written


@pytest.mark.parametrize(
    ("tag", "way"),
    [
        ("ur", "rtl"), ("ar-EG", "rtl"), ("fa", "rtl"), ("he", "rtl"), ("ps", "rtl"), ("ckb", "rtl"), ("dv", "rtl"),
        ("yi", "rtl"), ("ur-Latn", "ltr"), ("az-Arab", "rtl"), ("az", "ltr"), ("pa-PK", "rtl"), ("pa", "ltr"),
        ("uz-AF", "rtl"), ("ku", "ltr"), ("zh-yue-Hant", "ltr"), ("en", "ltr"), ("UR-pk", "rtl"), ("ff-Adlm", "rtl"),
        ("ar-Latn-EG", "ltr"),
    ],
)  # fmt: skip
def test_a_language_or_its_script_tells_the_direction(tag: str, way: str) -> None:
    assert direction(tag) == way
    wrapped = f'<div dir="rtl" lang="{tag}">'
    assert json_item(language=tag)["content_html"].startswith(wrapped) == (way == "rtl")


def test_a_story_of_no_named_language_has_the_direction_of_its_headline() -> None:
    made = json_item(language=None, headline="«بندرگاہ»")["content_html"]
    assert made.startswith('<div dir="rtl"><p><strong>')
    assert made.endswith("</p></div>")
    assert not json_item(language=None)["content_html"].startswith("<div")


def test_note_body_and_notice_of_a_right_to_left_story_are_in_its_direction_once() -> None:
    for item in (json_item(language="ur"), json_item(language="ur", body_html=None)):
        assert item["content_html"].startswith('<div dir="rtl" lang="ur"><p><strong>تصحیح:</strong>')
        assert "content_text" not in item
    notice = json_item(language="ur", withdrawn="killed")
    assert notice["content_html"].startswith('<div dir="rtl" lang="ur"><p>')
    assert json_item(language="ar", withdrawn="killed")["content_html"].startswith("<p>")  # in English


def test_json_s_summary_begins_with_the_correction_as_in_the_other_formats() -> None:
    told = "Correction: An earlier version named the wrong port. Ships are back in the harbour."
    assert (
        json_item()["summary"]
        == atom_entry().findtext("{*}summary")
        == rss_item().findtext("description")
        == told
    )
    alone = told.partition(" Ships")[0]
    assert json_item(summary=None)["summary"] == atom_entry(summary=None).findtext("{*}summary") == alone
    assert "summary" not in json_item(summary=None, correction_note=None)
