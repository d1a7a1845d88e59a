"""Directus 11 and 12: flows that call us on items' events, and its REST API.

A flow's trigger brings the changed fields alone, of as many items as the editor chose, so that stories are asked for.
Only an item that the flow itself has read first (`item`) is taken as it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from service.intake.adapters.field_map import RecordHabits, is_public, read_record
from service.intake.adapters.json_values import an_id, an_object, decoded, objects, words
from service.intake.adapters.story_types import is_story_type

ITEMS_CHANGED, ITEMS_LISTED = 50, 1_000
_EDITED, _MADE = "date_updated", "date_created"
_NO_SUCH_FIELD = (400, 403)  # Directus's answers to a request that names a field that is not there
_PAGE_OF_CHANGES = (("fields", "*.*.*"), ("sort", "id"), ("limit", str(ITEMS_CHANGED)), ("page", "1"))


def _asset(value: Any) -> str:
    """The address of a file: Directus gives its id, or the file's record."""
    file_id = words(value, "id") if isinstance(value, dict) else value
    if isinstance(file_id, str) and file_id:
        return file_id if "/" in file_id else f"assets/{file_id}"
    return ""


_HABITS = RecordHabits(
    {
        "published_at": ("/date_published", "/published_at", "/publish_date", f"/{_MADE}"),
        "embargo_until": ("/publish_at",),
        "updated_at": (f"/{_EDITED}", f"/{_MADE}"),
    },
    image_address=_asset,
    media_path="/assets/",
)

_SETUP = """1. Settings → Flows → Create Flow: trigger Event Hook, type Action (Non-Blocking), scopes items.create,
   items.update and items.delete, and the collection of your stories.
2. Add one operation, Webhook / Request URL: method POST, URL {url}
   header Authorization with the value Bearer {secret}
   request body {{$trigger}}
3. A user with a role that may read published stories and what they refer to: its static token is --api-token."""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    sent = request.headers.get("authorization", "")
    if not sent:
        return "there is no Authorization header: give the flow's request one, Bearer and the source's secret"
    if signed_bodies.bears(sent, secrets):
        return None
    return "the Authorization header is not Bearer and the source's secret"


def _read(request: HookRequest, settings: SourceSettings) -> Sequence[Event]:
    hook = decoded(request.body)
    name = words(hook, "event")
    collection, _, action = (words(hook, "collection") + "." + name).rpartition(".")
    collection = words(hook, "collection") or name.partition(".items.")[0]
    if not name:
        raise Unreadable(
            "it is no trigger of a flow: there is no event in it; its body is to be {{$trigger}}"
        )
    if action not in ("create", "update", "delete") or ".items." not in f".{name}":
        return [Ignore(f"{name[:60]} is no event of a story")]
    if collection not in ("", "items") and not is_story_type(collection, settings):
        return [Ignore(f"{collection[:60]} is no collection of stories here; if it is: --content-type")]
    item = an_object(hook, "item")
    if an_id(item, "id") and action != "delete":
        return [_state(item, an_id(item, "id"), settings)]
    ids = _keys(hook)
    if not ids:
        raise Unreadable("it names no item: its body is to be {{$trigger}}")
    return [Gone(each) for each in ids] if action == "delete" else [Hint(ids)]


def _keys(hook: dict[str, Any]) -> list[str]:
    """The ids: `key` of a new item, `keys` of changed ones; of deleted ones the payload has them, too."""
    for name in ("keys", "key", "payload"):
        value = hook.get(name)
        found = [an_id([each], 0) for each in (value if isinstance(value, list) else [value])]
        ids = list(dict.fromkeys(each for each in found if each and each not in ("undefined", "null")))
        if ids:
            return ids
    return []


