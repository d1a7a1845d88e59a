"""The JSON schema of a posted article where it says more than the types of its fields: what is blank, what may be null.

What the intake takes, a client that checks its posts by the schema may send. Of what the schema allows, the intake
refuses only what no schema can know: the sections and the articles of this desk, the registry of languages, and what
the cleaning of HTML leaves.
"""

from __future__ import annotations

from pydantic.config import JsonDict

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_LEGAL = r"\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff"
FILLED_TEXT = rf"[^\s{_LEGAL}]"
BLANK_TEXT = rf"^[\s{_LEGAL}]*$"
IDENTIFIER = rf"^[^\s{_LEGAL}]([^\t\r\n{_LEGAL}]*[^\s{_LEGAL}])?$"
_PORT = r"[0-5]?[0-9]{0,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_PART = "[0-9A-Fa-f]{1,4}"
_IPV6 = rf"({_PART}:){{7}}{_PART}|({_PART}:){{1,6}}:{_PART}|::({_PART}:){{0,5}}{_PART}"
_HOST = rf'[^\s\\<>"/?#@\[\]:{_CONTROLS}]+|\[({_IPV6})\]'
URL = rf'^[Hh][Tt][Tt][Pp][Ss]?://({_HOST})(:({_PORT}))?([/?#][^\s\\<>"{_CONTROLS}]*)?$'
_YEAR = "[0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3}"
_DAY = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-9])"
_HOUR = "([01][0-9]|2[0-3]):[0-5][0-9]"
_CLOCK = rf"({_YEAR})-({_DAY})[Tt]{_HOUR}:[0-5][0-9](\.[0-9]+)?"
MOMENT = rf"^{_CLOCK}([Zz]|[+-]{_HOUR})$"
# An offset without its colon; a system's zero, which is no time.
_ZERO = r"[Tt ]00:00:00(\.0+)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?"
_ZERO_DAY = rf"(0001-01-01|0000-00-00)({_ZERO})?|1970-01-01[Tt]00:00:00(\.0+)?([Zz]|[+-]00:?00)"
ODD_MOMENT = rf"^({_CLOCK}[+-]([01][0-9]|2[0-3])[0-5][0-9]|{_ZERO_DAY})$"
RELATIVE = rf'^[^\s\\<>":/?#{_CONTROLS}]*([/?#][^\s\\<>"{_CONTROLS}]*)?$'

_FILLED: JsonDict = {"type": "string", "pattern": FILLED_TEXT}
_BLANK: JsonDict = {"enum": ["", None]}


def text(most: int | None = None, *, filled: bool = False) -> JsonDict:
    """A text of so many characters at the most; `filled`: with something to see in it."""
    facts: JsonDict = {"type": "string"}
    if most is not None:
        facts["maxLength"] = most
    return facts | ({"minLength": 1, "pattern": FILLED_TEXT} if filled else {})


def any_of(*kinds: JsonDict) -> JsonDict:
    """A text of one of these kinds; an empty one, which is left out, is good too."""
    return {"anyOf": [*kinds, {"type": "string", "pattern": BLANK_TEXT}]}


# A whole article has a headline, sections and a body.
ARTICLE: JsonDict = {
    "required": ["id", "headline", "sections"],
    "allOf": [{"properties": {"headline": _FILLED, "sections": {"type": "array", "minItems": 1}}}],
    "anyOf": [
        {"required": ["body_html"], "properties": {"body_html": _FILLED}},
        {"required": ["body_text"], "properties": {"body_text": _FILLED}},
    ],
}


ORIGIN: JsonDict = {
    "anyOf": [
        {"required": ["name"], "properties": {"name": _FILLED}},
        {"properties": {"name": _BLANK, "country": _BLANK, "url": {"type": "null"}}},
    ],
    "required": [],
}
