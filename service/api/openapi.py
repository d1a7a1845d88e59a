"""The API described by itself: /openapi.json (OpenAPI 3.1) for programs, /docs for people."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

from flask import Blueprint, Response, render_template

from service.http.problems import PROBLEMS
from service.intake import article
from service.store.schema.deliveries import DELIVERY_STATES

_JSON = "application/json"


def create_blueprint(public_url: str) -> Blueprint:
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/openapi.json")
    def get_openapi() -> Response:
        """This description."""
        text = json.dumps(description(public_url), ensure_ascii=False, indent=1)
        headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "public, max-age=300"}
        return Response(text, content_type=_JSON, headers=headers)

    @blueprint.get("/docs")
    def get_docs() -> Response:
        """This description, to read."""
        page = render_template(
            "docs.html", api=description(public_url), problems=PROBLEMS, public_url=public_url
        )
        headers = {
            "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'",
            "Cache-Control": "public, max-age=300",
        }
        return Response(page, content_type="text/html; charset=utf-8", headers=headers)

    return blueprint


def description(public_url: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document. Paths are those of interface.md."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dateline",
            "version": metadata.version("dateline"),
            "description": "Articles in; feeds and signed pushes out; with proof of who holds what.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url}],
        "paths": _paths(),
        "components": {
            "schemas": {
                **_article_schemas(),
                "Answer": _ANSWER,
                "PartnerEvents": _PARTNER_EVENTS,
                "Problem": _PROBLEM,
            },
            "securitySchemes": _SECURITY,
        },
    }


def _article_schemas() -> dict[str, Any]:
    """The article's schema and those of its parts, side by side: a reference in OpenAPI starts at the document."""
    whole = article.schema("#/components/schemas/{model}")
    return {"Article": whole, **whole.pop("$defs")}


