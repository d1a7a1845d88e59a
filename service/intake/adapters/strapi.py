"""Strapi 4 and 5: one webhook for all types, with a static header, and its REST API.

With drafts, `entry.update` brings the draft: `publishedAt` alone says whether readers see a row, except for an
unpublished one, which still has it. A row's number changes with each publication: a story is its document and its
locale. Neither an unpublication nor a publication in bulk moves `updatedAt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from service import times
from service.intake.adapters import api_pages, signed_bodies, translations
from service.intake.adapters.adapter import (
    Adapter,
    ApiAnswer,
    ApiRequest,
    ChangedPage,
    Event,
    Gone,
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

ROWS_CHANGED, ROWS_LISTED = 50, 100  # Strapi gives 100 at most, unless its site says otherwise
_LOCALE_FIELD = "fields[2]"
_PAGE_OF_IDS = (
    ("fields[0]", "documentId"), ("fields[1]", "publishedAt"), ("status", "published"), ("locale", "*"),
    ("sort", "documentId:asc"), ("pagination[pageSize]", str(ROWS_LISTED)), ("pagination[page]", "1"),
)  # fmt: skip
_HABITS = RecordHabits(
    {"published_at": ("/firstPublishedAt", "/publishDate", "/publish_date")}, media_path="/uploads/"
)

_SETUP = """1. Settings → Webhooks → Create new webhook: name Dateline, URL {url}
2. Headers: key Authorization, value Bearer {secret}
3. Events: all of Entry (create, update, delete, publish, unpublish). Save, then Trigger: it answers 202.
4. Settings → API Tokens → Create: a read-only token is what --api-token wants; --base-url is Strapi's own address."""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    sent = request.headers.get("authorization", "")
    if not sent:
        return (
            "there is no Authorization header: give the webhook one in Strapi, Bearer and the source's secret"
        )
    if signed_bodies.bears(sent, secrets):
        return None
    return "the Authorization header is not Bearer and the source's secret"


def _read(request: HookRequest, settings: SourceSettings) -> Sequence[Event]:
    hook = decoded(request.body)
    event = words(hook, "event") or request.headers.get("x-strapi-event", "")
    if not event:
        raise Unreadable("it is no webhook of Strapi: there is no event in it")
    if not event.startswith("entry."):
        return [Ignore(f"{event[:60]} is no event of a story")]
    model = words(hook, "uid") or words(hook, "model")
    if not (is_story_type(model, settings) or is_story_type(words(hook, "model"), settings)):
        return [Ignore(f"{model[:60] or 'it'} is no type of stories here; if it is: --content-type")]
    entry = an_object(hook, "entry")
    story_id = _story_id(entry)
    if not story_id:
        raise Unreadable("its entry has neither documentId nor id")
    if event in ("entry.unpublish", "entry.delete"):
        return [Gone(story_id)]
    if event not in ("entry.create", "entry.update", "entry.publish"):
        return [Ignore(f"{event[:60]} changes nothing for readers")]
    if entry.get("publishedAt") is None and ("publishedAt" in entry or event != "entry.publish"):
        return [Ignore("it is a draft")]
    return [_story(entry, story_id, settings)]


def _story_id(entry: dict[str, Any]) -> str:
    document = an_id(entry, "documentId")
    if not document:
        return an_id(entry, "id")
    return translations.story_id(document, entry.get("locale"))


def _story(entry: dict[str, Any], story_id: str, settings: SourceSettings) -> StoryRead:
    """A publication in bulk keeps `updatedAt`: the later of both times says when this became the public text."""
    moments = [each for each in (a_moment(entry, "updatedAt"), a_moment(entry, "publishedAt")) if each]
    known: dict[str, Any] = {"id": story_id}
    if moments:
        known["updated_at"] = times.to_iso(max(moments))
    return read_record(entry, settings, _HABITS, known)


