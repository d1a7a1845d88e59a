"""Payload 3: two hooks of a collection, as docs/connect/payload.md has them, and its REST API.

A hook says `shown` when it has the document as readers see it. One that does not, of sites that took its code from an
older page, has what an editor saved: then a draft over a published story looks like an unpublished one, and what an
editor's screen saves has bare ids for all that it refers to, so that the API is asked. A hook has one locale of the
document. Each is a story of its own, unless the source has a language: then it has that one alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    Hint,
    HookRequest,
    IdsPage,
    Ignore,
    Reconciliation,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.field_map import HABITS, RecordHabits, first_value, read_record
from service.intake.adapters.json_values import a_moment, an_id, an_object, decoded, objects, words
from service.intake.adapters.story_types import is_story_type

DOCS_CHANGED, DOCS_LISTED = 50, 500
LOCALES_MOST = 50  # of one document
_USUAL_LOCALE = "en"  # of Payload as it is installed: the story in it has the document's id alone
_ALL_LOCALES = "all"  # of a change by code: each field has all its languages
RELATIONS_MOST = 100  # of one field: all of them are as bare as the first
_RELATIONS = ("sections", "authors", "images", "keywords")
# Of another document, in MongoDB or as a UUID.
_AN_ID = re.compile(r"[0-9a-f]{24}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
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
    if event == "afterDelete" or an_object(hook, "doc").get("deletedAt") is not None:
        return _gone(hook, story_id, settings)
    return _change(hook, story_id, settings)


def _gone(hook: dict[str, Any], record_id: str, settings: SourceSettings) -> list[Event]:
    """A deletion is that of all translations: where the hook does not name them, the ids are compared."""
    ids = dict.fromkeys((record_id, *_ids(hook, record_id, settings)))
    is_whole = bool(settings.language) or "locales" in hook or not settings.base_url
    return [*map(Gone, ids), *([] if is_whole else [Hint(sweep=True)])]


def _change(hook: dict[str, Any], record_id: str, settings: SourceSettings) -> list[Event]:
    doc, locale, before = an_object(hook, "doc"), words(hook, "locale"), hook.get("previousStatus")
    ids = _ids(hook, record_id, settings)
    is_shown = hook.get("shown") is True
    if is_shown and not _is_public(doc):
        return [Gone(each, updated_at=a_moment(doc, "updatedAt")) for each in ids]
    if doc.get("_status", "published") != "published":
        # The draft that a published story was saved as may be unpublished later: then it was a draft before, too.
        may_be_public = before == "published" or (before is not None and settings.base_url)
        return [Hint(ids) if may_be_public else Ignore("it is a draft")]
    if locale == _ALL_LOCALES or (settings.base_url and not is_shown and _has_bare_ids(doc, settings)):
        return [Hint(ids)]
    if settings.language and locale and not _is_ours(locale, settings):
        return [Ignore(f"it is in {locale[:40]}, and this source is in {settings.language}")]
    story_id = _id_in(record_id, locale, settings)
    if is_shown and not _has_content(doc, settings):  # it has no translation, or none any more
        return [Hint([story_id]) if settings.base_url else Gone(story_id)]
    story = _story(doc, story_id, settings, locale)
    # With the first publication all translations become public, and the hook has one.
    others = [each for each in ids if each != story_id]
    return [story, Hint(others)] if others and before != "published" and settings.base_url else [story]


def _has_bare_ids(doc: dict[str, Any], settings: SourceSettings) -> bool:
    return any(_is_bare(first_value(doc, each, settings, _HABITS)) for each in _RELATIONS)


def _is_bare(value: Any) -> bool:
    """Whether a relation, or one of several, is the other document's id alone."""
    if isinstance(value, list):
        return any(map(_is_bare, value[:RELATIONS_MOST]))
    if isinstance(value, dict):
        return "relationTo" in value and _is_bare(value.get("value"))
    if isinstance(value, str):
        return _AN_ID.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool)


def _ids(hook: dict[str, Any], record_id: str, settings: SourceSettings) -> list[str]:
    """The ids of a document's stories: in the hook's locale, and in those that the hook names."""
    named = hook.get("locales")
    locales = [hook.get("locale"), *(named[:LOCALES_MOST] if isinstance(named, list) else [])]
    found = [each for each in locales if translations.is_locale(each) and each != _ALL_LOCALES]
    return list(dict.fromkeys(_id_in(record_id, each, settings) for each in found)) or [record_id]


