"""Text of others is shown as text: nothing in it moves a cursor, rings a bell or turns a line around."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.plain_text import MARK, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("answered 200 OK", "answered 200 OK"),
        ("\x1b[31mred\x1b[0m", f"{MARK}[31mred{MARK}[0m"),
        ("a\rb\nc\x9bd\x07", f"a{MARK}b{MARK}c{MARK}d{MARK}"),
        ("abc\u202egpj.exe", f"abc{MARK}gpj.exe"),
        ("暴风雨\u3000过后 café بارش", "暴风雨\u3000过后 café بارش"),
        ("half a character: \ud800", f"half a character: {MARK}"),
    ],
)
def test_a_character_that_cannot_be_seen_becomes_a_mark(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_line_ends_stay_where_they_are_wanted() -> None:
    assert printable("one\ntwo\r", keep="\n") == f"one\ntwo{MARK}"


@given(st.text(st.characters()))
def test_every_text_keeps_its_length_and_can_be_written(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert shown.encode().decode() == shown
    assert printable(shown) == shown
