"""Storyblok: webhooks that name a story, and its Content Delivery API (version 2).

A hook has neither content nor time: a published or moved story is asked for. The API answers from a cache whose
version changes with each publication, so that its newest version is asked for first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from service.intake.adapters import document_fields, signed_bodies
from service.intake.adapters.adapter import (
    Adapter,
    ApiAnswer,
    ApiRequest,
    Event,
    Gone,
    Hint,
    HookRequest,
    Ignore,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.document_fields import DocumentStyle
from service.intake.adapters.json_values import an_id, an_object, decoded, filled, part, words
from service.intake.adapters.story_types import is_story_type
from service.intake.rich_text import storyblok as rich_text

_STYLE = DocumentStyle(rich_text.is_rich_text, rich_text.to_html)
_CDN = "/v2/cdn/"
_GONE_ACTIONS = ("unpublished", "deleted")
_CHANGE_ACTIONS = ("published", "moved")
_REDIRECTS = (301, 302, 307, 308)

_SETUP = """1. Settings → Webhooks → New webhook: the endpoint URL {url}, the webhook secret {secret}.
2. Of its triggers tick Story published, Story unpublished, Story deleted and Story moved.
3. Settings → Access tokens: a token of the access level Public is what --api-token wants; --base-url is that of your
   region: https://api.storyblok.com, https://api-us.storyblok.com, https://api-ap.storyblok.com …"""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    sent = request.headers.get("webhook-signature", "").strip()
    if not sent:
        return "there is no webhook-signature: give the webhook the source's secret in Storyblok"
    if signed_bodies.fits(signed_bodies.from_hex(sent), secrets, request.body, digest="sha1"):
        return None
    return "the webhook-signature does not match the source's secret"


def _read(request: HookRequest, _settings: SourceSettings) -> Sequence[Event]:
    hook = decoded(request.body)
    story_id = an_id(hook, "story_id")
    action = words(hook, "action") or request.headers.get("x-storyblok-topic", "").rpartition(".")[2]
    if not story_id:
        if not action:
            raise Unreadable("it is no webhook of Storyblok: there is neither a story_id in it nor an action")
        return [Ignore(f"{action[:60]} is no event of a story")]
    if action in _GONE_ACTIONS:
        return [Gone(story_id)]
    if action in _CHANGE_ACTIONS:
        return [Hint([story_id])]
    return [Ignore(f"{action[:60] or 'an event without a name'} changes nothing that readers see")]


def _fetch(_story_id: str, settings: SourceSettings) -> ApiRequest:
    return _request(settings, "spaces/me", {})


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone | ApiRequest:
    if answer.status in _REDIRECTS:
        version = parse_qs(urlsplit(answer.headers.get("location", "")).query).get("cv", [""])[0]
        return _story_request(story_id, version, settings)
    if answer.status == 404:
        if "could not be found" not in answer.body[:2_000].decode("utf-8", "replace").lower():
            raise Unreadable("answered 404, but not as Storyblok's API does: is --base-url right?")
        return Gone(story_id)
    if answer.status != 200:
        raise Unreadable(f"answered {answer.status}")
    value = decoded(answer.body)
    if isinstance(value.get("space"), dict):
        return _story_request(story_id, str(part(value, "space", "version")), settings)
    story = an_object(value, "story")
    if an_id(story, "id") != story_id:
        raise Unreadable("answered with another story than the one that was asked for")
    return _story(story, story_id, settings)


def _story_request(story_id: str, version: str, settings: SourceSettings) -> ApiRequest:
    if not version.isascii() or not version.isdigit():
        raise Unreadable("answered without the version of its cache: is --base-url right?")
    query = {"version": "published", "cv": version}
    return _request(settings, f"stories/{quote(story_id, safe='')}", query)


def _story(story: dict[str, Any], story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    content = an_object(story, "content")
    if not is_story_type(words(content, "component"), settings):
        return Gone(story_id)
    fields = document_fields.read(story, content, settings, _STYLE)
    path = words(story, "full_slug").strip("/").split("/")
    folder = path[-2] if len(path) > 1 else ""
    named = story.get("tag_list")
    tags = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
    language = words(story, "lang")
    from_story = filled(
        {
            "headline": words(story, "name"),
            "sections": [[each] for each in (*([folder] if folder else []), *tags)],
            "keywords": tags,
            "language": language if language != "default" else "",
            "published_at": document_fields.moment_of(story.get("first_published_at")),
            "updated_at": document_fields.moment_of(story.get("published_at")),
        }
    )
    return StoryRead({**from_story, **fields, "id": story_id})


def _request(settings: SourceSettings, path: str, query: dict[str, str]) -> ApiRequest:
    base = settings.base_url.removesuffix("/v2/cdn").removesuffix("/v1/cdn")
    asked = urlencode(query, quote_via=quote)
    url = f"{base}{_CDN}{path}?{asked}&token={{token}}" if asked else f"{base}{_CDN}{path}?token={{token}}"
    return ApiRequest(url, headers={"Accept": "application/json"})


ADAPTER = Adapter(
    name="storyblok",
    title="Storyblok",
    verify=_verify,
    read=_read,
    needs=("secret", "base-url", "api-token"),
    setup=_SETUP,
    fetch=_fetch,
    fetched=_fetched,
)
