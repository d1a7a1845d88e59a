"""The article as a source posts it: its fields, their limits, and their JSON schema (for OpenAPI)."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from service import times
from service.intake import article_schema, language_tags, leniency, text

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
}
LONGEST_LIST = max(LIMITS["sections"], LIMITS["list"], LIMITS["authors"])
TAKEDOWN_STATUSES = ("withheld", "killed", "unpublished")

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}([_-][A-Za-z0-9]{1,8})*")
_UNREADABLE = re.compile(f"[{text.FORBIDDEN}\t\n\r]")


def schema(ref_template: str = "#/$defs/{model}") -> dict[str, Any]:
    """The JSON schema of an article as posted; its parts in `$defs`, named as `ref_template` says."""
    return Article.model_json_schema(ref_template=ref_template)


def _moment(value: object) -> datetime:
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        raise PydanticCustomError(
            "moment",
            "Write a time with its offset from UTC (RFC 3339), such as 2026-01-02T08:00:00Z"
            " or 2026-01-02T10:00:00+02:00.",
        )
    try:
        return times.from_iso(value.upper())
    except ValueError as error:
        raise PydanticCustomError("moment", "There is no such day or time: check the numbers.") from error


def web_address(value: object) -> str:
    """A web address in full. Raises PydanticCustomError."""
    if isinstance(value, str) and len(value) <= LIMITS["url"] and not re.search(r"[\s\\<>\"]", value):
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc:
            return value
    raise PydanticCustomError(
        "url",
        "Write a full web address that begins with https:// or http://, without a user's name or password,"
        " of at most 2,048 characters.",
    )


def _image_url(value: object) -> str:
    """Relative ones too: they begin at the article's own address."""
    if isinstance(value, str) and len(value) <= LIMITS["url"] and leniency.is_relative(value):
        return value
    return web_address(value)


def _language(value: object) -> str:
    if isinstance(value, str):
        with suppress(language_tags.NoLanguageTag):
            return language_tags.canonical(value)
    raise PydanticCustomError(
        "language",
        "Write a registered language tag (BCP 47), such as en, ur or zh-Hans: not the language's name.",
    )


def _identifier(value: object) -> object:
    """Refuses what would be cleaned elsewhere: cleaned, one id could become another's."""
    if isinstance(value, str) and (_UNREADABLE.search(value) or value != value.strip()):
        raise PydanticCustomError(
            "identifier",
            "This identifies something and is taken as it is: write it without control characters,"
            " noncharacters, halves of characters and blanks at its ends.",
        )
    return value


