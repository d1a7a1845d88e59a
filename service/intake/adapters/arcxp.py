"""Arc XP: events of its content, forwarded by an integration of the newsroom's own (IFX), with the story in ANS.

Arc XP is hosted only, and posts nothing by itself: the integration signs as Standard Webhooks have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urljoin

from service import times
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
from service.intake.adapters.arcxp_body import body_html, corrections, image_credit
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
from service.webhooks import signatures

_ENDINGS = ("story:unpublish", "story:delete")
_PUBLISHINGS = ("story:first-publish", "story:republish", "story:publish")
_OPEN = ("", "free")  # of content_code; all others are a site's own words for those who may read
_MILLISECONDS = 10**11  # times in seconds are smaller until the year 5138

_SETUP = """In an integration of yours (IFX), subscribe to story:first-publish, story:update, story:republish,
story:unpublish and story:delete, and let its handler post the whole event as JSON
   to {url}
   signed as Standard Webhooks (standardwebhooks.com), with the secret {secret}"""


def _verify(request: HookRequest, secrets: Sequence[str], now: datetime) -> str | None:
    try:
        signatures.verify(secrets, request.headers, request.body, now)
    except signatures.BadSignature as error:
        return error.reason
    return None


def _read(request: HookRequest, settings: SourceSettings) -> Sequence[Event]:
    event = decoded(request.body)
    key = words(event, "key")
    story = an_object(event, "body") if key or "body" in event else event
    kind = words(story, "type") or "story"
    if (key and not key.startswith("story:")) or kind != "story":
        return [Ignore(f"{(key or kind)[:60]} is no event of a story")]
    story_id = an_id(story, "_id")
    if not story_id:
        raise Unreadable("it has no _id: forward the event as IFX gives it, with key, time and body")
    if key in _ENDINGS:
        return [Gone(story_id, updated_at=_changed_at(event, story))]
    # An update also comes for what an editor saves without publishing it: readers see the revision before.
    published = part(story, "revision", "published")
    if published is not True and (published is not None or key not in _PUBLISHINGS):
        return [Ignore("it is a revision that is not published")]
    code = words(story, "content_restrictions", "content_code").strip()
    if code.lower() not in _OPEN:
        reason = f"its content_code is {code[:60]!r}: not everybody may read it"
        return [Gone(story_id, updated_at=_changed_at(event, story), reason=reason)]
    return [_story(story_id, event, story, settings)]


def _story(
    story_id: str, event: dict[str, Any], story: dict[str, Any], settings: SourceSettings
) -> StoryRead:
    html, left_out = body_html(story)
    corrected = corrections(story)
    changed_at = _changed_at(event, story)
    url = urljoin(
        f"{settings.base_url}/",
        quote(words(story, "canonical_url"), safe="/:?&=%#+,;@!~()*'", errors="replace"),
    )
    fields = {
        "id": story_id,
        "headline": plain(words(story, "headlines", "basic")),
        "summary": plain(words(story, "description", "basic") or words(story, "subheadlines", "basic")),
        "body_html": html,
        "sections": _sections(story),
        "keywords": _keywords(story),
        "url": url if words(story, "canonical_url") and url.startswith(("https://", "http://")) else "",
        "authors": [{"name": words(each, "name")} for each in objects(story, "credits", "by") if words(each, "name")],
        "images": _images(story),
        "origin": _origin(story),
        "rights": filled({"notice": plain(words(story, "copyright"))}),
        "ednote": plain(words(story, "editor_note")),
        "correction_note": corrected[-1] if corrected else "",
        "language": words(story, "language").replace("_", "-"),
        "published_at": words(story, "first_publish_date") or words(story, "display_date"),
        "updated_at": times.to_iso(changed_at) if changed_at else "",
    }  # fmt: skip
    warnings = [f"an element of the type {each!r} was left out" for each in left_out]
    if part(story, "owner", "sponsored") is True:
        warnings.append("it is sponsored (owner.sponsored)")
    return StoryRead(filled(fields), warnings)


def _changed_at(event: dict[str, Any], story: dict[str, Any]) -> datetime | None:
    """The time of the event, which orders takedowns too; of a story alone, its last change or publication."""
    seconds = part(event, "time") if story is not event else None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        try:
            return datetime.fromtimestamp(seconds / 1000 if abs(seconds) >= _MILLISECONDS else seconds, UTC)
        except (ValueError, OverflowError, OSError):
            pass
    moments = [a_moment(story, each) for each in ("last_updated_date", "publish_date")]
    return max((each for each in moments if each is not None), default=None)


def _sections(story: dict[str, Any]) -> list[list[str]]:
    """The primary one first, each by its name, its id (a path) and that without its slashes."""
    found: dict[str, list[str]] = {}
    taxonomy = an_object(story, "taxonomy")
    sites = [an_object(each, "website_section") for each in an_object(story, "websites").values()]
    for each in [an_object(taxonomy, "primary_section"), *objects(taxonomy, "sections"), *sites]:
        path = words(each, "_id") or words(each, "referent", "id")
        names = [words(each, "name"), path, path.strip("/")]
        if path or names[0]:
            found[path] = [*found.get(path, []), *(name for name in names if name)]
    return [list(dict.fromkeys(names)) for names in found.values()]


def _keywords(story: dict[str, Any]) -> list[str]:
    named = [words(each, "text") or words(each, "slug") for each in objects(story, "taxonomy", "tags")]
    listed = part(story, "taxonomy", "seo_keywords")
    named += [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    return [each for each in dict.fromkeys(named) if each]


def _images(story: dict[str, Any]) -> list[dict[str, str]]:
    """Its leading image; the one within the text that has the same address knows its caption."""
    for name in ("basic", "lead_art"):
        image = an_object(story, "promo_items", name)
        url = words(image, "url")
        if words(image, "type") == "image" and url:
            within = [each for each in objects(story, "content_elements") if words(each, "url") == url]
            return [_image(url, [image, *within])]
    return []


def _image(url: str, records: list[dict[str, Any]]) -> dict[str, str]:
    def first(values: list[str]) -> str:
        return next((each for each in values if each), "")

    return filled(
        {
            "url": url,
            "alt": first([words(each, "alt_text") for each in records]),
            "caption": plain(first([words(each, "caption") for each in records])),
            "credit": first([image_credit(each) for each in records]),
        }
    )


def _origin(story: dict[str, Any]) -> dict[str, str]:
    """Of a wire's story its agency."""
    is_wire = (
        words(story, "distributor", "category") == "wires" or words(story, "source", "source_type") == "wires"
    )
    name = words(story, "distributor", "name") or words(story, "source", "name")
    return {"name": name} if is_wire and name else {}


ADAPTER = Adapter(
    name="arcxp",
    title="Arc XP",
    verify=_verify,
    read=_read,
    wants=("base-url",),
    setup=_SETUP,
)
