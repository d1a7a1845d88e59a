"""Superdesk: its HTTP Push of items in its own ninjs, an IPTC format of which it has a dialect.

A kill, a takedown and an unpublishing all come as `canceled`, which in ninjs is a kill; `version` says in which order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from service import times
from service.intake.adapters import signed_bodies
from service.intake.adapters.adapter import (
    Adapter,
    Event,
    Gone,
    HookRequest,
    Ignore,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.json_values import (
    a_moment,
    an_id,
    an_object,
    decoded,
    filled,
    objects,
    part,
    plain,
    words,
)
from service.intake.article import LIMITS

_ENDS: dict[str, Literal["killed", "withheld"]] = {
    "canceled": "killed",
    "cancelled": "killed",
    "withheld": "withheld",
}
_STORY_TYPES = ("text", "")
_RENDITIONS = ("original", "baseImage", "viewImage")
_CORRECTION = re.compile(r"\s*corrections?\s*[:：]\s*(.+)", re.IGNORECASE | re.DOTALL)
_BY = re.compile(r"by\s+", re.IGNORECASE)

_SETUP = """Settings → Subscribers → your subscriber for this → Destinations → Add destination:
   delivery type HTTP Push, format Superdesk ninjs,
   Resource URL {url}
   Secret token {secret}
   Leave the Assets URL empty, or give it the same address: pictures are linked, not sent."""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    sent = request.headers.get("x-superdesk-signature", "").strip()
    if not sent:
        return (
            "there is no x-superdesk-signature: give the destination the source's secret as its secret token"
        )
    kind, _, digest = sent.partition("=")
    if kind.lower() != "sha1":
        return "the x-superdesk-signature is not sha1=…"
    if signed_bodies.fits(signed_bodies.from_hex(digest), secrets, request.body, digest="sha1"):
        return None
    return "the x-superdesk-signature does not match the source's secret"


def _read(request: HookRequest, _settings: SourceSettings) -> Sequence[Event]:
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        return [Ignore("it is a picture's file, and pictures are linked here")]
    return _events(decoded(request.body))


def _events(item: dict[str, Any]) -> list[Event]:
    kind = words(item, "type")
    if kind in _STORY_TYPES:
        return [_story(item)]
    # A destination that is set to packaged items gets the stories of a package inside it, and only there.
    inside = [each for each in an_object(item, "associations").values() if isinstance(each, dict)]
    if kind != "composite" or words(item, "pubstatus") in _ENDS:
        inside = []
    stories: list[Event] = [
        _story(each) for each in inside if words(each, "type") == "text" and words(each, "body_html")
    ]
    return stories or [Ignore(f"an item of the type {kind[:60]!r} is no story")]


def _story(item: dict[str, Any]) -> StoryRead | Gone:
    story_id = an_id(item, "guid") or an_id(item, "uri")
    if not story_id:
        raise Unreadable("it has no guid: the destination's format is to be Superdesk ninjs")
    status = words(item, "pubstatus").lower() or "usable"
    if status in _ENDS:
        return Gone(
            story_id,
            _ENDS[status],
            updated_at=a_moment(item, "versioncreated"),
            version=_version(item),
            reason=words(item, "ednote") or None,
        )
    if status != "usable":
        raise Unreadable(f"its pubstatus is {status[:60]!r}: usable, withheld or canceled is known")
    correction = _CORRECTION.fullmatch(words(item, "ednote"))
    return StoryRead(
        filled(
            {
                "id": story_id,
                "version": _version(item),
                "headline": plain(words(item, "headline")),
                "summary": plain(words(item, "description_text") or words(item, "description_html")),
                "body_html": words(item, "body_html"),
                "body_text": "" if words(item, "body_html") else words(item, "body_text"),
                "sections": _sections(item),
                "keywords": _keywords(item),
                "authors": _authors(item),
                "images": _images(item),
                "rights": filled(
                    {
                        "holder": words(item, "copyrightholder"),
                        "notice": words(item, "copyrightnotice"),
                        "usage_terms": plain(words(item, "usageterms")),
                    }
                ),
                "urgency": _urgency(item),
                "ednote": words(item, "ednote"),
                "correction_note": correction[1].strip() if correction else "",
                "language": words(item, "language").replace("_", "-"),
                "published_at": _moment(item, "firstpublished"),
                "updated_at": _moment(item, "versioncreated"),
                "embargo_until": _embargo(item),
            }
        )
    )


def _version(item: dict[str, Any]) -> int | None:
    """Its number, which Superdesk writes as text."""
    found = part(item, "version")
    digits = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    number = int(digits) if re.fullmatch(r"[0-9]{1,16}", digits, re.ASCII) else None
    return number if number is not None and number <= LIMITS["version"] else None


def _sections(item: dict[str, Any]) -> list[list[str]]:
    """Its services; those of a newsroom that has none are its subjects."""
    named = [[words(each, "name"), an_id(each, "code")] for each in objects(item, "service")]
    return named or [[words(each, "name"), an_id(each, "code")] for each in objects(item, "subject")]


def _keywords(item: dict[str, Any]) -> list[str]:
    listed = part(item, "keywords")
    own = [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    return [
        each
        for each in dict.fromkeys([*own, *(words(each, "name") for each in objects(item, "subject"))])
        if each
    ]


def _authors(item: dict[str, Any]) -> list[dict[str, str]]:
    named = [
        filled({"name": words(each, "name"), "role": words(each, "role")})
        for each in objects(item, "authors")
        if words(each, "name")
    ]
    byline = plain(words(item, "byline"))
    return named or (
        [{"name": _BY.sub("", byline, count=1) if _BY.match(byline) else byline}] if byline else []
    )


def _images(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Its leading picture; those within the text stand in the text."""
    picture = an_object(item, "associations", "featuremedia")
    if words(picture, "type") != "picture" or words(picture, "pubstatus").lower() in _ENDS:
        return []
    for name in _RENDITIONS:
        rendition = an_object(picture, "renditions", name)
        if words(rendition, "href").startswith(("https://", "http://")):
            return [
                filled(
                    {
                        "url": words(rendition, "href"),
                        "type": words(rendition, "mimetype"),
                        "width": _size(rendition, "width"),
                        "height": _size(rendition, "height"),
                        "alt": plain(words(picture, "body_text")),
                        "caption": plain(words(picture, "description_text")),
                        "credit": plain(words(picture, "byline") or words(picture, "copyrightholder")),
                    }
                )
            ]
    return []


def _size(rendition: dict[str, Any], name: str) -> int | None:
    found = part(rendition, name)
    usable = isinstance(found, int) and not isinstance(found, bool) and 0 < found <= LIMITS["version"]
    return found if usable else None


def _urgency(item: dict[str, Any]) -> int | None:
    found = part(item, "urgency")
    return found if isinstance(found, int) and not isinstance(found, bool) and 1 <= found <= 9 else None


def _moment(item: dict[str, Any], name: str) -> str:
    """A time as ours are written; Superdesk's offset has no colon."""
    found = a_moment(item, name)
    return times.to_iso(found) if found else ""


def _embargo(item: dict[str, Any]) -> str:
    """A story whose embargo cannot be read is held: it must not go out before its time."""
    written = part(item, "embargoed") or part(item, "embargoeduntil")
    if not written:
        return ""
    found = a_moment(written)
    if found is None:
        raise Unreadable("its embargo is no time that can be read")
    return times.to_iso(found)


ADAPTER = Adapter(
    name="superdesk",
    title="Superdesk",
    verify=_verify,
    read=_read,
    setup=_SETUP,
    answer_status=201,  # its older versions take nothing else
    asks_for_files=True,  # a 404 would have it send them all, a 4xx give up on the story
)