def _state(item: dict[str, Any], story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    if not is_public(item, settings):
        return Gone(story_id)
    return read_record(_without_itself(item, settings), settings, _HABITS, {"id": story_id})


def _without_itself(item: dict[str, Any], settings: SourceSettings) -> dict[str, Any]:
    """Each row of a junction also names the story that it belongs to, with all its fields."""
    own_key = f"{settings.content_type}_id"

    def is_itself(name: str, value: Any) -> bool:
        if isinstance(value, dict):
            return value.keys() == item.keys() and value.get("id") == item.get("id")
        return name == own_key

    def without(row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        return {name: value for name, value in row.items() if not is_itself(name, value)}

    return {
        name: [without(row) for row in value] if isinstance(value, list) else value
        for name, value in item.items()
    }


def _fetch(story_id: str, settings: SourceSettings) -> ApiRequest:
    """Asked for as a list: of one item, Directus says 403 whether it is gone or hidden from the token."""
    return _request(settings, [("filter[id][_eq]", story_id), ("fields", "*.*.*")])


def _id_of(item: dict[str, Any]) -> str:
    return an_id(item, "id")


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    found = api_pages.the_one(_items(answer), _id_of, story_id, "item")
    return Gone(story_id) if found is None else _state(found, story_id, settings)


def _changed(since: datetime, settings: SourceSettings) -> ApiRequest:
    """Changed or new: a collection may have both times, `date_updated` alone, or none."""
    query = [
        (f"filter[_or][0][{_EDITED}][_gte]", times.to_iso(since)),
        (f"filter[_or][1][{_MADE}][_gte]", times.to_iso(since)),
        *_PAGE_OF_CHANGES,
    ]
    return replace(_request(settings, query), expected=_NO_SUCH_FIELD)


def _changed_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> ChangedPage:
    if answer.status in _NO_SUCH_FIELD:
        return ChangedPage([], _simpler_changes(request, settings))
    items = _items(answer)
    events = api_pages.events(_state, items, _id_of, settings)
    return ChangedPage(events, _next(items, request))


def _simpler_changes(request: ApiRequest, settings: SourceSettings) -> ApiRequest:
    since = api_pages.query_value(request, f"filter[_or][0][{_EDITED}][_gte]")
    if not since:
        raise Unreadable(
            f"answered that its stories have no {_EDITED}, or that the token may not read them: only sweeps compare it"
        )
    return _request(settings, [(f"filter[{_EDITED}][_gte]", since), *_PAGE_OF_CHANGES])


def _all_ids(settings: SourceSettings) -> ApiRequest:
    rule = settings.fields.get("status")
    status = rule.pointer.split("/")[1] if rule and "/" in rule.pointer else "status"
    return replace(_ids(settings, f"id,{status}"), expected=_NO_SUCH_FIELD)


def _ids(settings: SourceSettings, fields: str) -> ApiRequest:
    return _request(
        settings, [("fields", fields), ("sort", "id"), ("limit", str(ITEMS_LISTED)), ("page", "1")]
    )


def _ids_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> IdsPage:
    if answer.status in _NO_SUCH_FIELD and api_pages.query_value(request, "fields") != "id":
        return IdsPage([], _ids(settings, "id"))  # a collection without a status
    items = _items(answer)
    ids = [an_id(each, "id") for each in items if is_public(each, settings)]
    return IdsPage([each for each in ids if each], _next(items, request))


def _next(items: Sequence[dict[str, Any]], request: ApiRequest) -> ApiRequest | None:
    """A page with fewer items than were asked for need not be the last: a site may give less (QUERY_LIMIT_MAX)."""
    if not items:
        return None
    return api_pages.with_query(request, {"page": str(api_pages.number(request, "page") + 1)})


def _items(answer: ApiAnswer) -> list[dict[str, Any]]:
    value = api_pages.body(answer)
    if not isinstance(value.get("data"), list):
        raise Unreadable("answered without a list of items: is --base-url Directus's own address?")
    return objects(value, "data")


def _request(settings: SourceSettings, query: Sequence[tuple[str, str]]) -> ApiRequest:
    collection = quote(settings.content_type or "articles", safe="")
    url = f"{settings.base_url}/items/{collection}?{urlencode(query, quote_via=quote)}"
    return ApiRequest(url, headers={"Accept": "application/json", "Authorization": "Bearer {token}"})


ADAPTER = Adapter(
    name="directus",
    title="Directus",
    verify=_verify,
    read=_read,
    needs=("secret", "base-url"),
    wants=("api-token", "content-type"),
    setup=_SETUP,
    fetch=_fetch,
    fetched=_fetched,
    reconciliation=Reconciliation(_changed, _changed_page, _all_ids, _ids_page),
)