def _fetch(story_id: str, settings: SourceSettings) -> ApiRequest:
    """Asked for as a list: of one entry, Strapi's 404 is the same as for a type that it does not have."""
    document, locale = translations.id_parts(story_id)
    is_row = document.isdigit()  # of Strapi 4, where each locale is a row with a number of its own
    where = "filters[id][$eq]" if is_row else "filters[documentId][$eq]"
    in_locale = [("locale", "all" if is_row else locale)] if is_row or locale else []
    query = [(where, document), ("populate", "*"), ("status", "published"), *in_locale]
    return _request(settings, query)


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    found = api_pages.the_one(_published(answer), _story_id, story_id, "entry")
    return Gone(story_id) if found is None else _story(found, story_id, settings)


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    """Strapi 4 has an entry's fields under `attributes`."""
    inner = entry.get("attributes")
    return {**inner, "id": entry.get("id")} if isinstance(inner, dict) else entry


def _changed(since: datetime, settings: SourceSettings) -> ApiRequest:
    query = [
        ("populate", "*"), ("status", "published"), ("locale", "*"), ("sort", "documentId:asc"),
        ("filters[$or][0][updatedAt][$gte]", times.to_iso(since)),
        ("filters[$or][1][publishedAt][$gte]", times.to_iso(since)),
        ("pagination[pageSize]", str(ROWS_CHANGED)), ("pagination[page]", "1"),
    ]  # fmt: skip
    return _request(settings, query)


def _changed_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> ChangedPage:
    return ChangedPage(
        api_pages.events(_story, _published(answer), _story_id, settings), _next(answer, request)
    )


def _all_ids(settings: SourceSettings) -> ApiRequest:
    """Answered 400 where the type is not localized, which has no such field."""
    return replace(_request(settings, [(_LOCALE_FIELD, "locale"), *_PAGE_OF_IDS]), expected=(400,))


def _ids_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> IdsPage:
    if answer.status == 400 and quote(_LOCALE_FIELD, safe="") in request.url:
        return IdsPage([], _request(settings, _PAGE_OF_IDS))
    return IdsPage([each for each in map(_story_id, _published(answer)) if each], _next(answer, request))


def _published(answer: ApiAnswer) -> list[dict[str, Any]]:
    return [each for each in _entries(answer) if each.get("publishedAt") is not None]


def _entries(answer: ApiAnswer) -> list[dict[str, Any]]:
    value = api_pages.body(answer)
    if not isinstance(value.get("data"), list):
        raise Unreadable("answered without a list of entries: is --content-type the plural of its API?")
    return [_flat(each) for each in objects(value, "data")]


def _next(answer: ApiAnswer, request: ApiRequest) -> ApiRequest | None:
    """Without the number of pages, which a site may switch off (withCount), a full page is followed by another."""
    value = api_pages.body(answer)
    facts = part(an_object(value, "meta"), "pagination")
    here, last, size = part(facts, "page"), part(facts, "pageCount"), part(facts, "pageSize")
    if isinstance(here, int) and isinstance(last, int):
        more = here < last
    else:
        more = isinstance(size, int) and 0 < size <= len(objects(value, "data"))
    if not more:
        return None
    return api_pages.with_query(
        request, {"pagination[page]": str(api_pages.number(request, "pagination[page]") + 1)}
    )


def _request(settings: SourceSettings, query: Sequence[tuple[str, str]]) -> ApiRequest:
    url = f"{settings.base_url}/api/{_plural(settings)}?{urlencode(query, quote_via=quote)}"
    return ApiRequest(url, headers={"Accept": "application/json", "Authorization": "Bearer {token}"})


def _plural(settings: SourceSettings) -> str:
    """The name of the type in the addresses of Strapi's API: the plural."""
    name = settings.content_type.rpartition(".")[2] or "articles"
    return quote(
        name if name.endswith("s") else f"{name[:-1]}ies" if name.endswith("y") else f"{name}s", safe=""
    )


ADAPTER = Adapter(
    name="strapi",
    title="Strapi",
    verify=_verify,
    read=_read,
    wants=("base-url", "api-token"),
    setup=_SETUP,
    fetch=_fetch,
    fetched=_fetched,
    reconciliation=Reconciliation(_changed, _changed_page, _all_ids, _ids_page),
)
