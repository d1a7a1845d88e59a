"""Hygraph: webhooks that carry the entry, with its relations as ids, and its Content API (GraphQL).

What an entry's relations are called stands in no webhook. With an address a published entry is asked for: first which
fields its model has and which the models behind its relations, then the entry with their names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

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
from service.intake.adapters.json_values import (
    an_id,
    an_object,
    decoded,
    filled,
    objects,
    words,
)
from service.intake.adapters.story_types import is_story_type, no_story_type
from service.intake.rich_text import hygraph as rich_text

_STYLE = DocumentStyle(rich_text.is_rich_text, rich_text.to_html)
_SIGNATURE = re.compile(
    r"\s*sign=([A-Za-z0-9+/=]{1,100}),\s*env=([^,]{0,200}),\s*t=([0-9]{1,16})\s*", re.ASCII
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
_NAME_FIELDS = ("name", "title", "label", "slug", "fullName", "firstName", "lastName")
_ASSET_FIELDS = ("url", "width", "height", "altText", "alt", "caption", "credit")
_SYSTEM_FIELDS = frozenset((
    "documentInStages", "localizations", "createdBy", "updatedBy", "publishedBy", "scheduledIn", "history", "stage",
))  # fmt: skip
_FIELDS_MOST = 120
_MODELS_MOST = 25
_TYPE = "fields{name args{type{kind}} type{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}"

_SETUP = """1. Project settings → Webhooks → Add webhook: the URL {url}, under Signing the secret {secret}.
   Include the payload. Triggers: your story's content model, stages PUBLISHED, the actions Publish, Unpublish, Delete.
2. --base-url is the Content API of Project settings → Endpoints, with its project and environment:
   https://eu-central-1.cdn.hygraph.com/content/PROJECT/master
