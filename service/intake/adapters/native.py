"""Dateline's own JSON article: bytes in; out comes the article for the record, or every fault at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from service import times
from service.intake import html_addresses, sanitise, text
from service.intake.adapters.json_body import decode
from service.intake.article import LONGEST_LIST, PARTS, TAKEDOWN_STATUSES, Article
from service.intake.html_tokens import PARTS_MAX
from service.intake.sanitise import TooLarge, clean
from service.store.articles.posts import PostedArticle

NOTES_MAX = 100  # warnings or errors of one article that are answered
DATED_AHEAD = timedelta(days=1)  # clocks and time zones differ
FIRST_YEAR = 1990  # of the web; what is older is told, but comes with a warning

# Not cleaned here: the body has a cleaner of its own, and what identifies is taken as it is or refused.
_AS_POSTED = frozenset(("body_html", "id", "sections", "packages"))
_ADDRESSES = frozenset(("url", "licence_url"))
_NOTES = frozenset(("correction_note", "kill_reason", "reason", "ednote"))
_PROSE = _NOTES | {"summary", "body_text", "caption", "notice", "usage_terms"}
_MOMENTS = frozenset(("published_at", "updated_at", "embargo_until", "expires_at"))
# Of other fields the empty value says as much as their absence; of these it is a mistake, or ("alt") a statement.
_KEPT_EMPTY = _MOMENTS | {
    "id",
    "headline",
    "status",
    "correction_note",
    "url",
    "licence_url",
    "language",
    "alt",
}


@dataclass(frozen=True)
class Note:
    """`pointer` is a JSON pointer (RFC 6901) into what was posted; "" is all of it."""

    pointer: str
    detail: str


@dataclass(frozen=True)
class Reading:
    """An article as it was read, and a warning for each change to it.

    `section_places`: the first place of each section in the posted list, for errors that are found later.
    """

    posted: PostedArticle
    warnings: tuple[Note, ...]
    section_places: Mapping[str, int] = field(default_factory=dict)


class Invalid(ValueError):
    """The article breaks the rules; `errors` has all of the reasons."""

    def __init__(self, errors: tuple[Note, ...]) -> None:
        super().__init__("; ".join(f"{note.pointer}: {note.detail}" for note in errors))
        self.errors = errors


def read(raw: bytes) -> Reading:
    """The article in a request's body. Raises NotJson or Invalid."""
    warnings: list[Note] = []
    fields = _tidy_object(decode(raw), Article, "", warnings)
    errors: list[Note] = []
    article = _validated(fields, errors)
    complete = _complete(fields, errors)
    if article is None or errors:
        raise Invalid(_first(errors))
    content = _content(article, warnings, errors) if complete else None
    if errors:
        raise Invalid(_first(errors))
    sections = article.sections or []
    places = {slug: sections.index(slug) for slug in sections}
    return Reading(_posted(article, content), _first(warnings), places)


def date_warnings(posted: PostedArticle, now: datetime) -> tuple[Note, ...]:
    """A warning for a time of publication that no reader will believe, with what the feeds do about it."""
    written = (posted.content or {}).get("published_at")
    if written is None:
        return ()
    published = times.from_iso(written)
    if published > max(now, posted.embargo_until or now) + DATED_AHEAD:
        words = "This lies ahead: feeds show the time when the article came here first instead."
    elif published.year < FIRST_YEAR:
        words = f"This is before {FIRST_YEAR}: it was kept, but feed readers and validators may call it implausible."
    else:
        return ()
    return (Note("/published_at", words),)


def _first(notes: list[Note]) -> tuple[Note, ...]:
    """The first notes, and the number of the others: an answer must not be many times as large as its request."""
    more = len(notes) - NOTES_MAX
    if more <= 0:
        return tuple(notes)
    return (*notes[:NOTES_MAX], Note("", f"There are {more:,} more of these."))


_STATE = {"id", "version", "updated_at", "status", "embargo_until", "expires_at", "correction_note"}
_UNKNOWN = "This field is not known and was ignored."
_UNREAD = Note("", "")
_NOT_CONTENT = _STATE | {"kill_reason", "reason", "body_html", "body_text", "published_at"}


def _tidy_object(
    fields: dict[str, Any], model: type[BaseModel], at: str, warnings: list[Note]
) -> dict[str, Any]:
    """The fields known to the model, without nulls, their texts cleaned; a warning for each that is not known."""
    known = model.model_fields
    tidied: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in known:
            # Of a hundred thousand, the first are answered: no words are made for the others.
            unread = len(warnings) >= NOTES_MAX
            warnings.append(_UNREAD if unread else Note(f"{at}/{_escaped(name)}", _UNKNOWN))
            continue
        tidy = _tidy(name, value, f"{at}/{name}", warnings)
        if tidy is not None and (tidy not in ("", [], {}) or name in _KEPT_EMPTY):
            tidied[name] = tidy
    return tidied


def _tidy(name: str, value: Any, pointer: str, warnings: list[Note]) -> Any:
    if isinstance(value, str):
        return value if name in _AS_POSTED else _tidy_text(name, value, pointer, warnings)
    if isinstance(value, list):
        if len(value) > LONGEST_LIST:
            return value  # it is refused
        return [_tidy(name, part, f"{pointer}/{place}", warnings) for place, part in enumerate(value)]
    if isinstance(value, dict) and name in PARTS:
        return _tidy_object(value, PARTS[name], pointer, warnings)
    return value


