"""Contentful: signed webhooks on entries, and its Content Delivery API.

A hook's entry has every locale and refers to other entries and assets by id alone: with the API they are looked up.
The topic says what happened; of a draft that is saved, by hand or by itself, readers see nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from service import times
from service.intake.adapters import api_pages, signed_bodies
from service.intake.adapters.adapter import (
    Adapter,
    ApiAnswer,
    ApiRequest,
    ChangedPage,
    Event,
    Gone,
    Hint,
    HookRequest,
    IdsPage,
    Ignore,
    Reconciliation,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.field_map import RecordHabits, read_record
from service.intake.adapters.json_values import a_moment, an_id, an_object, decoded, objects, part, words
from service.intake.adapters.story_types import is_story_type

ENTRIES_CHANGED, ENTRIES_LISTED = 50, 1_000
_SIGNED_MOST = 60
_TOPIC = re.compile(r"[A-Za-z]{1,40}\.Entry\.(\w{1,40})", re.ASCII)
_GONE = ("unpublish", "delete", "archive")
_HABITS = RecordHabits({"published_at": ("/publishDate", "/publishedDate", "/date")})

_SETUP = """1. Settings → Webhooks → Add webhook: name Dateline, POST {url}
2. Triggers: Select specific triggering events, of Entry: publish, unpublish, archive, delete.
3. Settings → Webhooks → Settings → Request verification: Enable, and give the secret that it shows to Dateline:
   dateline source set SLUG --secret THE-SECRET
4. Settings → API keys: the Content Delivery API's access token is --api-token, and --base-url is
   https://cdn.contentful.com/spaces/SPACE/environments/master"""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    headers = request.headers
    sent = headers.get("x-contentful-signature")
    if not sent:
        return "there is no X-Contentful-Signature: enable request verification in Contentful"
    names = [each.strip().lower() for each in headers.get("x-contentful-signed-headers", "").split(",")]
    if len(names) > _SIGNED_MOST or not {"x-contentful-timestamp", "x-contentful-signed-headers"} <= set(
        names
    ):
        return "its X-Contentful-Signed-Headers are not those of a signed request"
    if "x-contentful-topic" in headers and "x-contentful-topic" not in names:
        return "its X-Contentful-Topic is not among the headers that are signed"
    signed = ";".join(f"{name}:{headers.get(name, '')}" for name in names)
    start = f"{request.method}\n{request.target}\n{signed}\n".encode("utf-8", "surrogatepass")
    if signed_bodies.fits(signed_bodies.from_hex(sent.strip()), secrets, start + request.body):
        return None
    return "the X-Contentful-Signature does not match the source's secret"


def _read(request: HookRequest, settings: SourceSettings) -> Sequence[Event]:
    entry = decoded(request.body)
    topic = request.headers.get("x-contentful-topic", "")
    found = _TOPIC.fullmatch(topic)
    if topic and found is None:
        return [Ignore(f"{topic[:60]} is no event of an entry")]
    kind, story_id = words(entry, "sys", "type"), an_id(entry, "sys", "id")
    if kind not in ("Entry", "DeletedEntry") or not story_id:
        raise Unreadable(
            "it is no webhook of Contentful's default payload: there is no entry with an id in it"
        )
    model = _model(entry)
    if model and not is_story_type(model, settings):
        return [Ignore(f"{model[:60]} is no type of stories here; if it is: --content-type")]
    return [_entry_event(entry, story_id, found[1] if found else "", settings)]


def _entry_event(entry: dict[str, Any], story_id: str, action: str, settings: SourceSettings) -> Event:
    if words(entry, "sys", "type") == "DeletedEntry" or action in _GONE:
        return _gone(entry, story_id)
    if action and action != "publish":
        return Ignore(f"{action} changes nothing for readers")
    if settings.base_url or not action:
        return Hint([story_id])  # what it refers to is not in it
    return _story(entry, story_id, settings)


def _model(entry: dict[str, Any]) -> str:
    return words(entry, "sys", "contentType", "sys", "id")


def _gone(entry: dict[str, Any], story_id: str) -> Gone:
    at = a_moment(entry, "sys", "deletedAt") or a_moment(entry, "sys", "archivedAt")
    return Gone(story_id, updated_at=at)