3. If nobody may read it without a token: Project settings → Permanent auth tokens → what --api-token wants."""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    sent = request.headers.get("gcms-signature")
    if not sent:
        return "there is no gcms-signature: give the webhook the source's secret in Hygraph"
    found = _SIGNATURE.fullmatch(sent)
    if found is None:
        return "the gcms-signature is not sign=…, env=…, t=…"
    try:
        signed = {"Body": request.body.decode(), "EnvironmentName": found[2], "TimeStamp": int(found[3])}
    except UnicodeDecodeError:
        return "the body is not UTF-8"
    message = json.dumps(signed, separators=(",", ":"), ensure_ascii=False).encode()
    if signed_bodies.fits(signed_bodies.from_base64(found[1]), secrets, message):
        return None
    return "the gcms-signature does not match the source's secret"


def _read(request: HookRequest, settings: SourceSettings) -> Sequence[Event]:
    hook = decoded(request.body)
    operation, entry = words(hook, "operation"), an_object(hook, "data")
    if not operation:
        raise Unreadable("it is no webhook of Hygraph: it has no operation")
    kind, story_id = words(entry, "__typename"), an_id(entry, "id")
    if not story_id:
        if not entry:
            raise Unreadable("it has no data: let the webhook include its payload")
        return [Ignore(f"{operation[:60]} of what has no id")]
    # One model is asked for: an entry of another would not be found there, and be taken for gone.
    if not is_story_type(kind, settings) or (settings.base_url and kind != _model(settings)):
        return [Ignore(no_story_type(kind))]
    match operation:
        case "unpublish" | "delete":
            return [Gone(story_id)]
        case "publish" if settings.base_url:
            return [Hint([story_id])]
        case "publish":
            return [_story(entry, story_id, settings)]
        case _:
            return [Ignore(f"{operation[:60]} changes a draft")]


def _story(entry: Mapping[str, Any], story_id: str, settings: SourceSettings) -> StoryRead:
    from_entry = filled(
        {
            "language": words(entry, "locale") or words(entry, "localizations", 0, "locale"),
            "published_at": document_fields.moment_of(entry.get("publishedAt")),
            "updated_at": document_fields.moment_of(entry.get("updatedAt")),
        }
    )
    fields = document_fields.read(entry, entry, settings, _STYLE)
    unnamed = bool(objects(entry, "authors") or an_object(entry, "author")) and "authors" not in fields
    warnings = (
        ("its authors are only ids in the webhook: --base-url lets them be asked for",) if unnamed else ()
    )
    return StoryRead({**fields, **from_entry, "id": story_id}, warnings)


def _model(settings: SourceSettings) -> str:
    name = settings.content_type.partition(",")[0].strip() or "Article"
    if not _WORD.fullmatch(name):
        raise Unreadable(f"{name[:60]!r} is no model of Hygraph: --content-type Article")
    return name


def _fetch(_story_id: str, settings: SourceSettings) -> ApiRequest:
    return _query(settings, f'{{model:__type(name:"{_model(settings)}"){{{_TYPE}}}}}')


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone | ApiRequest:
    if answer.status != 200:
        raise Unreadable(f"answered {answer.status}: is --base-url the Content API of the project?")
    value = decoded(answer.body)
    data = value.get("data")
    if not isinstance(data, dict) or value.get("errors"):
        told = words(value, "errors", 0, "message")[:200]
        raise Unreadable(f"its Content API answers: {told or 'nothing'}")
    if "model" in data:
        return _after_models(data, story_id, settings)
    if "entry" not in data:
        raise Unreadable("answered without the entry: is --base-url the Content API of the project?")
    if data["entry"] is None:
        return Gone(story_id)
    entry = an_object(data, "entry")
    if an_id(entry, "id") != story_id:
        raise Unreadable("answered with another entry than the one that was asked for")
    return _story(entry, story_id, settings)


def _after_models(data: dict[str, Any], story_id: str, settings: SourceSettings) -> ApiRequest:
    """Asks for the models behind the relations; once they are known, for the entry."""
    fields = _fields(data.get("model"))
    if not fields:
        raise Unreadable(f"it has no model {_model(settings)}, or its token may not read it: --content-type")
    related = sorted({name for _, kind, name in fields if kind == "OBJECT"})[:_MODELS_MOST]
    models = [f'm{place}:__type(name:"{name}"){{{_TYPE}}}' for place, name in enumerate(related)]
    known = {name: _fields(data[f"m{place}"]) for place, name in enumerate(related) if f"m{place}" in data}
    if models and not known:
        return _query(settings, f'{{model:__type(name:"{_model(settings)}"){{{_TYPE}}}{" ".join(models)}}}')
    asked = [words_of for name, kind, of in fields if (words_of := _asked(name, kind, known.get(of, [])))]
    model = _model(settings)
    root = model[:1].lower() + model[1:]
    query = f"query($id:ID!){{entry:{root}(where:{{id:$id}},stage:PUBLISHED){{{' '.join(['id', *asked])}}}}}"
    return _query(settings, query, {"id": story_id})


def _fields(model: Any) -> list[tuple[str, str, str]]:
    """(name, kind, name of its type) of a model's fields that can be asked for by their name alone."""
    found = []
    for each in objects(model, "fields")[:_FIELDS_MOST]:
        of = an_object(each, "type")
        for _ in range(3):
            of = an_object(of, "ofType") or of
        name, kind, of_name = words(each, "name"), words(of, "kind"), words(of, "name")
        needs = [True for of_arg in objects(each, "args") if words(of_arg, "type", "kind") == "NON_NULL"]
        if _WORD.fullmatch(name) and _WORD.fullmatch(of_name) and name not in _SYSTEM_FIELDS and not needs:
            found.append((name, kind, of_name))
    return found


def _asked(name: str, kind: str, of: Sequence[tuple[str, str, str]]) -> str:
    if kind in ("SCALAR", "ENUM"):
        return name if name != "id" else ""
    plain = {each for each, its_kind, _ in of if its_kind in ("SCALAR", "ENUM")}
    if kind != "OBJECT" or not plain:
        return ""
    wanted = [each for each in ("id", "html", *_NAME_FIELDS, *_ASSET_FIELDS) if each in plain]
    return f"{name}{{{' '.join(wanted)}}}" if wanted else ""


def _query(settings: SourceSettings, query: str, variables: Mapping[str, str] | None = None) -> ApiRequest:
    headers = {"Accept": "application/json"}
    if settings.has_token:
        headers["Authorization"] = "Bearer {token}"
    body = {"query": query, "variables": dict(variables or {})}
    return ApiRequest(settings.base_url, "POST", headers, body)


ADAPTER = Adapter(
    name="hygraph",
    title="Hygraph",
    verify=_verify,
    read=_read,
    wants=("base-url",),
    setup=_SETUP,
    fetch=_fetch,
    fetched=_fetched,
)
