"""Sanity: signed GROQ webhooks, and its query API.

A hook's body is what its projection says; by default it is the document, which refers to others by id alone. With the
API they are looked up. `delete` is an unpublication, too: the published document goes, the draft stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
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
from service.intake.adapters.field_map import RecordHabits, has_headline, read_record
from service.intake.adapters.json_values import an_id, decoded, objects, words
from service.intake.adapters.story_types import is_story_type

DOCUMENTS_CHANGED, DOCUMENTS_LISTED = 50, 1_000
_SIGNATURE_PARTS = re.compile(r"t=(\d{1,20}),\s*v1=([A-Za-z0-9_=-]{20,90})", re.ASCII)
_IMAGE = re.compile(r"image-([A-Za-z0-9]{1,100}-\d{1,6}x\d{1,6})-([a-z0-9]{1,8})", re.ASCII)
_OF_API = re.compile(
    r"https://([a-z0-9-]{1,60})\.(?:api|apicdn)\.sanity\.io/.{0,60}?/data/query/([A-Za-z0-9_-]{1,80})"
)
_DEREFERENCED = (
    "sections",
    "section",
    "categories",
    "category",
    "topics",
    "tags",
    "keywords",
    "authors",
    "author",
)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}", re.ASCII)
_PLACES = {"published_at": ("/publishedAt", "/publishDate", "/_createdAt"), "updated_at": ("/_updatedAt",)}

_SETUP = """1. sanity.io/manage → your project → API → Webhooks → Create webhook: name Dateline, URL {url}
2. Dataset: yours. Trigger on Create, Update, Delete. Filter: _type == "article". Projection: leave it empty.
3. HTTP method POST, secret {secret}; drafts and versions stay off.
4. API → Tokens → Add API token, Viewer: that is --api-token; --base-url is
   https://PROJECT.api.sanity.io/v2025-02-19/data/query/DATASET"""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    sent = request.headers.get("sanity-webhook-signature")
    if not sent:
        return "there is no Sanity-Webhook-Signature: give the webhook the source's secret in Sanity"
    found = _SIGNATURE_PARTS.fullmatch(sent.strip())
    if found is None:
        return "the Sanity-Webhook-Signature is not t=…,v1=…"
    code = found[2].rstrip("=").replace("-", "+").replace("_", "/")
    mark = signed_bodies.from_base64(code + "=" * (-len(code) % 4))
    if signed_bodies.fits(mark, secrets, found[1].encode() + b"." + request.body):
        return None
    return "the Sanity-Webhook-Signature does not match the source's secret"


def _read(request: HookRequest, settings: SourceSettings) -> Sequence[Event]:
    document = decoded(request.body)
    story_id = an_id(document, "_id") or an_id([request.headers.get("sanity-document-id")], 0)
    if not story_id:
        raise Unreadable("its document has no _id: leave the webhook's projection empty, or add _id to it")
    if story_id.startswith(("drafts.", "versions.")):
        return [Ignore("it is a draft")]
    model = words(document, "_type")
    if model and not is_story_type(model, settings):
        return [Ignore(f"{model[:60]} is no type of stories here; if it is: --content-type")]
    if request.headers.get("sanity-operation") == "delete":
        return [Gone(story_id)]
    habits = _habits(request.headers.get("sanity-project-id", ""), request.headers.get("sanity-dataset", ""))
    if _is_partial(document, settings, habits) or (settings.base_url and _refers(document, 0)):
        return [Hint([story_id])]
    return [_story(document, story_id, settings, habits)]


def _is_partial(document: dict[str, Any], settings: SourceSettings, habits: RecordHabits) -> bool:
    """Whether a projection has left so much out that it is no story: what changed alone, or only the id."""
    if not has_headline(document, settings, habits):
        return True
    return bool(settings.base_url) and not words(document, "_type")


def _refers(value: Any, depth: int) -> bool:
    """Whether there is a reference to another document in it. An image's asset is none: its address is in its id."""
    if isinstance(value, list):
        return depth < 20 and any(_refers(each, depth + 1) for each in value)
    if not isinstance(value, dict) or depth > 20:
        return False
    target = value.get("_ref")
    if isinstance(target, str):
        return not target.startswith(("image-", "file-"))
    return any(_refers(each, depth + 1) for each in value.values())


def _habits(project: str, dataset: str) -> RecordHabits:
    has_place = project and dataset
    place = f"{quote(project, safe='')}/{quote(dataset, safe='')}"
    base = f"https://cdn.sanity.io/images/{place}/" if has_place else ""

    def address(value: Any) -> str:
        said = words(value, "asset", "url") or words(value, "url")
        found = _IMAGE.fullmatch(
            words(value, "asset", "_ref") or words(value, "asset", "_id") or words(value, "_ref")
        )
        return said or (f"{base}{found[1]}.{found[2]}" if found and base else "")

    return RecordHabits(_PLACES, image_address=address)