_SECURITY = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "A source's or a partner's API key."},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature over the raw body.",
    },
    "operator": {"type": "http", "scheme": "bearer", "description": "The operator's token."},
}
_ANSWER = {
    "type": "object",
    "required": ["article", "revision", "event", "type", "outcome"],
    "properties": {
        "article": {
            "type": "string",
            "description": "The article's public id, a tag: URI that never changes.",
        },
        "revision": {"type": "integer", "minimum": 1},
        "event": {"type": "string", "description": "The event of this revision."},
        "type": {"type": "string", "examples": ["article.published"]},
        "outcome": {"enum": ["accepted", "repeat", "stale"]},
        "warnings": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Problem/properties/errors/items"},
        },
    },
}
_PARTNER_EVENT = {
    "type": "object",
    "properties": {
        "sequence": {"type": "integer", "description": "dateline-sequence: the endpoint's own numbering."},
        "endpoint": {"type": "integer"},
        "id": {"type": "string", "description": "The push's webhook-id."},
        "type": {"type": "string", "examples": ["article.published"]},
        "article": {"type": "string"},
        "revision": {"type": "integer"},
        "state": {"enum": list(DELIVERY_STATES)},
        "superseded_by": {"type": ["integer", "null"], "description": "The revision that goes instead."},
        "superseded_by_sequence": {
            "type": ["integer", "null"],
            "description": "Its number, if it goes to you.",
        },
        "occurred_at": {"type": "string", "format": "date-time"},
        "timestamp": {"type": "string", "description": "With include=data: as in the push."},
        "data": {
            "type": ["object", "null"],
            "description": "With include=data: as in the push; null if something newer goes instead.",
        },
    },
}
_PARTNER_EVENTS = {
    "type": "object",
    "required": ["events", "next", "more"],
    "properties": {
        "events": {"type": "array", "items": _PARTNER_EVENT},
        "next": {"type": "integer", "description": "The next ?after=."},
        "more": {"type": "boolean", "description": "There are further ones now."},
    },
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def _paths() -> dict[str, Any]:
    source: list[dict[str, Any]] = [{"apiKey": []}, {"signature": []}]
    operator: list[dict[str, Any]] = [{"operator": []}]
    accepted = {"202": _content("Committed, or known already.", _ref("Answer"))}
    article = {"required": True, "content": {_JSON: {"schema": _ref("Article")}}}
    key = _parameter("Idempotency-Key", "header", "A repeat of the key gets the first answer again.")
    return {
        "/v1/articles": {
            "post": _operation(
                "Post an article's current state",
                source,
                {**accepted, **_refusals(400, 401, 403, 409, 413, 415, 422, 503)},
                parameters=[key, _parameter("source", "query", "Whose signature this is.")],
                body=article,
            ),
            "get": _operation(
                "Find an article by its source's own id",
                [*operator, {"apiKey": []}],
                {"200": _content("The article."), **_refusals(400, 401, 403, 404)},
                parameters=[
                    _parameter("source", "query", "The source's slug.", required=True),
                    _parameter("external_id", "query", "The source's own id.", required=True),
                ],
            ),
        },
        "/v1/articles/{id}": {
            "get": _operation(
                "An article: its revisions, its events, who holds what",
                [*operator, {"apiKey": []}],
                {"200": _content("The article."), **_refusals(401, 403, 404)},
                parameters=[_path("id", "The public id, or the last part of it.")],
            )
        },
        "/v1/hooks/{source}": {
            "post": _operation(
                "A content system's own webhook",
                source,
                {**accepted, **_refusals(400, 401, 403, 409, 413, 415, 422, 503)},
                parameters=[_path("source", "The source's slug."), key],
                body=article,
            )
        },
        "/v1/events/{id}": {
            "get": _operation(
                "An event, its deliveries and their attempts",
                operator,
                {"200": _content("The event."), **_refusals(401, 404)},
                parameters=[_path("id", "evt_…")],
            )
        },
        "/v1/partner/events": {
            "get": _operation(
                "What a partner was sent after a sequence number",
                [{"apiKey": []}],
                {
                    "200": _content(
                        "Its events, in order; superseded ones are marked. With more to come, Link has rel=next.",
                        _ref("PartnerEvents"),
                    ),
                    "304": {"description": "Unchanged: If-None-Match had its ETag."},
                    **_refusals(400, 401, 404),
                },
                parameters=[
                    _parameter("after", "query", "The last sequence number up to which you miss nothing."),
                    _parameter(
                        "limit", "query", "About this many, 100 unless given; up to 1,000, with data 100."
                    ),
                    _parameter("endpoint", "query", "Only those of this endpoint: the numbers are its own."),
                    _parameter(
                        "include", "query", "data: with what each push says, unless it is void by now."
                    ),
                    _parameter("If-None-Match", "header", "The ETag of the last answer."),
                ],
            )
        },
        **_public_paths(),
        "/status.json": {
            "get": _operation(
                "The status page's facts", operator, {"200": _content("The facts."), **_refusals(401)}
            )
        },
        "/healthz": {"get": _operation("The process lives", [], {"200": _content("It does.")})},
        "/readyz": {
            "get": _operation(
                "All parts answer and nothing is stalled",
                [],
                {"200": _content("They do."), "503": _content("What does not, in words.")},
            )
        },
        "/metrics": {
            "get": _operation(
                "Prometheus metrics", [], {"200": _content("Metrics.", {"type": "string"}, "text/plain")}
            )
        },
        "/openapi.json": {"get": _operation("This description", [], {"200": _content("OpenAPI 3.1.")})},
    }


_PUBLIC = {  # for everybody: in words, and which refusals there are
    "/feeds": ("All feeds, as a page to read", ()),
    "/feeds.opml": ("All feeds, as OPML 2.0", ()),
    "/feeds/{feed}.{format}": ("A feed, or a page of its archive", (404, 405, 406, 410, 416, 503)),
    "/feeds/{feed}": ("A feed, as a page to read and to subscribe from", (404, 410, 503)),
    "/partner/feeds/{token}.{format}": (
        "A partner's own feed, for whoever has its address; each fetch is written down",
        (404, 406, 410, 503),
    ),
    "/sitemaps/news.xml": ("The stories of the last two days for Google News, or an index of files", ()),
    "/sitemaps/news-{number}.xml": ("A thousand of them, where there are more", (404,)),
}
_IN_PATHS = {
    "feed": "A section's slug, all, package/…, language/… or source/…; with /1, /2… a page of its archive.",
    "format": "rss, atom or json; an archive has rss and atom.",
    "number": "From 1.",
    "token": "feed_…, from the address that the desk gave.",
}


def _public_paths() -> dict[str, Any]:
    given = {
        "200": _content("The document.", {"type": "string"}, "*/*"),
        "304": {"description": "You have it: If-None-Match, or If-Modified-Since, is the document's."},
    }
    parts = {  # docs/serving.md has the whole of it
        "206": {"description": "The range asked for, of the uncompressed feed."},
        "226": {"description": "The stories new since the ETag given, if A-IM: feed is asked."},
    }
    moved = {
        "301": {"description": "The feed was renamed: its new address, for ever."},
        "307": {"description": "This page is not complete: what will be on it is in the feed."},
    }
    paths = {
        path: {
            "get": _operation(
                words,
                [],
                {
                    **given,
                    **(moved if "{feed}" in path else {}),
                    **(parts if 416 in refused else {}),
                    **_refusals(*refused),
                },
                parameters=[_path(name, told) for name, told in _IN_PATHS.items() if f"{{{name}}}" in path],
            )
        }
        for path, (words, refused) in _PUBLIC.items()
    }
    gone = paths["/feeds/{feed}.{format}"]["get"]["responses"]["410"]["content"]
    gone["application/feed+json"] = {"schema": {"type": "object"}}  # of a closed .json: JSON Feed, `expired`
    return paths


def _operation(
    summary: str,
    security: list[dict[str, Any]],
    responses: dict[str, Any],
    *,
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "security": security, "responses": responses}
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = body
    return operation


def _refusals(*statuses: int) -> dict[str, Any]:
    return {
        str(status): _content(
            " ".join(words for code, _, words in PROBLEMS if code == status),
            _ref("Problem"),
            "application/problem+json",
        )
        for status in statuses
    }


def _content(words: str, schema: dict[str, Any] | None = None, media_type: str = _JSON) -> dict[str, Any]:
    return {"description": words, "content": {media_type: {"schema": schema or {"type": "object"}}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(name: str, where: str, words: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": required,
        "description": words,
        "schema": {"type": "string"},
    }


def _path(name: str, words: str) -> dict[str, Any]:
    return _parameter(name, "path", words, required=True)