def _id_in(record_id: str, locale: str, settings: SourceSettings) -> str:
    is_own = bool(settings.language) or locale.lower() == _USUAL_LOCALE
    return record_id if is_own else translations.story_id(record_id, locale)


def _is_ours(locale: str, settings: SourceSettings) -> bool:
    ours = settings.language or ""
    return locale.lower() == ours.lower() or _main(locale) == _main(ours)


def _main(language: str) -> str:
    return re.split(r"[-_]", language.lower())[0]


def _story(doc: dict[str, Any], story_id: str, settings: SourceSettings, locale: str = "") -> StoryRead:
    """A look-up of the usual locale's story does not tell its language: then the hook's locale is not taken either."""
    in_id = translations.id_parts(story_id)[1]
    language = settings.language or in_id or ("" if settings.base_url else locale)
    known = {"id": story_id, **({"language": language} if language else {})}
    return read_record(doc, settings, _HABITS, known)


def _is_public(doc: dict[str, Any]) -> bool:
    """Of a document as the API gives it without drafts: what is `draft` there is not published."""
    return doc.get("_status", "published") == "published" and doc.get("deletedAt") is None


def _fetch(story_id: str, settings: SourceSettings) -> ApiRequest:
    """Asked for as a list: of one document, a 404 may come from a collection that is not there."""
    record_id, locale = translations.id_parts(story_id)
    query = [("where[id][equals]", record_id), ("depth", "1"), ("limit", "2")]
    if not settings.language:
        query += [("locale", locale or _USUAL_LOCALE), ("fallback-locale", "none")]
    return _request(settings, query)


def _id_of(doc: dict[str, Any]) -> str:
    return an_id(doc, "id")


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    record_id, locale = translations.id_parts(story_id)
    doc = api_pages.the_one(_docs(answer), _id_of, record_id, "document")
    if doc is None or not _is_public(doc) or (settings.language and locale):
        return Gone(story_id)
    if not settings.language and not _has_content(doc, settings):
        return Gone(story_id)  # it is not translated, or not any more
    return _story(doc, story_id, settings)


def _has_content(doc: dict[str, Any], settings: SourceSettings) -> bool:
    return any(first_value(doc, each, settings, _HABITS) for each in ("headline", "body_html"))


def _changed(since: datetime, settings: SourceSettings) -> ApiRequest:
    query = [
        ("where[updatedAt][greater_than_equal]", times.to_iso(since)), ("depth", "1"), ("sort", "id"),
        ("limit", str(DOCS_CHANGED)), ("page", "1"), *_every_locale(settings),
    ]  # fmt: skip
    return _request(settings, query)


def _every_locale(settings: SourceSettings) -> list[tuple[str, str]]:
    return [] if settings.language else [("locale", _ALL_LOCALES)]


def _changed_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> ChangedPage:
    return ChangedPage(api_pages.events(_listed, _docs(answer), _id_of, settings), _next(answer, request))


def _listed(doc: dict[str, Any], record_id: str, settings: SourceSettings) -> Event:
    """A document of a list. One that has several languages is asked for in each."""
    if _locales(doc, settings) is not None:
        return Hint(_listed_ids(doc, settings) or [record_id])
    return _story(doc, record_id, settings) if _is_public(doc) else Gone(record_id)


def _listed_ids(doc: dict[str, Any], settings: SourceSettings) -> list[str]:
    locales = _locales(doc, settings)
    if locales is None:
        return [_id_of(doc)]
    return [_id_in(_id_of(doc), each, settings) for each in locales[:LOCALES_MOST]]


def _locales(doc: dict[str, Any], settings: SourceSettings) -> list[str] | None:
    """The locales that a document's headline has; None for a document without translations."""
    return (
        None
        if settings.language
        else translations.locales_of(first_value(doc, "headline", settings, _HABITS))
    )


def _all_ids(settings: SourceSettings) -> ApiRequest:
    rule = settings.fields.get("headline")
    pointers = [rule.pointer] if rule else HABITS["headline"]
    names = [] if settings.language else [pointer.split("/")[1] for pointer in pointers if "/" in pointer]
    query = [
        ("depth", "0"), ("sort", "id"), ("limit", str(DOCS_LISTED)), ("page", "1"), *_every_locale(settings),
        *((f"select[{each}]", "true") for each in ("createdAt", "_status", "deletedAt", *names)),
    ]  # fmt: skip
    return _request(settings, query)


def _ids_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> IdsPage:
    public = [each for each in _docs(answer) if _id_of(each) and _is_public(each)]
    ids = [story_id for each in public for story_id in _listed_ids(each, settings)]
    return IdsPage(ids, _next(answer, request))


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
