"""Prismic: webhooks that name documents, and its Document API (version 2).

Publishing and unpublishing look the same: each document is asked for at the newest master ref, and is gone if it is not
there. The secret is in the body, in the clear.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from service.intake.adapters import document_fields
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
from service.intake.adapters.json_values import an_id, an_object, decoded, filled, objects, part, words
from service.intake.adapters.story_types import is_story_type
from service.intake.rich_text import prismic as rich_text

_STYLE = DocumentStyle(rich_text.is_rich_text, rich_text.to_html)
_API = "/api/v2"

_SETUP = """1. Settings → Webhooks → Create a webhook: the URL {url}, the secret {secret}.
   Triggers: A document is published, A document is unpublished (and no other).
2. --base-url is the address of the repository, https://REPOSITORY.prismic.io, without /api/v2.
3. If the repository's API is private: Settings → API & Security, a permanent access token is what --api-token wants."""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    try:
        sent = words(decoded(request.body), "secret").encode("utf-8", "surrogatepass")
    except Unreadable as error:
        return str(error)
    if not sent:
        return "there is no secret in the body: give the webhook the source's secret in Prismic"
    matches = [hmac.compare_digest(sent, each.encode("utf-8", "surrogatepass")) for each in secrets if each]
    return None if any(matches) else "the secret in the body is not the source's"


def _read(request: HookRequest, _settings: SourceSettings) -> Sequence[Event]:
    hook = decoded(request.body)
    kind = words(hook, "type")
    if kind == "test-trigger":
        return [Ignore("a test")]
    if kind != "api-update":
        if kind:
            return [Ignore(f"{kind[:60]} is no event of a document")]
        raise Unreadable("it is no webhook of Prismic: it has no type")
    named = hook.get("documents")
    documents = named if isinstance(named, list) else []
    ids = [found for place in range(len(documents)) if (found := _document_id(documents[place]))]
    if not ids:
        return [Ignore("no published document changed")]
    return [Hint(list(dict.fromkeys(ids)))]


def _document_id(value: Any) -> str:
    return an_id(value, "id") if isinstance(value, dict) else an_id([value], 0)


def _fetch(_story_id: str, settings: SourceSettings) -> ApiRequest:
    return _request(settings, "", {})


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone | ApiRequest:
    if answer.status != 200:
        raise Unreadable(f"answered {answer.status}: is --base-url https://REPOSITORY.prismic.io?")
    value = decoded(answer.body)
    if isinstance(value.get("refs"), list):
        return _search(value, story_id, settings)
    if not isinstance(value.get("results"), list):
        raise Unreadable("answered without results: is --base-url https://REPOSITORY.prismic.io?")
    if not value["results"]:
        return Gone(story_id)
    document = an_object(value, "results", 0)
    if an_id(document, "id") != story_id:
        raise Unreadable("answered with another document than the one that was asked for")
    return _story(document, story_id, settings)


def _search(api: dict[str, Any], story_id: str, settings: SourceSettings) -> ApiRequest:
    refs = [words(each, "ref") for each in objects(api, "refs") if each.get("isMasterRef") is True]
    if not refs or not refs[0] or '"' in story_id or "\\" in story_id:
        raise Unreadable("answered without a master ref: is --base-url https://REPOSITORY.prismic.io?")
    predicate = f'[[at(document.id,"{story_id}")]]'
    return _request(settings, "/documents/search", {"ref": refs[0], "q": predicate, "lang": "*"})


def _story(document: dict[str, Any], story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    if not is_story_type(words(document, "type"), settings):
        return Gone(story_id)
    found = document.get("tags")
    tags = [each for each in found if isinstance(each, str) and each] if isinstance(found, list) else []
    from_document = filled(
        {
            "sections": [[each] for each in tags],
            "keywords": tags,
            "url": words(document, "url") if words(document, "url").startswith("http") else "",
            "language": words(document, "lang"),
            "published_at": document_fields.moment_of(document.get("first_publication_date")),
            "updated_at": document_fields.moment_of(document.get("last_publication_date")),
        }
    )
    fields = document_fields.read(document, _readable(an_object(document, "data")), settings, _STYLE)
    return StoryRead({**from_document, **fields, "id": story_id})


def _readable(data: dict[str, Any]) -> dict[str, Any]:
    """The data with titles as texts: a title is a rich text of one block."""
    titles = ("title", "headline", "name")
    flat = {name: rich_text.text_of(data[name]) for name in titles if isinstance(data.get(name), list)}
    people = [
        each
        for each in objects(data, "authors")
        if part(each, "author") is not None or part(each, "name") is not None
    ]
    authors = {"authors": [part(each, "author") or each for each in people]} if people else {}
    return {**data, **flat, **authors}


def _request(settings: SourceSettings, path: str, query: dict[str, str]) -> ApiRequest:
    asked = urlencode(query, quote_via=quote)
    token = "access_token={token}" if settings.has_token else ""
    ending = "&".join(each for each in (asked, token) if each)
    url = f"{settings.base_url.removesuffix(_API)}{_API}{path}"
    return ApiRequest(f"{url}?{ending}" if ending else url, headers={"Accept": "application/json"})


ADAPTER = Adapter(
    name="prismic",
    title="Prismic",
    verify=_verify,
    read=_read,
    needs=("secret", "base-url"),
    setup=_SETUP,
    fetch=_fetch,
    fetched=_fetched,
    answer_status=200,  # anything else is tried again, a 202 too
)
