"""Dateline's own JSON article: bytes in, what the record keeps out, or every reason why not at once."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from service.intake import text
from service.intake.sanitise import clean
from service.store.articles import Posted

LIMITS = {
    "id": 200,
    "headline": 300,
    "line": 500,  # names, captions and other single lines
    "prose": 2_000,  # summary, notes, reasons, rights texts
    "url": 2_048,
    "sections": 100,
    "list": 100,  # keywords, images, packages
    "authors": 50,
    "version": 2**53,
    "depth": 50,
}
TAKEDOWNS = ("withheld", "killed", "unpublished")

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
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
    """An article as understood, and what was changed or left out to get there."""

    posted: Posted
    warnings: tuple[Note, ...]


class NotJson(ValueError):
    """The body is not one JSON object (RFC 8259). `detail` says why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Invalid(ValueError):
    """The article breaks the rules; `errors` has all of the reasons."""

    def __init__(self, errors: tuple[Note, ...]) -> None:
        super().__init__("; ".join(f"{note.pointer}: {note.detail}" for note in errors))
        self.errors = errors


def read(raw: bytes) -> Reading:
    """The article in a request's body. Raises NotJson or Invalid."""
    warnings: list[Note] = []
    fields = _tidy_object(_decode(raw), Article, "", warnings)
    errors: list[Note] = []
    article = _validated(fields, errors)
    complete = _complete(fields, errors)
    if article is None or errors:
        raise Invalid(tuple(errors))
    content = _content(article, warnings, errors) if complete else None
    if errors:
        raise Invalid(tuple(errors))
    return Reading(_posted(article, content), tuple(warnings))


def schema() -> dict[str, Any]:
    """The JSON schema of an article as posted (for OpenAPI)."""
    return Article.model_json_schema()


def _moment(value: object) -> datetime:
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        raise PydanticCustomError(
            "moment",
            "Write a time with its offset from UTC (RFC 3339), such as 2026-01-02T08:00:00Z"
            " or 2026-01-02T10:00:00+02:00.",
        )
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("moment", "There is no such day or time: check the numbers.") from error


def _url(value: object) -> str:
    if isinstance(value, str) and len(value) <= LIMITS["url"] and not re.search(r"[\s\\<>\"]", value):
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        if parts.scheme in ("http", "https") and parts.hostname:
            return value
    raise PydanticCustomError(
        "url", "Write a full web address that begins with https:// or http://, of at most 2,048 characters."
    )


def _language(value: object) -> str:
    if isinstance(value, str) and len(value) <= 35 and _LANGUAGE.fullmatch(value):
        return value
    raise PydanticCustomError("language", "Write a language tag (BCP 47), such as en, ur or zh-Hans.")


_MOMENT_SCHEMA = {"type": "string", "format": "date-time", "examples": ["2026-01-02T08:00:00Z"]}
_URL_SCHEMA = {"type": "string", "format": "uri", "maxLength": LIMITS["url"]}
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema(_MOMENT_SCHEMA)]
Url = Annotated[str, BeforeValidator(_url), WithJsonSchema(_URL_SCHEMA)]
Language = Annotated[
    str, BeforeValidator(_language), WithJsonSchema({"type": "string", "pattern": f"^{_LANGUAGE.pattern}$"})
]
Line = Annotated[str, Field(min_length=1, max_length=LIMITS["line"])]
Prose = Annotated[str, Field(min_length=1, max_length=LIMITS["prose"])]
Slug = Annotated[str, Field(min_length=1, max_length=LIMITS["id"])]
Count = Annotated[int, Field(ge=0, le=LIMITS["version"])]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Author(_Part):
    name: Line
    url: Url | None = None
    role: Line | None = None


class Origin(_Part):
    name: Line
    url: Url | None = None
    country: Line | None = None


class Image(_Part):
    url: Url
    alt: Annotated[str, Field(max_length=LIMITS["prose"])] | None = None
    credit: Line | None = None
    caption: Prose | None = None
    type: Line | None = None
    width: Count | None = None
    height: Count | None = None
    bytes: Count | None = None


class Rights(_Part):
    holder: Line | None = None
    notice: Prose | None = None
    usage_terms: Prose | None = None
    licence_url: Url | None = None


_WHOLE: JsonDict = {
    "required": ["headline", "sections"],
    "anyOf": [{"required": ["body_html"]}, {"required": ["body_text"]}],
}
_TAKEDOWN: JsonDict = {"required": ["status"], "properties": {"status": {"enum": [*TAKEDOWNS]}}}


class Article(_Part):
    """An article as its source states it now. A takedown needs no more than id and status."""

    model_config = ConfigDict(
        strict=True, frozen=True, json_schema_extra={"required": ["id"], "anyOf": [_WHOLE, _TAKEDOWN]}
    )

    id: Annotated[str, Field(min_length=1, max_length=LIMITS["id"], description="The source's own id.")]
    headline: Annotated[str, Field(min_length=1, max_length=LIMITS["headline"])] | None = None
    sections: Annotated[list[Slug], Field(min_length=1, max_length=LIMITS["sections"])] | None = None
    body_html: str | None = None
    body_text: str | None = None
    summary: Prose | None = None
    language: Language | None = None
    packages: Annotated[list[Slug], Field(max_length=LIMITS["list"])] | None = None
    url: Url | None = None
    authors: Annotated[list[Author], Field(max_length=LIMITS["authors"])] | None = None
    origin: Origin | None = None
    original_author: Line | None = None
    original_headline: Line | None = None
    responsible_editor: Line | None = None
    keywords: Annotated[list[Line], Field(max_length=LIMITS["list"])] | None = None
    images: Annotated[list[Image], Field(max_length=LIMITS["list"])] | None = None
    rights: Rights | None = None
    urgency: Annotated[int, Field(ge=1, le=9)] | None = None
    ednote: Prose | None = None
    published_at: Moment | None = None
    updated_at: Moment | None = None
    version: Count | None = None
    embargo_until: Moment | None = None
    expires_at: Moment | None = None
    status: Literal["usable", "withheld", "killed", "unpublished"] = "usable"
    correction_note: Prose | None = None
    kill_reason: Prose | None = None
    reason: Prose | None = None


