"""A section's slug is made of letters and digits of any script, has one form, and is never taken for another's."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.store.feeds import slugs

GOOD = ["world", "a--b", "2024", "中国", "اردو", "हिन्दी", "ελλάδα", "politika-č", "தமிழ்", "ไทย", "မြန်မာ", "ישראל",
        "한국", "二〇二六", "ʻokina", "ışık", "𠀀", "日" * 42, "a" * 64]  # fmt: skip


@pytest.mark.parametrize("slug", GOOD)
def test_a_name_of_any_script_is_a_slug_in_each_of_its_forms(slug: str) -> None:
    assert slugs.fault(slug) is None
    for form in ("NFC", "NFD"):
        assert slugs.fold(f" {unicodedata.normalize(form, slug)} ") == slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [("World", "world"), ("Ελλάδα", "ελλάδα"), ("ΕΛΛΑΣ", "ελλας"), ("ελλάσ-νέα", "ελλάς-νέα"), ("Straße", "strasse"),
     ("İstanbul", "istanbul"), ("I\u0307stanbul", "istanbul"), ("Привет", "привет")],
)  # fmt: skip
def test_capitals_are_written_small(name: str, slug: str) -> None:
    assert slugs.fold(name) == slug
    assert slugs.fault(slug) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "it is empty"),
        ("a b", "U+0020 SPACE"),
        ("a/b", "U+002F SOLIDUS"),
        ("a.b", "U+002E FULL STOP"),
        ("a_b", "U+005F LOW LINE"),
        ("..", "U+002E FULL STOP"),
        ("中\u3000国", "U+3000 IDEOGRAPHIC SPACE"),
        ("中国。", "U+3002 IDEOGRAPHIC FULL STOP"),
        ("اردو\u202e", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("مي\u200cخواهم", "U+200C ZERO WIDTH NON-JOINER"),
        ("中\ufeff国", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("a\u00adb", "U+00AD SOFT HYPHEN"),
        ("\u3164", "U+3164 HANGUL FILLER"),
        ("न\ufe0f", "U+FE0F VARIATION SELECTOR-16"),
        ("a\u034fb", "U+034F COMBINING GRAPHEME JOINER"),
        ("\u0301a", "U+0301 COMBINING ACUTE ACCENT in it belongs to no letter"),
        ("a-\u0301b", "U+0301 COMBINING ACUTE ACCENT in it belongs to no letter"),
        ("x²", "U+00B2 SUPERSCRIPT TWO"),
        ("🚢", "U+1F6A2 SHIP"),
        ("a\x00b", "U+0000"),
        ("\ud800", "U+D800"),
        ("-中国", "hyphen"),
        ("中国-", "hyphen"),
        ("日" * 43, "129 bytes"),
        ("a" * 65, "65 characters"),
    ],
)
def test_a_name_that_no_address_should_have_is_refused_with_its_reason(name: str, words: str) -> None:
    reason = slugs.fault(slugs.fold(name))
    assert reason is not None
    assert words in reason
    assert reason.isprintable()


@pytest.mark.parametrize(("one", "other"), [("ışık", "işik"), ("ｗｏｒｌｄ", "world"), ("ﬁlm", "film")])
def test_names_that_a_file_system_takes_for_one_are_alike(one: str, other: str) -> None:
    assert slugs.likeness(slugs.fold(one)) == slugs.likeness(other)


@settings(max_examples=100)
@given(st.text(max_size=20))
def test_any_name_has_one_form_and_fits_into_an_address(name: str) -> None:
    slug = slugs.fold(name)
    assert slugs.fold(slug) == slug
    if slugs.fault(slug) is None:
        assert slug == unicodedata.normalize("NFC", slug)
        assert quote(slug).isascii()
        assert len(quote(slug)) <= 3 * slugs.BYTES_MAX
        assert not set("/.\\ %?#") & set(slug)
