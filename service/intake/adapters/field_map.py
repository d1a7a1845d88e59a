"""Fields of ours out of a record of a system without a fixed schema: where they are by its habit, or by the source's
own map (`--field`). Rich text becomes HTML; names are found in whatever an editor's relation looks like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from service import times
from service.intake import leniency, text
from service.intake.adapters.adapter import FieldRule, SourceSettings, StoryRead, Unreadable
from service.intake.adapters.json_values import a_moment, an_object, at_pointer, filled, words
from service.intake.rich_text.converters import NoRichText, converted
from service.intake.rich_text.html_writing import plain_address

# The places that an article's fields have by habit, in any of these systems; the first that says something counts.
HABITS: Mapping[str, Sequence[str]] = {
    "headline": ("/title", "/headline", "/name"),
    "summary": ("/summary", "/excerpt", "/description", "/standfirst", "/teaser", "/lead", "/dek", "/meta/description"),
    "body_html": ("/body", "/content", "/body_html", "/bodyHtml", "/html", "/text", "/article", "/blocks", "/richText"),
    "sections": ("/sections", "/section", "/categories", "/category", "/channels", "/channel", "/topics", "/topic"),
    "keywords": ("/keywords", "/tags"),
    "authors": ("/authors", "/author", "/byline", "/populatedAuthors", "/writers"),
    "images": (
        "/image", "/images", "/cover", "/coverImage", "/cover_image", "/featuredImage", "/featured_image", "/mainImage",
        "/main_image", "/heroImage", "/hero_image", "/hero/media", "/thumbnail",
    ),
    "url": ("/url", "/canonicalUrl", "/canonical_url", "/permalink"),
    "correction_note": ("/correctionNote", "/correction_note", "/correction"),
    "language": ("/language", "/locale", "/lang"),
    "embargo_until": ("/embargoUntil", "/embargo_until", "/embargo"),
}  # fmt: skip
_PUBLIC = frozenset(("published", "publish", "public", "live", "usable", "visible"))
_NAMES = (
    "name",
    "title",
    "label",
    "fullName",
    "full_name",
    "displayName",
    "headline",
    "slug",
    "_ref",
    "value",
)
_LISTS = ("sections", "packages", "keywords", "authors", "images")
_MOMENTS = ("published_at", "updated_at", "embargo_until", "expires_at")
_WEB = ("https://", "http://")
_PROSE = ("headline", "summary", "correction_note")
_WRITTEN = ("summary", "correction_note")
_SIZES = ("width", "height")
_TWO_LEVELS = ("file", "asset", "media", "image", "data", "attributes", "directus_files_id", "fields")


@dataclass(frozen=True)
class RecordHabits:
    """A system's own habits: its places before the common ones, and how it writes the address of an image."""

    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    image_address: Callable[[Any], str] = plain_address
    media_path: str = ""  # of addresses within texts that are the system's own, such as /uploads/


def read_record(
    record: Mapping[str, Any], settings: SourceSettings, habits: RecordHabits, known: Mapping[str, Any]
) -> StoryRead:
    """The story in a record; `known` are the fields that the system itself says for certain. Raises Unreadable."""
    fields: dict[str, Any] = {}
    warnings: list[str] = []
    names = dict.fromkeys([*HABITS, *habits.places, *settings.fields])
    for name in names:
        if name in ("id", "status") or (name in known and name not in settings.fields):
            continue
        rule, value = _found(record, name, settings, habits)
        try:
            fields[name] = _value(name, value, rule, settings, habits, warnings)
        except NoRichText as error:
            raise Unreadable(f"{rule.pointer}: {error}") from None
    if not fields.get("headline"):
        raise Unreadable("it has no headline that is known: --field headline=/…")
    return StoryRead(filled({**fields, **_certain(known, settings)}), tuple(warnings))


def _certain(known: Mapping[str, Any], settings: SourceSettings) -> dict[str, Any]:
    return {
        name: value
        for name, value in known.items()
        if name in ("id", "status") or name not in settings.fields
    }


def has_headline(record: Mapping[str, Any], settings: SourceSettings, habits: RecordHabits) -> bool:
    return bool(first_value(record, "headline", settings, habits))


def first_value(record: Mapping[str, Any], name: str, settings: SourceSettings, habits: RecordHabits) -> Any:
    """The record's own value of a field of ours, as it is there."""
    return _found(record, name, settings, habits)[1]


def _found(
    record: Mapping[str, Any], name: str, settings: SourceSettings, habits: RecordHabits
) -> tuple[FieldRule, Any]:
    if name in settings.fields:
        rule = settings.fields[name]
        return rule, at_pointer(record, rule.pointer)
    for pointer in (*habits.places.get(name, ()), *HABITS.get(name, ())):
        value = at_pointer(record, pointer)
        if value not in (None, "", [], {}):
            return FieldRule(pointer), value
    return FieldRule(""), None