def _story(entry: dict[str, Any], story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    locale = _locale(entry, settings)
    if locale is None:
        return Gone(story_id)
    record = _in_locale(an_object(entry, "fields"), locale, _default_locale(entry))
    sys = an_object(entry, "sys")
    tags = [words(each, "sys", "id") for each in objects(entry, "metadata", "tags")]
    record = {"tags": [each for each in tags if each], **record}
    known = {
        "id": story_id,
        "language": locale,
        "updated_at": words(sys, "publishedAt") or words(sys, "updatedAt"),
        "published_at": words(sys, "firstPublishedAt") or words(sys, "createdAt"),
    }
    return read_record(record, settings, replace(_HABITS, image_address=_asset_address), known)


def _default_locale(entry: dict[str, Any]) -> str:
    """The locale that most fields have: an entry does not say which is its space's own."""
    fields = an_object(entry, "fields")
    counts = Counter(locale for each in fields.values() if isinstance(each, dict) for locale in each)
    return max(counts, key=lambda each: counts[each], default="")


def _locale(entry: dict[str, Any], settings: SourceSettings) -> str | None:
    """The entry's locale that is the source's language; None if it is not translated into it."""
    default = _default_locale(entry)
    if not settings.language:
        return default
    titles = [each for each in an_object(entry, "fields").values() if isinstance(each, dict)]
    locales = list(dict.fromkeys(locale for each in titles for locale in each))
    wanted = settings.language.lower()
    same = [each for each in locales if each.lower() == wanted]
    near = [each for each in locales if re.split("[-_]", each.lower())[0] == re.split("[-_]", wanted)[0]]
    return next(iter([*same, *near]), None) if locales else default


def _in_locale(fields: Mapping[str, Any], locale: str, default: str) -> dict[str, Any]:
    """The fields in one locale. A field that is not translated, such as a section, has the default one alone."""
    record = {}
    for name, values in fields.items():
        if isinstance(values, dict) and (locale in values or default in values):
            record[name] = values[locale] if values.get(locale) is not None else values.get(default)
    return record


def _asset_address(value: Any) -> str:
    """The address of an asset that was looked up: Contentful writes it without a scheme."""
    address = words(value, "file", "url") or words(value, "url")
    return f"https:{address}" if address.startswith("//") else address


def _fetch(story_id: str, settings: SourceSettings) -> ApiRequest:
    return _request(settings, [("sys.id", story_id), ("include", "2"), ("locale", "*")])


def _id_of(entry: dict[str, Any]) -> str:
    return an_id(entry, "sys", "id")


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    found = api_pages.the_one(_entries(answer), _id_of, story_id, "entry")
    return Gone(story_id) if found is None else _story(found, story_id, settings)


def _changed(since: datetime, settings: SourceSettings) -> ApiRequest:
    query = [
        ("sys.updatedAt[gte]", times.to_iso(since)), ("include", "2"), ("locale", "*"), ("order", "sys.id"),
        ("limit", str(ENTRIES_CHANGED)), ("skip", "0"),
    ]  # fmt: skip
    return _request(settings, query)


def _changed_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> ChangedPage:
    entries = (each for each in _entries(answer) if is_story_type(_model(each), settings))
    events = api_pages.events(_story, entries, _id_of, settings)
    return ChangedPage(events, _next(answer, request, ENTRIES_CHANGED))


def _all_ids(settings: SourceSettings) -> ApiRequest:
    query = [("select", "sys"), ("order", "sys.id"), ("limit", str(ENTRIES_LISTED)), ("skip", "0")]
    return _request(settings, query)


def _ids_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> IdsPage:
    ids = [an_id(each, "sys", "id") for each in _entries(answer) if is_story_type(_model(each), settings)]
    return IdsPage([each for each in ids if each], _next(answer, request, ENTRIES_LISTED))


def _next(answer: ApiAnswer, request: ApiRequest, most: int) -> ApiRequest | None:
    value = api_pages.body(answer)
    total, given = part(value, "total"), part(value, "limit")  # it may give fewer than were asked for
    skip = api_pages.number(request, "skip") + (
        given if isinstance(given, int) and 0 < given < most else most
    )
    more = isinstance(total, int) and skip < total
    return api_pages.with_query(request, {"skip": str(skip)}) if more else None


def _entries(answer: ApiAnswer) -> list[dict[str, Any]]:
    """The entries of an answer, with what they refer to in the place of the links."""
    value = api_pages.body(answer)
    if not isinstance(value.get("items"), list):
        raise Unreadable("answered without entries: is --base-url the one of the space and environment?")
    linked = {}
    for each in (*objects(value, "includes", "Entry"), *objects(value, "includes", "Asset")):
        linked[(words(each, "sys", "type"), an_id(each, "sys", "id"))] = each
    return [_resolved(each, linked) for each in objects(value, "items")]


def _resolved(entry: dict[str, Any], linked: Mapping[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    default = _default_locale(entry)
    fields = {
        name: _without_links(each, linked, default, 0) for name, each in an_object(entry, "fields").items()
    }
    return {**entry, "fields": fields}


def _without_links(
    value: Any, linked: Mapping[tuple[str, str], dict[str, Any]], locale: str, depth: int
) -> Any:
    if depth > 60:
        return None
    if isinstance(value, list):
        return [_without_links(each, linked, locale, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    if words(value, "sys", "type") == "Link":
        found = linked.get((words(value, "sys", "linkType"), an_id(value, "sys", "id")))
        if found is None:
            return value
        fields = an_object(found, "fields")
        own = _default_locale(found)
        return {"sys": value["sys"], **_in_locale(fields, locale if locale else own, own)}
    return {name: _without_links(each, linked, locale, depth + 1) for name, each in value.items()}


def _request(settings: SourceSettings, query: Sequence[tuple[str, str]]) -> ApiRequest:
    of_type = [("content_type", settings.content_type)] if settings.content_type else []
    url = f"{settings.base_url}/entries?{urlencode([*query, *of_type], quote_via=quote)}"
    return ApiRequest(url, headers={"Accept": "application/json", "Authorization": "Bearer {token}"})


ADAPTER = Adapter(
    name="contentful",
    title="Contentful",
    verify=_verify,
    read=_read,
    wants=("base-url", "api-token", "content-type"),
    setup=_SETUP,
    fetch=_fetch,
    fetched=_fetched,
    reconciliation=Reconciliation(_changed, _changed_page, _all_ids, _ids_page),
)
