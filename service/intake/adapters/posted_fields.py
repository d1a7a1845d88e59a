"""The fields of a posted article as they are read: known ones, their texts cleaned, with a warning for each change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from service.intake import html_addresses, leniency, text
from service.intake.article import LONGEST_LIST, PARTS

NOTES_MAX = 100  # warnings or errors of one article that are answered

# Not cleaned here: the body has a cleaner of its own, and what identifies is taken as it is or refused.
_AS_POSTED = frozenset(("body_html", "sections", "packages"))
_ADDRESSES = frozenset(("url", "licence_url"))
_NOTES = frozenset(("correction_note", "kill_reason", "reason", "ednote"))
_PROSE = _NOTES | {"summary", "body_text", "caption", "notice", "usage_terms"}
_MOMENTS = frozenset(("created_at", "published_at", "updated_at", "embargo_until", "expires_at"))
# Of other fields the empty value says as much as their absence; of these it is a mistake, or ("alt") a statement.
_KEPT_EMPTY = frozenset(("id", "status", "alt"))
_TELLING = _MOMENTS | _ADDRESSES | {"language", "correction_note"}  # an empty one may be a mistake
_LENIENT: dict[str, Callable[[str], tuple[str, str | None]]] = {
    **dict.fromkeys(_MOMENTS, leniency.moment),
    "language": leniency.language,
}


@dataclass(frozen=True)
class Note:
    """`pointer` is a JSON pointer (RFC 6901) into what was posted; "" is all of it."""

    pointer: str
    detail: str


_UNKNOWN = "This field is not known and was ignored."
_UNREAD = Note("", "")


def tidy_object(
    fields: dict[str, Any], model: type[BaseModel], at: str, warnings: list[Note]
) -> dict[str, Any]:
    """The fields known to the model, without nulls, their texts cleaned; a warning for each that is not known."""
    known = model.model_fields
    tidied: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in known:
            # Of a hundred thousand, the first are answered: no words are made for the others.
            unread = len(warnings) >= NOTES_MAX
            warnings.append(_UNREAD if unread else Note(f"{at}/{escaped(name)}", _UNKNOWN))
            continue
        tidy = _tidy(name, value, f"{at}/{name}", warnings)
        if tidy is not None and (tidy not in ("", [], {}) or name in _KEPT_EMPTY):
            tidied[name] = tidy
        elif name in _TELLING and isinstance(value, str) and not value.strip():
            warnings.append(Note(f"{at}/{name}", leniency.LEFT_OUT))
    return tidied


def _tidy(name: str, value: Any, pointer: str, warnings: list[Note]) -> Any:
    if name == "id":
        return _noted(leniency.identifier(value), pointer, warnings)
    if isinstance(value, str):
        return value if name in _AS_POSTED else _tidy_text(name, value, pointer, warnings)
    if isinstance(value, list):
        if len(value) > LONGEST_LIST:
            return value  # it is refused
        return [_tidy(name, part, f"{pointer}/{place}", warnings) for place, part in enumerate(value)]
    if isinstance(value, dict) and name in PARTS:
        return tidy_object(value, PARTS[name], pointer, warnings)
    return value


def _tidy_text(name: str, value: str, pointer: str, warnings: list[Note]) -> str:
    legal = text.legal(value)
    if legal != value:
        warnings.append(Note(pointer, "Control characters were removed."))
    tidy = text.prose(legal) if name in _PROSE else text.line(legal)
    if name in _LENIENT:
        return str(_noted(_LENIENT[name](tidy), pointer, warnings))
    if name not in _ADDRESSES or (bare := html_addresses.without_user(tidy)) == tidy:
        return tidy
    warnings.append(Note(pointer, "The user name or password in this address was removed."))
    return bare


def _noted(reading: tuple[Any, str | None], pointer: str, warnings: list[Note]) -> Any:
    value, words = reading
    if words is not None:
        warnings.append(Note(pointer, words))
    return value


def escaped(name: str) -> str:
    """A name as a step of a JSON pointer."""
    return text.shown(name).replace("~", "~0").replace("/", "~1")
