"""Slugs of sections: names for addresses, in letters and digits of any script. Pure.

Each name has one form (`fold`), which the record, the addresses and the files of the export have: NFC, in small letters
where the script has them. Two slugs that a file system could take for one (`likeness`) are not given together.
"""

from __future__ import annotations

import re
import unicodedata

CHARACTERS_MAX = 64
BYTES_MAX = 128  # in UTF-8: an address has three characters for each, a file name its ending besides
SHAPE = r"^(?:[a-z0-9-]|[^\x00-\x7f])+$"  # for programs that cannot ask what a letter is

_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo"})
_DIGITS = frozenset({"Nd", "Nl"})
_MARKS = frozenset({"Mn", "Mc"})
# Letters and marks that nobody sees: those of Unicode's Default_Ignorable_Code_Point, and a filler of Khitan's script.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U00016fe4\U000e0100-\U000e01ef]"
)
_FINAL_SIGMA = re.compile("σ(?=-|$)")


def fold(name: str) -> str:
    """The one form of a name. `İ` is taken for the letter `i`, and a sigma that ends a word is written `ς`."""
    if name.isascii():
        return name.strip().lower()
    composed = unicodedata.normalize("NFC", name.strip()).replace("\u0130", "i")
    folded = unicodedata.normalize("NFD", composed).casefold()
    return _FINAL_SIGMA.sub("ς", unicodedata.normalize("NFC", folded))


def fault(slug: str) -> str | None:
    """The reason why a folded name is no slug, in words; None if it is one."""
    if not slug:
        return "it is empty"
    size = len(slug.encode(errors="replace"))
    if len(slug) > CHARACTERS_MAX or size > BYTES_MAX:
        return f"it has {len(slug)} characters, {size} bytes in UTF-8; {CHARACTERS_MAX} and {BYTES_MAX} are the most"
    before = ""
    for each in slug:
        kind = _kind(each)
        if kind == "M" and before not in ("L", "M"):
            return f"the mark {_named(each)} in it belongs to no letter"
        if not kind:
            return f"{_named(each)} is neither a letter nor a digit nor a hyphen"
        before = kind
    return "it begins or ends with a hyphen" if "-" in (slug[0], slug[-1]) else None


def likeness(slug: str) -> str:
    """Equal for slugs that file systems take for one: some write all in capitals, or letters in their plainest form."""
    capitals = unicodedata.normalize("NFKC", slug).upper()
    return unicodedata.normalize("NFKC", capitals.casefold())


def _kind(character: str) -> str:
    """`L` letter, `M` mark, `N` digit, `-`; empty for what no slug may have."""
    if character.isascii():
        return "-" if character == "-" else "L" if character.islower() else "N" if character.isdigit() else ""
    category = unicodedata.category(character)
    if _UNSEEN.match(character):
        return ""
    return category[0] if category in _LETTERS | _DIGITS | _MARKS else ""


def _named(character: str) -> str:
    """The character's number and name: itself it could be unseen, or turn the direction of writing."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()