def _whole_number(value: object) -> object:
    """JSON has one kind of number: 4.0 is as good as 4."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _one_line(most: int, *, filled: bool = False) -> WithJsonSchema:
    return WithJsonSchema(article_schema.text(most, filled=filled))


_MOMENT_SCHEMA = article_schema.any_of(
    {
        "type": "string",
        "format": "date-time",
        "pattern": article_schema.MOMENT,
        "examples": ["2026-01-02T08:00:00Z"],
    },
    {"type": "string", "pattern": article_schema.ODD_MOMENT},
)
_WEB_ADDRESS: JsonDict = {
    "type": "string",
    "maxLength": LIMITS["url"],
    "pattern": article_schema.URL,
    "examples": ["https://news.example.org/harbour"],
}
_URL_SCHEMA = article_schema.any_of(_WEB_ADDRESS)
_IMAGE_URL_SCHEMA = article_schema.any_of(
    _WEB_ADDRESS, {"type": "string", "maxLength": LIMITS["url"], "pattern": article_schema.RELATIVE}
)
_LANGUAGE_SCHEMA = article_schema.any_of(
    {
        "type": "string",
        "maxLength": language_tags.MAX_LENGTH,
        "pattern": f"^{_LANGUAGE.pattern}$",
        "examples": ["en"],
    },
)
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema(_MOMENT_SCHEMA)]
Url = Annotated[str, BeforeValidator(web_address), WithJsonSchema(_URL_SCHEMA)]
ImageUrl = Annotated[str, BeforeValidator(_image_url), WithJsonSchema(_IMAGE_URL_SCHEMA)]
Language = Annotated[str, BeforeValidator(_language), WithJsonSchema(_LANGUAGE_SCHEMA)]
# Of a line or a prose that may be left out, an empty one is left out. A `Name` must be there.
Name = Annotated[str, Field(min_length=1, max_length=LIMITS["line"]), _one_line(LIMITS["line"], filled=True)]
Line = Annotated[str, Field(min_length=1, max_length=LIMITS["line"]), _one_line(LIMITS["line"])]
Prose = Annotated[str, Field(min_length=1, max_length=LIMITS["prose"]), _one_line(LIMITS["prose"])]
_IDENTIFIER_SCHEMA: JsonDict = {
    "type": "string",
    "minLength": 1,
    "maxLength": LIMITS["id"],
    "pattern": article_schema.IDENTIFIER,
}
Slug = Annotated[
    str,
    Field(min_length=1, max_length=LIMITS["id"]),
    BeforeValidator(_identifier),
    WithJsonSchema(_IDENTIFIER_SCHEMA),
]
_OWN_ID = "The source's own id, taken as it is."
_NUMBER_AS_ID: JsonDict = {"type": "integer", "minimum": -leniency.ID_MAX, "maximum": leniency.ID_MAX}
ExternalId = Annotated[
    str,
    Field(min_length=1, max_length=LIMITS["id"], description=_OWN_ID),
    BeforeValidator(_identifier),
    WithJsonSchema({"anyOf": [_IDENTIFIER_SCHEMA, _NUMBER_AS_ID], "description": _OWN_ID}),
]
Count = Annotated[int, Field(ge=0, le=LIMITS["version"]), BeforeValidator(_whole_number)]
Status = Annotated[
    Literal["usable", "withheld", "killed", "unpublished"],
    WithJsonSchema({"enum": ["usable", *TAKEDOWN_STATUSES, None]}),
]


class _ArticleModel(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Author(_ArticleModel):
    name: Name
    url: Url | None = None
    role: Line | None = None


class Origin(_ArticleModel):
    model_config = ConfigDict(strict=True, frozen=True, json_schema_extra=article_schema.ORIGIN)

    name: Line
    url: Url | None = None
    country: Line | None = None


class Image(_ArticleModel):
    url: ImageUrl | None = None
    alt: Annotated[str, Field(max_length=LIMITS["prose"])] | None = None
    credit: Line | None = None
    caption: Prose | None = None
    type: Line | None = None
    width: Count | None = None
    height: Count | None = None
    bytes: Count | None = None


class Rights(_ArticleModel):
    holder: Line | None = None
    notice: Prose | None = None
    usage_terms: Prose | None = None
    licence_url: Url | None = None


class Article(_ArticleModel):
    """An article as its source states it now, whole."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra=article_schema.ARTICLE,
    )

    id: ExternalId
    headline: (
        Annotated[
            str,
            Field(min_length=1, max_length=LIMITS["headline"]),
            _one_line(LIMITS["headline"], filled=True),
        ]
        | None
    ) = None
    """The title that readers see, plain text on one line."""
    sections: Annotated[list[Slug], Field(max_length=LIMITS["sections"])] | None = None
    """The slugs of the sections it belongs to, all known to the desk; its feeds and subscribers follow from them."""
    body_html: str | None = None
    """The story. Cleaned: scripts and all else that no feed may carry are removed, with a warning."""
    body_text: str | None = None
    """The story as plain text; made from body_html if left out, and the other way round."""
    summary: Prose | None = None
    """One or two sentences for lists, plain text."""
    language: Language | None = None
    """Its language, a registered tag (BCP 47), such as en, ur or zh-Hans."""
    packages: Annotated[list[Slug], Field(max_length=LIMITS["list"])] | None = None
    """Special reports it belongs to, as slugs."""
    url: Url | None = None
    """Its address for readers on the newsroom's own site."""
    authors: Annotated[list[Author], Field(max_length=LIMITS["authors"])] | None = None
    """Its authors: objects with name, url and role."""
    origin: Origin | None = None
    """Its first publisher, if that is not the newsroom: an object with name, url and country."""
    original_author: Line | None = None
    """The author as the origin names them, unchanged in every format."""
    original_headline: Line | None = None
    """The headline as the origin had it, unchanged in every format."""
    responsible_editor: Line | None = None
    """The person who answers for it, unchanged in every format."""
    keywords: Annotated[list[Name], Field(max_length=LIMITS["list"])] | None = None
    """Its topics."""
    images: Annotated[list[Image], Field(max_length=LIMITS["list"])] | None = None
    """Pictures, the leading one first: objects with url, alt, credit, caption, type, width, height and bytes."""
    rights: Rights | None = None
    """Its owner and the permissions of outlets: an object with holder, notice, usage_terms and licence_url."""
    urgency: Annotated[int, Field(ge=1, le=9), BeforeValidator(_whole_number)] | None = None
    """1 is the most urgent, 9 the least."""
    ednote: Prose | None = None
    """A note to the editors of outlets; not for readers."""
    created_at: Moment | None = None
    """The time at which its system made it: another one says that a deleted story's id is used again."""
    published_at: Moment | None = None
    """The time of its first publication; without one, the time when Dateline received it first."""
    updated_at: Moment | None = None
    """The time of the newsroom's last change: a post that is older than the revision here is stale."""
    version: Count | None = None
    """The newsroom's own number, which grows with each change; it counts before updated_at."""
    embargo_until: Moment | None = None
    """Before this time it is in no feed, push or public page."""
    expires_at: Moment | None = None
    """At this time it is unpublished by itself."""
    status: Status = "usable"
    """usable, or the reason not to use it: withheld, killed, unpublished."""
    correction_note: Prose | None = None
    """The mistake, for readers; it makes the change a correction."""
    kill_reason: Prose | None = None
    """The reason of the kill, for the desk; never sent on."""
    reason: Prose | None = None
    """The reason of the change, for the desk; never sent on."""


class Takedown(BaseModel):
    """The end of an article. Only id and status bind, and the order that version and updated_at give it; whatever else
    comes with it is taken if it is of use, and else left out with a warning."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: ExternalId
    status: Literal["withheld", "killed", "unpublished"]
    """The reason not to use it."""


PARTS: dict[str, type[BaseModel]] = {"authors": Author, "origin": Origin, "images": Image, "rights": Rights}