def _tidy_text(name: str, value: str, pointer: str, warnings: list[Note]) -> str:
    legal = text.legal(value)
    if legal != value:
        warnings.append(Note(pointer, "Control characters were removed."))
    tidy = text.prose(legal) if name in _PROSE else text.line(legal)
    if name not in _ADDRESSES or (bare := html_addresses.without_user(tidy)) == tidy:
        return tidy
    warnings.append(Note(pointer, "The user name or password in this address was removed."))
    return bare


def _validated(fields: dict[str, Any], errors: list[Note]) -> Article | None:
    try:
        return Article.model_validate(fields)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            pointer = "".join(f"/{_escaped(str(step))}" for step in problem["loc"])
            errors.append(Note(pointer, _plain(problem["type"], problem.get("ctx", {}), problem["msg"])))
    return None


_KINDS = {
    "string_type": 'This must be text in quotes, such as "…".',
    "int_type": "This must be a whole number, without quotes.",
    "int_from_float": "This must be a whole number.",
    "list_type": "This must be a list: […].",
    "model_type": "This must be an object: {…}.",
    "missing": "This is required.",
    "literal_error": "This must be one of usable, withheld, killed, unpublished.",
    "string_too_short": "This is empty: write something, or leave the field out if it is optional.",
    "too_short": "This list is empty: name at least one.",
}


def _plain(kind: str, facts: dict[str, Any], otherwise: str) -> str:
    if kind == "string_too_long":
        return f"This is too long: at most {facts['max_length']:,} characters are allowed."
    if kind == "too_long":
        return f"There are {facts['actual_length']:,} here: at most {facts['max_length']:,} are allowed."
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = "at least" if "ge" in facts else "at most"
        return f"This must be {bound} {facts.get('ge', facts.get('le'))}."
    return _KINDS.get(kind, otherwise)


def _complete(fields: dict[str, Any], errors: list[Note]) -> bool:
    """Tells a whole article from a takedown without content; an error for each field that a whole one lacks."""
    has_body = "body_html" in fields or "body_text" in fields
    has_content = has_body or "headline" in fields or "sections" in fields
    if fields.get("status") in TAKEDOWN_STATUSES and not has_content:
        return False
    lacking = [name for name in ("headline", "sections") if name not in fields]
    errors += [Note(f"/{name}", "This is required.") for name in lacking]
    if not has_body:
        errors.append(Note("/body_html", "A body is required: give body_html or body_text, not empty."))
    return True


def _content(article: Article, warnings: list[Note], errors: list[Note]) -> dict[str, Any]:
    content: dict[str, Any] = article.model_dump(exclude_none=True, exclude=_NOT_CONTENT)
    content["sections"] = _once(content["sections"], warnings)
    html, shown = _body(article, warnings, errors)
    words = article.body_text or shown
    if not html and not words and not errors:
        errors.append(
            Note("/body_html", "Nothing is left of the body after cleaning: give body_html or body_text.")
        )
    content["body_html"] = html or text.to_html(words)
    if len(content["body_html"].encode()) > sanitise.largest(article.body_html or words):
        errors.append(Note("/body_text", _TOO_LARGE))
    content["body_text"] = words
    if article.published_at is not None:
        content["published_at"] = times.to_iso(article.published_at)
    return content


_TOO_LARGE = (
    f"This becomes too large: a story may have {PARTS_MAX:,} tags and attributes (an address counts as four), or"
    f" {sanitise.PLAIN_TAGS_MAX:,} tags if it has nothing but paragraphs, headings, lists, links and emphasis; cleaned,"
    f" {sanitise.FOLD_MAX} times its bytes and 2 MiB at the most. Close the formatting elements that it opens"
    " (<b>, <i>, <a> …), leave out what repeats and attributes that only style it, or send it in parts."
)


def _body(article: Article, warnings: list[Note], errors: list[Note]) -> tuple[str, str]:
    """The body's HTML, cleaned, and its text as a reader sees it; both empty if it shows nothing."""
    try:
        cleaned = clean(article.body_html or "", article.url)
    except TooLarge:
        errors.append(Note("/body_html", _TOO_LARGE))
        return "", ""
    if cleaned.removed:
        warnings.append(Note("/body_html", "removed: " + ", ".join(cleaned.removed)))
    shown = text.from_html(cleaned.html)
    return (cleaned.html, shown) if shown or "<img" in cleaned.html else ("", "")


def _once(sections: list[str], warnings: list[Note]) -> list[str]:
    for place, slug in enumerate(sections):
        if slug in sections[:place]:
            warnings.append(Note(f"/sections/{place}", "This section is here twice; it was kept once."))
    return list(dict.fromkeys(sections))


def _posted(article: Article, content: dict[str, Any] | None) -> PostedArticle:
    return PostedArticle(
        external_id=article.id,
        content=content,
        sections=tuple(content["sections"]) if content else (),
        status=article.status,
        version=article.version,
        updated_at=article.updated_at,
        embargo_until=article.embargo_until,
        expires_at=article.expires_at,
        correction_note=article.correction_note,
        reason=article.kill_reason or article.reason,
    )


def _escaped(name: str) -> str:
    return text.shown(name).replace("~", "~0").replace("/", "~1")