def _of_settings(settings: SourceSettings) -> RecordHabits:
    found = _OF_API.match(settings.base_url)
    return _habits(found[1], found[2]) if found else _habits("", "")


def _story(
    document: dict[str, Any], story_id: str, settings: SourceSettings, habits: RecordHabits
) -> StoryRead:
    return read_record(document, settings, habits, {"id": story_id})


def _fetch(story_id: str, settings: SourceSettings) -> ApiRequest:
    return _request(settings, f"*[_id == $id]{_projection(settings)}", {"id": story_id})


def _projection(settings: SourceSettings) -> str:
    """The document, with the names of what it refers to; an attribute that refers to nothing stays as it is."""
    own = [each.pointer.split("/")[1] for each in settings.fields.values() if each.pointer.count("/") == 1]
    names = dict.fromkeys([*_DEREFERENCED, *(each for each in own if _PLAIN_NAME.fullmatch(each))])
    facts = "{_id,_type,name,title,slug,url}"
    return (
        "{...,"
        + ",".join(
            f'defined({each}[0]._ref)=>{{"{each}":{each}[]->{facts}}},defined({each}._ref)=>{{"{each}":{each}->{facts}}}'
            for each in names
        )
        + "}"
    )


def _id_of(document: dict[str, Any]) -> str:
    return an_id(document, "_id")


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    found = api_pages.the_one(_documents(answer), _id_of, story_id, "document")
    return Gone(story_id) if found is None else _story(found, story_id, settings, _of_settings(settings))


def _changed(since: datetime, settings: SourceSettings) -> ApiRequest:
    return _changes(times.to_iso(since), "", settings)


def _changes(since: str, after: str, settings: SourceSettings) -> ApiRequest:
    chosen = f"{_ours(settings)} && _updatedAt >= $since && _id > $after"
    query = f"*[{chosen}] | order(_id asc) [0...{DOCUMENTS_CHANGED}]{_projection(settings)}"
    return _request(settings, query, {"since": since, "after": after})


def _changed_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> ChangedPage:
    documents = [each for each in _documents(answer) if an_id(each, "_id")]
    stories = (each for each in documents if is_story_type(words(each, "_type"), settings))
    read = partial(_story, habits=_of_settings(settings))
    events = api_pages.events(read, stories, _id_of, settings)
    if len(documents) < DOCUMENTS_CHANGED:
        return ChangedPage(events)
    since = json.loads(api_pages.query_value(request, "$since") or '""')
    return ChangedPage(events, _changes(since, an_id(documents[-1], "_id"), settings))


def _all_ids(settings: SourceSettings) -> ApiRequest:
    return _ids("", settings)


def _ids(after: str, settings: SourceSettings) -> ApiRequest:
    query = f"*[{_ours(settings)} && _id > $after] | order(_id asc) [0...{DOCUMENTS_LISTED}]{{_id,_type}}"
    return _request(settings, query, {"after": after})


def _ids_page(answer: ApiAnswer, _request_made: ApiRequest, settings: SourceSettings) -> IdsPage:
    documents = [each for each in _documents(answer) if an_id(each, "_id")]
    ids = [an_id(each, "_id") for each in documents if is_story_type(words(each, "_type"), settings)]
    more = len(documents) >= DOCUMENTS_LISTED
    return IdsPage(ids, _ids(an_id(documents[-1], "_id"), settings) if more else None)


def _ours(settings: SourceSettings) -> str:
    """Which documents are looked through. Ids with a dot are drafts, versions, and what is Sanity's own."""
    of_type = f"_type == {json.dumps(settings.content_type)} && " if settings.content_type else ""
    return of_type + '!(_id in path("**.**"))'


def _documents(answer: ApiAnswer) -> list[dict[str, Any]]:
    value = api_pages.body(answer)
    if not isinstance(value.get("result"), list):
        raise Unreadable("answered without documents: is --base-url the query address of the dataset?")
    return objects(value, "result")


def _request(settings: SourceSettings, query: str, values: dict[str, str]) -> ApiRequest:
    """A query of published documents: the token must not bring drafts in."""
    asked = {"query": query, **{f"${name}": json.dumps(value) for name, value in values.items()}}
    url = f"{settings.base_url}?{urlencode({**asked, 'perspective': 'published'}, quote_via=quote)}"
    return ApiRequest(url, headers={"Accept": "application/json", "Authorization": "Bearer {token}"})


ADAPTER = Adapter(
    name="sanity",
    title="Sanity",
    verify=_verify,
    read=_read,
    wants=("base-url", "api-token", "content-type"),
    setup=_SETUP,
    fetch=_fetch,
    fetched=_fetched,
    reconciliation=Reconciliation(_changed, _changed_page, _all_ids, _ids_page),
)
