"""The direction in which a language is written, for readers that lay out a story by its own markup alone.

The tables are of CLDR's likely scripts (https://cldr.unicode.org): a tag's own script decides, then its language with
its region, then its language.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

Direction = Literal["ltr", "rtl"]


def _tags(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SCRIPTS = _tags(
    """
    adlm arab aran hebr mand mend nkoo rohg samr syrc thaa yezi
    """
)
_LANGUAGES = _tags(
    """
    aeb ajp apc apd ar arb arc arq ars ary arz azb bal bgn bqi brh ckb dcc dv fa fas glk gwc hac haz he heb hnd
    hno iw ji khw ks lki lrc luz mvy mzn nqo oui pes phl phr pnb prs ps pus rhg scl sd sdh skr syr trw ug ur urd
    uzs wni xmn yi
    """
)
# Languages that are written in another script there than elsewhere.
_REGIONS = _tags(
    """
    az-iq az-ir ha-cm ha-sd kk-af kk-cn kk-ir kk-mn ku-iq ku-ir ky-cn ms-cc pa-pk tg-pk tk-af tk-ir tt-cn uz-af
    uz-cn
    """
)


def direction(tag: str | None, text: str = "") -> Direction:
    """The direction of a language; of one that is not named, that of the text's first letter."""
    if tag is None:
        return _direction_of_text(text)
    language, *rest = tag.lower().split("-")
    script = next((part for part in rest[:2] if len(part) == 4 and part.isalpha()), None)
    if script is not None:
        return "rtl" if script in _SCRIPTS else "ltr"
    region = next((part for part in rest[:2] if len(part) == 2), "")
    return "rtl" if language in _LANGUAGES or f"{language}-{region}" in _REGIONS else "ltr"


def _direction_of_text(text: str) -> Direction:
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in {"R", "AL"}:
            return "rtl"
        if kind == "L":
            return "ltr"
    return "ltr"
