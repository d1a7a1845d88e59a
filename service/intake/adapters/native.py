"""Dateline's own JSON article: bytes in; out comes the article for the record, or every fault at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from service import times
from service.intake import leniency, sanitise, text
from service.intake.adapters.json_body import decode, decoded_size
from service.intake.adapters.posted_fields import NOTES_MAX, Note, escaped, tidy_object
from service.intake.article import (
    LIMITS,
    TAKEDOWN_STATUSES,
    Article,
    Image,
    web_address,
)
from service.intake.html_tokens import PARTS_MAX
from service.intake.sanitise import TooLarge, clean
from service.store.articles.lifecycle import BELIEVED_AHEAD
from service.store.articles.posts import PostedArticle

_FROM_AHEAD = "This lies ahead: the time when the post was received was taken instead."
DATED_AHEAD = timedelta(days=1)  # clocks and time zones differ
ARTICLE_BYTES = 1024 * 1024  # of an article's JSON, decoded
FIRST_YEAR = 1990  # of the web; what is older is told, but comes with a warning

# The fields of a takedown that bind. All others are taken if they are of use.
_BINDING = ("id", "status", "version", "updated_at", "kill_reason", "reason")
_TOO_LONG = f"This is too large: an article may have {ARTICLE_BYTES:,} bytes, 1 MiB, at the most."
_TAKEN_DOWN = "It was taken down all the same, without what else came with it."


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


class TooLong(ValueError):
    """The article has more than ARTICLE_BYTES."""


def read(raw: bytes) -> Reading:
    """The article in a request's body. Raises NotJson, Invalid or TooLong."""
    posted = decode(raw)
    warnings: list[Note] = []
    fields = tidy_object(posted, Article, "", warnings)
    takedown = fields.get("status") in TAKEDOWN_STATUSES
    if len(raw) > ARTICLE_BYTES and decoded_size(posted) > ARTICLE_BYTES:
        if not takedown:
            raise TooLong
        return _bare_takedown(fields, [Note("", _TOO_LONG)], warnings)
    errors: list[Note] = []
    article = _validated(fields, errors)
    complete = _complete(fields, errors)
    content = _content(article, warnings, errors) if article and complete and not errors else None
    if errors and takedown:
        return _bare_takedown(fields, errors, warnings)
    if article is None or errors:
        raise Invalid(_first(errors))
    sections = article.sections or []
    places = {slug: sections.index(slug) for slug in sections}
    return Reading(_posted(article, content), _first(warnings), places)


def _bare_takedown(fields: dict[str, Any], errors: list[Note], warnings: list[Note]) -> Reading:
    """A takedown is not lost for what comes with it: its faults are warnings, but for those of its id."""
    bare = {name: fields[name] for name in _BINDING if name in fields}
    for name in ("kill_reason", "reason"):
        if isinstance(words := bare.get(name), str):
            bare[name] = words[: LIMITS["prose"]]
    faults: list[Note] = []
    article = _validated(bare, faults)
    if article is None:
        bad = {note.pointer.removeprefix("/") for note in faults}
        if "id" in bad:
            raise Invalid(tuple(note for note in faults if note.pointer == "/id"))
        article = Article.model_validate({name: value for name, value in bare.items() if name not in bad})
    notes = _first([*errors, *warnings])
    return Reading(_posted(article, None), (*notes, Note("", _TAKEN_DOWN)))


def as_received(reading: Reading, now: datetime) -> Reading:
    """An `updated_at` that lies ahead is no evidence of order: then the story changed when it was received."""
    posted = reading.posted
    if posted.updated_at is None or posted.updated_at <= now + BELIEVED_AHEAD:
        return reading
    posted = replace(posted, updated_at=now)
    return replace(reading, posted=posted, warnings=(*reading.warnings, Note("/updated_at", _FROM_AHEAD)))


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


_STATE = {
    "id",
    "created_at",
    "version",
    "updated_at",
    "status",
    "embargo_until",
    "expires_at",
    "correction_note",
}
_NOT_CONTENT = _STATE | {"kill_reason", "reason", "body_html", "body_text", "published_at"}


def _validated(fields: dict[str, Any], errors: list[Note]) -> Article | None:
    try:
        return Article.model_validate(fields)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            pointer = "".join(f"/{escaped(str(step))}" for step in problem["loc"])
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
    if article.images:
        content["images"] = _images(article.images, article.url, warnings)
        if not content["images"]:
            del content["images"]
    if leniency.looks_like_html(content["headline"]):
        warnings.append(Note("/headline", _LIKE_HTML))
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


_LIKE_HTML = (
    "This looks like HTML: readers see it as it is written. Send plain text, without tags and entities."
)


def _images(images: list[Image], base: str | None, warnings: list[Note]) -> list[dict[str, Any]]:
    """The images with their addresses in full; those that have none are left out."""
    found: list[dict[str, Any]] = []
    for place, image in enumerate(images):
        url, words = _image_address(image.url, base)
        if words is not None:
            warnings.append(Note(f"/images/{place}", words))
        if url is not None:
            found.append({"url": url, **image.model_dump(exclude_none=True, exclude={"url"})})
    return found


def _image_address(url: str | None, base: str | None) -> tuple[str | None, str | None]:
    """An image's address, and the words of a warning."""
    if not url:
        return None, "This image has no address: it was left out."
    if not leniency.is_relative(url):
        return url, None
    whole = leniency.resolved(url, base)
    try:
        return web_address(whole), f"Its address is relative: it was read as {text.shown(whole or '')}."
    except PydanticCustomError:
        return None, "Its address is relative, and the article's url gives it no beginning: it was left out."


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
        created_at=article.created_at,
    )
