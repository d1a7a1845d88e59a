"""The items and the feed that the tests of feeds use."""

from datetime import UTC, datetime, timedelta
from typing import Any

from feeds import Feed, Item, ItemAuthor, ItemImage, ItemOrigin, ItemRights, Masthead

T = datetime(2026, 1, 2, 8, 0, tzinfo=UTC)


def an_item(number: int = 1, **fields: Any) -> Item:
    """A plain story; as the tests need it, more is filled in."""
    defaults: dict[str, Any] = {
        "id": f"tag:dateline.example,2026:item/{number:06d}",
        "revision": 1,
        "headline": f"Harbour reopens, day {number}",
        "published": T,
        "updated": T + timedelta(minutes=number, milliseconds=number),
        "language": "en",
        "url": f"https://paper.example/world/{number}",
        "summary": "Ships are back in the harbour.",
        "body_html": "<p>Ships returned on Friday.</p>",
        "sections": (("world", "World"),),
        "number": number,
    }
    return Item(**{**defaults, **fields})


def a_full_item(number: int = 1, **fields: Any) -> Item:
    """A republished story with everything that a newsroom can tell of it."""
    return an_item(
        number,
        **{
            "revision": 3,
            "body_text": "Ships returned on Friday.",
            "authors": (ItemAuthor("Ann Lee", "https://paper.example/ann"), ItemAuthor("Bo Ek")),
            "origin": ItemOrigin("Harbour Daily", "https://harbour.example/story", "CN"),
            "original_author": "李雷",
            "original_headline": "港口重新开放",
            "responsible_editor": "韩梅梅",
            "rights": ItemRights(
                "The Paper", "© 2026 The Paper", "No archiving.", "https://paper.example/licence"
            ),
            "sections": (("world", "World"), ("china", "China")),
            "packages": ("shipping",),
            "keywords": ("ports", "trade"),
            "images": (
                ItemImage(
                    "https://img.example/ship.jpg",
                    alt="A ship",
                    credit="Photo: Z. Hu",
                    caption="A ship at dawn",
                    type="image/jpeg",
                    width=1200,
                    height=800,
                    bytes=12345,
                ),
                ItemImage("https://img.example/crane.png", alt="A crane"),
            ),
            "correction_note": "An earlier version named the wrong port.",
            "source_name": "The Paper",
            **fields,
        },
    )


def a_feed(**fields: Any) -> Feed:
    defaults: dict[str, Any] = {
        "slug": "world",
        "title": "World",
        "id": "tag:dateline.example,2026:feed/world",
        "public_url": "https://feeds.example",
        "home_url": "https://feeds.example/",
        "masthead": Masthead("Dateline News"),
        "updated": T,
        "language": "en",
        "hub": "https://hub.example/",
    }
    return Feed(**{**defaults, **fields})


def some_items() -> list[Item]:
    return [
        a_full_item(1),
        an_item(2, language="zh-Hans", headline="港口重新开放", origin=ItemOrigin("新华社"), summary=None),
        an_item(
            3, language="ur", headline="بندرگاہ دوبارہ کھل گئی", body_html=None, body_text="جہاز واپس آ گئے۔"
        ),
        an_item(4, withdrawn="killed"),
    ]
