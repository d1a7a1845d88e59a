"""Payload 3: two hooks of a collection, as docs/connect/payload.md has them, and its REST API.

A draft that is saved over a published story looks like an unpublished one: only the API tells them apart. A hook has
one locale of the document: a source has one language, and of another locale it asks for its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
from service.intake.adapters.field_map import RecordHabits, is_story_type, read_record
from service.intake.adapters.json_values import an_id, an_object, decoded, objects, words

DOCS_CHANGED, DOCS_LISTED = 50, 500
_SHA256 = re.compile(r"(?:sha256=)?([0-9a-fA-F]{64})", re.ASCII)
# SQLite gives a deleted document's id to the next one: the time of its making tells them apart.
_HABITS = RecordHabits(
    {"published_at": ("/publishedAt", "/createdAt"), "updated_at": ("/updatedAt",)}, media_path="/api/media/"
)

_SETUP = """1. Copy the hooks of docs/connect/payload.md into the collection of your stories.
2. In Payload's environment: STORY_HOOK_URL={url} and STORY_HOOK_SECRET={secret}
3. For --api-token: a user of the collection users with API keys on (auth: useAPIKey), and its key."""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    sent = request.headers.get("x-signature")
    if not sent:
        return "there is no X-Signature: use the hooks of docs/connect/payload.md"
    found = _SHA256.fullmatch(sent.strip())
    if found is None:
        return "the X-Signature is not sha256=…"
    stamp = request.headers.get("x-timestamp", "").encode("utf-8", "surrogatepass")
    if signed_bodies.fits(signed_bodies.from_hex(found[1]), secrets, stamp + b"." + request.body):
        return None
    return "the X-Signature does not match the source's secret"


def _read(request: HookRequest, settings: SourceSettings) -> Sequence[Event]:
    hook = decoded(request.body)
    event = words(hook, "event") or request.headers.get("x-payload-event", "")
    story_id = an_id(hook, "doc", "id") or an_id(hook, "id")
    collection = words(hook, "collection")
    if event not in ("afterChange", "afterDelete") and event:
        return [Ignore(f"{event[:60]} is no event of a story")]
    if collection and not is_story_type(collection, settings):
        return [Ignore(f"{collection[:60]} is no collection of stories here; if it is: --content-type")]
    if not event or not story_id:
        raise Unreadable("it is none of the hooks of docs/connect/payload.md: no event, or no id")
    if event == "afterDelete":
        return [Gone(story_id)]
    return [_change(hook, story_id, settings)]


def _change(hook: dict[str, Any], story_id: str, settings: SourceSettings) -> Event:
    doc, locale = an_object(hook, "doc"), words(hook, "locale")
    if doc.get("deletedAt") is not None:
        return Gone(story_id)
    if doc.get("_status", "published") != "published":
        return Hint([story_id]) if hook.get("previousStatus") == "published" else Ignore("it is a draft")
    if not locale or _is_ours(locale, settings):
        return _story(doc, story_id, settings, locale)
    if settings.language:
        return Ignore(f"it is in {locale[:40]}, and this source is in {settings.language}")
    return Hint([story_id])


def _is_ours(locale: str, settings: SourceSettings) -> bool:
    """Whether a locale is the source's language. Without one, the API says which is the system's own."""
    if not settings.language:
        return not settings.base_url
    return locale.lower() == settings.language.lower() or _main(locale) == _main(settings.language)


def _main(language: str) -> str:
    return re.split(r"[-_]", language.lower())[0]


def _story(doc: dict[str, Any], story_id: str, settings: SourceSettings, locale: str = "") -> StoryRead:
    known = {"id": story_id, **({"language": locale} if locale and locale != "all" else {})}
    return read_record(doc, settings, _HABITS, known)


def _state(doc: dict[str, Any], story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    """A document as the API gives it without drafts: what is `draft` there is not published."""
    if doc.get("_status", "published") != "published" or doc.get("deletedAt") is not None:
        return Gone(story_id)
    return _story(doc, story_id, settings)


def _fetch(story_id: str, settings: SourceSettings) -> ApiRequest:
    """Asked for as a list: of one document, a 404 may come from a collection that is not there."""
    return _request(settings, [("where[id][equals]", story_id), ("depth", "1"), ("limit", "2")])


def _id_of(doc: dict[str, Any]) -> str:
    return an_id(doc, "id")


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    found = api_pages.the_one(_docs(answer), _id_of, story_id, "document")
    return Gone(story_id) if found is None else _state(found, story_id, settings)


def _changed(since: datetime, settings: SourceSettings) -> ApiRequest:
    query = [
        ("where[updatedAt][greater_than_equal]", times.to_iso(since)), ("depth", "1"), ("sort", "id"),
        ("limit", str(DOCS_CHANGED)), ("page", "1"),
    ]  # fmt: skip
    return _request(settings, query)


def _changed_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> ChangedPage:
    return ChangedPage(api_pages.events(_state, _docs(answer), _id_of, settings), _next(answer, request))


def _all_ids(settings: SourceSettings) -> ApiRequest:
    query = [
        ("depth", "0"), ("select[createdAt]", "true"), ("select[_status]", "true"), ("sort", "id"),
        ("limit", str(DOCS_LISTED)), ("page", "1"),
    ]  # fmt: skip
    return _request(settings, query)


def _ids_page(answer: ApiAnswer, request: ApiRequest, _settings: SourceSettings) -> IdsPage:
    public = [each for each in _docs(answer) if each.get("_status", "published") == "published"]
    ids = [an_id(each, "id") for each in public if each.get("deletedAt") is None]
    return IdsPage([each for each in ids if each], _next(answer, request))


def _next(answer: ApiAnswer, request: ApiRequest) -> ApiRequest | None:
    if api_pages.body(answer).get("hasNextPage") is not True:
        return None
    return api_pages.with_query(request, {"page": str(api_pages.number(request, "page") + 1)})


def _docs(answer: ApiAnswer) -> list[dict[str, Any]]:
    value = api_pages.body(answer)
    if not isinstance(value.get("docs"), list):
        raise Unreadable("answered without documents: are --base-url and --content-type right?")
    return objects(value, "docs")


def _request(settings: SourceSettings, query: Sequence[tuple[str, str]]) -> ApiRequest:
    collection = quote(settings.content_type or "articles", safe="")
    in_locale = [("locale", settings.language)] if settings.language else []
    every = [*query, ("draft", "false"), *in_locale]
    url = f"{settings.base_url}/api/{collection}?{urlencode(every, quote_via=quote)}"
    return ApiRequest(url, headers={"Accept": "application/json", "Authorization": "users API-Key {token}"})


ADAPTER = Adapter(
    name="payload",
    title="Payload",
    verify=_verify,
    read=_read,
    wants=("base-url", "api-token", "content-type"),
    setup=_SETUP,
    fetch=_fetch,
    fetched=_fetched,
    reconciliation=Reconciliation(_changed, _changed_page, _all_ids, _ids_page),
)