_PARTS: dict[str, type[BaseModel]] = {"authors": Author, "origin": Origin, "images": Image, "rights": Rights}
_STATE = {"id", "version", "updated_at", "status", "embargo_until", "expires_at", "correction_note"}
_NOT_CONTENT = _STATE | {"kill_reason", "reason", "body_html", "body_text", "published_at"}


def _decode(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite
        )
    except UnicodeDecodeError as error:
        raise NotJson(f"The body is not UTF-8: byte {error.start} does not belong there.") from error
    except RecursionError as error:
        raise NotJson(_too_deep()) from error
    except json.JSONDecodeError as error:
        raise NotJson(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except NotJson:
        raise
    except ValueError as error:  # Python reads no integer of more than 4,300 digits
        raise NotJson("The body has a number that is too long to be read.") from error
    if not isinstance(value, dict):
        raise NotJson("The body must be one JSON object: {…}.")
    if _is_deeper(value, LIMITS["depth"]):
        raise NotJson(_too_deep())
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"The name {_shown(twice)!r} stands twice in one object: leave one of them out.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON: write a number or null.")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotJson("The body has a number that is too large to be read.")
    return number


def _too_deep() -> str:
    return f"The body is nested deeper than {LIMITS['depth']} levels."


def _is_deeper(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for part in level
            if isinstance(part, (dict, list))
            for child in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return False
    return any(isinstance(part, (dict, list)) for part in level)


def _tidy_object(
    fields: dict[str, Any], model: type[BaseModel], at: str, warnings: list[Note]
) -> dict[str, Any]:
    """The fields known to the model, without nulls, their texts cleaned; tells what was left out."""
    tidied: dict[str, Any] = {}
    for name, value in fields.items():
        pointer = f"{at}/{_escaped(name)}"
        if name not in model.model_fields:
            warnings.append(Note(pointer, "This field is not known and was ignored."))
            continue
        tidy = _tidy(name, value, pointer, warnings)
        if tidy is not None and (tidy not in ("", [], {}) or name in _KEPT_EMPTY):
            tidied[name] = tidy
    return tidied


def _tidy(name: str, value: Any, pointer: str, warnings: list[Note]) -> Any:
    if isinstance(value, str):
        return value if name == "body_html" else _tidy_text(name, value, pointer, warnings)
    if isinstance(value, list):
        return [_tidy(name, part, f"{pointer}/{place}", warnings) for place, part in enumerate(value)]
    if isinstance(value, dict) and name in _PARTS:
        return _tidy_object(value, _PARTS[name], pointer, warnings)
    return value


def _tidy_text(name: str, value: str, pointer: str, warnings: list[Note]) -> str:
    if text.legal(value) != value:
        warnings.append(Note(pointer, "Control characters were removed."))
    return text.prose(value) if name in _PROSE else text.line(value)


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
    """Whether this is a whole article, not a takedown without content; what a whole one lacks is an error."""
    has_body = "body_html" in fields or "body_text" in fields
    given = has_body or "headline" in fields or "sections" in fields
    if fields.get("status") in TAKEDOWNS and not given:
        return False
    lacking = [name for name in ("headline", "sections") if name not in fields]
    errors += [Note(f"/{name}", "This is required.") for name in lacking]
    if not has_body:
        errors.append(Note("/body_html", "A body is required: give body_html or body_text, not empty."))
    return True


def _content(article: Article, warnings: list[Note], errors: list[Note]) -> dict[str, Any]:
    content: dict[str, Any] = article.model_dump(exclude_none=True, exclude=_NOT_CONTENT)
    content["sections"] = _once(content["sections"], warnings)
    html = _body_html(article, warnings)
    words = article.body_text or text.from_html(html)
    if not html and not words:
        errors.append(
            Note("/body_html", "Nothing is left of the body after cleaning: give body_html or body_text.")
        )
    content["body_html"] = html or text.to_html(words)
    content["body_text"] = words
    if article.published_at is not None:
        content["published_at"] = article.published_at.isoformat().replace("+00:00", "Z")
    return content


def _body_html(article: Article, warnings: list[Note]) -> str:
    cleaned = clean(article.body_html or "", article.url)
    if cleaned.removed:
        warnings.append(Note("/body_html", "removed: " + ", ".join(cleaned.removed)))
    shows = text.from_html(cleaned.html) or "<img" in cleaned.html
    return cleaned.html if shows else ""


def _once(sections: list[str], warnings: list[Note]) -> list[str]:
    for place, slug in enumerate(sections):
        if slug in sections[:place]:
            warnings.append(Note(f"/sections/{place}", "This section stands here twice; once was kept."))
    return list(dict.fromkeys(sections))


def _posted(article: Article, content: dict[str, Any] | None) -> Posted:
    return Posted(
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
    return _shown(name).replace("~", "~0").replace("/", "~1")


def _shown(name: str) -> str:
    """A name from outside, safe to repeat: short, and without what UTF-8 cannot write."""
    return text.line(name)[:100]
