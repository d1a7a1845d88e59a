"""Characters that no document may hold are taken out of every text, alone and among others; all others stay."""

from __future__ import annotations

import unicodedata

import pytest

from service.intake.text import legal

_ILLEGAL = {
    chr(code)
    for code in range(0x110000)
    if (unicodedata.category(chr(code)) in {"Cc", "Cs"} and chr(code) not in "\t\n\r")
    or code & 0xFFFE == 0xFFFE
    or 0xFDD0 <= code <= 0xFDEF
}


@pytest.mark.parametrize("around", [("", ""), ("a", "b"), ("é\u2019", "اردو"), ("\U0001f6a2", "\U0001f6a2")])
def test_a_text_loses_its_illegal_characters_and_no_other(around: tuple[str, str]) -> None:
    before, behind = around
    for code in range(0x110000):
        character = chr(code)
        left = "" if character in _ILLEGAL else character
        assert legal(f"{before}{character}{behind}") == f"{before}{left}{behind}", hex(code)
