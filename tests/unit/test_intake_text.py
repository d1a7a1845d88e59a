"""Characters that no document may hold are taken out of every text, alone and among others; all others stay."""

from __future__ import annotations

import unicodedata

import pytest

from service.intake.text import legal

EVERY_CODE = range(0x110000)
TOGETHER = 256  # characters of a text that has others around each


def is_illegal(character: str) -> bool:
    code = ord(character)
    control = unicodedata.category(character) in {"Cc", "Cs"} and character not in "\t\n\r"
    return control or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def test_an_illegal_character_alone_is_taken_out_and_no_other() -> None:
    for character in map(chr, EVERY_CODE):
        assert legal(character) == ("" if is_illegal(character) else character), hex(ord(character))


@pytest.mark.parametrize("around", [("a", "b"), ("é\u2019", "اردو"), ("\U0001f6a2", "\U0001f6a2")])
def test_a_text_loses_its_illegal_characters_and_no_other(around: tuple[str, str]) -> None:
    before, behind = around
    for first in EVERY_CODE[::TOGETHER]:
        text = [chr(code) for code in range(first, first + TOGETHER)]
        left = ["" if is_illegal(each) else each for each in text]
        cleaned = legal("".join(f"{before}{each}{behind}" for each in text))
        assert cleaned == "".join(f"{before}{each}{behind}" for each in left), hex(first)