def _value(
    name: str,
    value: Any,
    rule: FieldRule,
    settings: SourceSettings,
    habits: RecordHabits,
    warnings: list[str],
) -> Any:
    if name == "body_html":
        return _body(value, rule, settings, habits, warnings)
    if name in _LISTS:
        found = _list_value(name, value, settings, habits)
        if name == "images" and value and not found:
            warnings.append(f"{rule.pointer}: its image has no full web address: set --base-url")
        return found
    if name in _MOMENTS and not rule.converter:
        return _moment(value)
    if name == "url":
        return value if isinstance(value, str) and value.startswith(_WEB) else None
    if name == "language" and isinstance(value, Mapping):
        return _first(value, ("code", "languages_code", "locale", "tag", "slug"))
    if rule.converter or (isinstance(value, list | dict) and name in _PROSE):
        value = text.from_html(converted(value, rule.converter).html)
    if isinstance(value, str) and name in _WRITTEN and leniency.looks_like_html(value):
        value = text.from_html(value)  # of an editor that makes HTML; readers see it as text
    return text.line(value) if name == "headline" and isinstance(value, str) else value


def _moment(value: Any) -> Any:
    """A time with its offset, UTC if it says none; what is no time stays, so that the story waits for its map."""
    found = a_moment(value) if isinstance(value, str) else None
    return times.to_iso(found) if found else value


def _list_value(name: str, value: Any, settings: SourceSettings, habits: RecordHabits) -> list[Any]:
    if name == "images":
        found = (_image(each, settings, habits) for each in _list(value, is_split=False))
        return [each for each in found if each]
    parts = _list(value, is_split=True)
    if name == "authors":
        return [author for each in parts if (author := _author(each))]
    named = [names for each in parts if (names := names_of(each))]
    return named if name == "sections" else [each[0] for each in named]


def _body(
    value: Any, rule: FieldRule, settings: SourceSettings, habits: RecordHabits, warnings: list[str]
) -> str:
    def address(image: Any) -> str:
        return absolute(habits.image_address(image), settings)

    rich = converted(value, rule.converter, address)
    if rich.left_out:
        warnings.append(f"{rule.pointer}: not shown are {', '.join(rich.left_out)}"[:500])
    if not habits.media_path or not settings.base_url:
        return rich.html
    return re.sub(
        rf"""\b((?:src|href)\s?=\s?["'])(?={re.escape(habits.media_path)})""",
        lambda found: found[1] + settings.base_url,
        rich.html,
    )


def absolute(address: str, settings: SourceSettings) -> str:
    """The address as it can be fetched: a relative one is the system's own."""
    try:
        return urljoin(f"{settings.base_url}/", address) if settings.base_url and address else address
    except ValueError:
        return address


def _list(value: Any, *, is_split: bool) -> list[Any]:
    if isinstance(value, str):
        return [each.strip() for each in value.split(",")] if is_split else [value]
    return value if isinstance(value, list) else [] if value is None else [value]


def names_of(value: Any, depth: int = 0) -> list[str]:
    """The names that a section, a keyword or an author has: of a relation, those of the record at its end."""
    if isinstance(value, str):
        return [text.line(value)] if text.line(value) else []
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)[:20]]
    if not isinstance(value, Mapping) or depth > 3:
        return []
    found = [words(value, each) for each in _NAMES] + [words(value, "slug", "current")]
    people = [" ".join(filter(None, (words(value, "first_name"), words(value, "last_name"))))]
    named = list(dict.fromkeys(text.line(each) for each in (*people, *found) if text.line(each)))
    if named:
        return named
    if words(value, "sys", "id"):
        return [words(value, "sys", "id")]
    return _first_named(value, depth)


def _first_named(value: Mapping[str, Any], depth: int) -> list[str]:
    """The names of the record that a junction or an envelope holds; else the number that it points to."""
    for each in value.values():
        if isinstance(each, Mapping) and (names := names_of(each, depth + 1)):
            return names
    numbers = (each for name, each in value.items() if name.endswith("_id") and not isinstance(each, Mapping))
    return next((names for each in numbers if (names := names_of(each, depth + 1))), [])


def _author(value: Any) -> dict[str, str]:
    """A relation that is its record's number alone names nobody."""
    if isinstance(value, int):
        return {}
    names = names_of(value)
    url = words(value, "url")
    return filled({"name": names[0], "url": url if url.startswith(_WEB) else ""}) if names else {}


def _image(value: Any, settings: SourceSettings, habits: RecordHabits) -> dict[str, Any]:
    address = habits.image_address(value)
    facts = an_object(value)
    for inner in _TWO_LEVELS:
        if isinstance(value, Mapping) and isinstance(value.get(inner), Mapping):
            address = address or habits.image_address(value[inner])
            facts = {**an_object(value, inner), **facts}
    address = absolute(address, settings)
    if not address.startswith(_WEB):
        return {}
    return filled(
        {
            "url": address,
            "alt": _first(facts, ("alternativeText", "alt", "altText", "description")),
            "caption": _first(facts, ("caption",)),
            "credit": _first(facts, ("credit", "attribution")),
            **{name: facts[name] for name in _SIZES if _is_size(facts.get(name))},
        }
    )


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 100_000


def _first(facts: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((words(facts, each) for each in names if words(facts, each)), "")


def is_public(record: Mapping[str, Any], settings: SourceSettings, default: str = "/status") -> bool:
    """Whether a record's own status says that readers see it; without a status they do."""
    rule = settings.fields.get("status")
    value = at_pointer(record, rule.pointer if rule else default)
    if isinstance(value, str):
        return value.strip().lower() in _PUBLIC or not value
    return value is None or value is True
