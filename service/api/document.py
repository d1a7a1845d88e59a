"""The OpenAPI 3.1 document: its operations are written here, its schemas come from the models of the answers.

Only the first request for it imports this module: openapi-pydantic takes half a second to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from openapi_pydantic import (
    Components,
    Info,
    License,
    MediaType,
    OpenAPI,
    Operation,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Response,
    Schema,
    SecurityScheme,
    Server,
)
from openapi_pydantic.util import PydanticSchema, construct_open_api_with_schema_class
from pydantic import BaseModel

from feeds import CONTENT_TYPES
from service.api.models import JSON, ArticleHistory, EventHistory, IntakeAnswer, PartnerEvents
from service.api.status_models import DeskStatus, Readiness
from service.http.problems import CONTENT_TYPE as PROBLEM
from service.http.problems import PROBLEMS, ProblemDetails
from service.intake.article import Article

Responses = dict[str, Response | Reference]
Content = Mapping[str, type[BaseModel] | Schema]
Security = list[dict[str, list[str]]]

_ANYBODY: Security = []
_OPERATOR: Security = [{"operator": []}]
_SOURCE: Security = [{"apiKey": []}, {"signature": []}]
_OPERATOR_OR_SOURCE: Security = [*_OPERATOR, {"apiKey": []}]
_PARTNER: Security = [{"apiKey": []}]


def _schema(**facts: Any) -> Schema:
    return Schema.model_validate(facts)


_TEXT = _schema(type="string")
_FEED_TYPES = {kind.partition(";")[0]: _TEXT for fmt, kind in CONTENT_TYPES.items() if fmt != "html"}


def describe(public_url: str) -> dict[str, Any]:
    """The document. Its paths are those of interface.md."""
    document = OpenAPI(
        openapi="3.1.1",
        info=Info(
            title="Dateline",
            version=metadata.version("dateline"),
            description="Articles in; feeds and signed pushes out; with proof of who holds what.",
            license=License(name="Apache-2.0", identifier="Apache-2.0"),
        ),
        servers=[Server(url=public_url)],
        paths={**_intake(), **_histories(), **_feeds(), **_monitoring()},
        components=Components(securitySchemes=_security_schemes()),
    )
    whole = construct_open_api_with_schema_class(document)
    return whole.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _security_schemes() -> dict[str, SecurityScheme | Reference]:
    signed = "Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature over the raw body."
    return {
        "apiKey": SecurityScheme(
            type="http", scheme="bearer", description="A source's or a partner's API key."
        ),
        "signature": SecurityScheme.model_validate(
            {"type": "apiKey", "in": "header", "name": "webhook-signature", "description": signed}
        ),
        "operator": SecurityScheme(type="http", scheme="bearer", description="The operator's token."),
    }


def _intake() -> dict[str, PathItem]:
    accepted: Responses = {"202": _response("Committed, or known already.", {JSON: IntakeAnswer})}
    responses = {**accepted, **_refusals(400, 401, 403, 409, 413, 415, 422, 503)}
    body = RequestBody(required=True, content=_content({JSON: Article}))
    key = _header("Idempotency-Key", "A repeat of the key gets the first answer again.")
    articles = Operation(
        summary="Post an article's current state",
        security=_SOURCE,
        parameters=[key, _query("source", "The source that signs the body.")],
        requestBody=body,
        responses=responses,
    )
    hooks = Operation(
        summary="A content system's own webhook",
        security=_SOURCE,
        parameters=[_path("source", "The source's slug."), key],
        requestBody=body,
        responses=responses,
    )
    found: Responses = {
        "200": _response("The article.", {JSON: ArticleHistory}),
        **_refusals(400, 401, 403, 404),
    }
    find = Operation(
        summary="Find an article by its source's own id",
        security=_OPERATOR_OR_SOURCE,
        parameters=[
            _query("source", "The source's slug.", required=True),
            _query("external_id", "The source's own id.", required=True),
        ],
        responses=found,
    )
    return {
        "/v1/articles": PathItem(post=articles, get=find),
        "/v1/hooks/{source}": PathItem(post=hooks),
    }


def _histories() -> dict[str, PathItem]:
    events = "Its events, in order; superseded ones are marked. With more to come, Link has rel=next."
    count, page = _schema(type="integer", minimum=0), _schema(type="integer", minimum=0, maximum=1000)
    return {
        "/v1/articles/{id}": _get(
            "An article, its revisions and events, and the partners that hold it",
            {"200": _response("The article.", {JSON: ArticleHistory}), **_refusals(400, 401, 403, 404)},
            _path("id", "The public id, or the last part of it."),
            _query(
                "revisions_before",
                "Only older revisions: as `next` has it.",
                _schema(type="integer", minimum=1),
            ),
            _query("partners_after", "Only the partners after these: as `next` has it."),
            security=_OPERATOR_OR_SOURCE,
        ),
        "/v1/events/{id}": _get(
            "An event, its deliveries and their attempts",
            {"200": _response("The event.", {JSON: EventHistory}), **_refusals(400, 401, 404)},
            _path("id", "evt_…"),
            _query("after", "Only the deliveries after this one, dlv_…: as `next` has it."),
            security=_OPERATOR,
        ),
        "/v1/partner/events": _get(
            "A partner's events after a sequence number",
            {
                "200": _response(events, {JSON: PartnerEvents}),
                "304": Response(description="Unchanged: If-None-Match had its ETag."),
                **_refusals(400, 401, 404),
            },
            _query("after", "The last sequence number up to which you miss nothing.", count),
            _query("limit", "About this many, 100 unless given; up to 1,000, with data 100.", page),
            _query("endpoint", "Only those of this endpoint: the numbers are its own.", count),
            _query("include", "data: with the body of each push, unless it is void by now.", _one_of("data")),
            _header("If-None-Match", "The ETag of the last answer."),
            security=_PARTNER,
        ),
    }


def _feeds() -> dict[str, PathItem]:
    feed = _path(
        "feed",
        "A section's slug, all, package/…, language/… or source/…; with /1, /2… a page of its archive.",
    )
    fmt = _path("format", "An archive has rss and atom.", _one_of("rss", "atom", "json"))
    documents = _document(_FEED_TYPES)
    moved: Responses = {
        "301": Response(description="The feed was renamed: its new address, for ever."),
        "307": Response(description="This page is not complete: its stories are in the feed."),
    }
    logo: Responses = {"302": Response(description="The desk's logo, which is elsewhere.")}
    parts: Responses = {  # docs/serving.md
        "206": Response(description="The range asked for, of the uncompressed feed."),
        "226": Response(description="The stories new since the ETag given, if A-IM: feed is asked."),
    }
    closed = _schema(type="object", description="Of a closed .json: a JSON Feed that says `expired`.")
    gone: Responses = {
        "410": _response(_words(410), {PROBLEM: ProblemDetails, "application/feed+json": closed})
    }
    feed_refusals = _refusals(404, 405, 406, 416, 503)
    token = _path("token", "feed_…, from the address that the desk gave.")
    return {
        "/feeds": _get("All feeds, as a page to read", _document({"text/html": _TEXT})),
        "/favicon.ico": _get("An icon", {**_document({"image/svg+xml": _TEXT}), **logo}),
        "/feeds.opml": _get("All feeds, as OPML 2.0", _document({"text/x-opml": _TEXT})),
        "/feeds/{feed}.{format}": _get(
            "A feed, or a page of its archive",
            {**documents, **moved, **parts, **gone, **feed_refusals},
            feed,
            fmt,
        ),
        "/feeds/{feed}": _get(
            "A feed, as a page to read and to subscribe from",
            {**_document({"text/html": _TEXT}), **moved, **_refusals(404, 410, 503)},
            feed,
        ),
        "/partner/feeds/{token}.{format}": _get(
            "A partner's own feed, for every client that has its address; each fetch is recorded",
            {**documents, **_refusals(404, 406, 410, 503)},
            token,
            fmt,
        ),
        "/sitemaps/news.xml": _get(
            "The stories of the last two days for Google News, or an index of files",
            _document({"application/xml": _TEXT}),
        ),
        "/sitemaps/news-{number}.xml": _get(
            "A thousand of them, if there are more",
            {**_document({"application/xml": _TEXT}), **_refusals(404)},
            _path("number", "From 1.", _schema(type="integer", minimum=1)),
        ),
    }


def _monitoring() -> dict[str, PathItem]:
    text, whole = {"text/plain": _TEXT}, _schema(type="object", description="OpenAPI 3.1.")
    status: Responses = {"200": _response("The facts.", {JSON: DeskStatus}), **_refusals(401, 404)}
    readiness: Responses = {
        "200": _response("All parts answer.", {JSON: Readiness}),
        "503": _response("Some part does not: see `because`.", {JSON: Readiness}),
    }
    return {
        "/status.json": _get(
            "The status page's facts",
            status,
            _query("after", "Only the partners after this one: as `next` has it."),
            _query("partner", "Only this partner: as its own `next` has it."),
            _query("endpoints_after", "Of a partner, only the endpoints after this one."),
            _query("feeds_after", "Of a partner, only the feeds after this one."),
            security=_OPERATOR,
        ),
        "/healthz": _get("The process is alive", {"200": _response("It is.", text)}),
        "/readyz": _get("All parts answer and nothing is stalled", readiness),
        "/metrics": _get("Prometheus metrics", {"200": _response("Metrics.", text)}),
        "/openapi.json": _get("This description", {"200": _response("The description.", {JSON: whole})}),
    }


def _get(
    summary: str, responses: Responses, *parameters: Parameter, security: Security = _ANYBODY
) -> PathItem:
    operation = Operation(summary=summary, security=security, responses=responses)
    if parameters:
        operation.parameters = list(parameters)
    return PathItem(get=operation)


def _document(content: Content) -> Responses:
    return {
        "200": _response("The document.", content),
        "304": Response(
            description="You have it: If-None-Match, or If-Modified-Since, is that of the document."
        ),
    }


def _refusals(*statuses: int) -> Responses:
    return {str(status): _response(_words(status), {PROBLEM: ProblemDetails}) for status in statuses}


def _words(status: int) -> str:
    return " ".join(words for code, _, words in PROBLEMS if code == status)


def _response(description: str, content: Content) -> Response:
    return Response(description=description, content=_content(content))


def _content(content: Content) -> dict[str, MediaType]:
    return {
        kind: MediaType.model_validate({"schema": schema if isinstance(schema, Schema) else _model(schema)})
        for kind, schema in content.items()
    }


def _model(model: type[BaseModel]) -> PydanticSchema[BaseModel]:
    """Stands for the model until the document is constructed, and is a reference to its schema then."""
    return PydanticSchema[BaseModel].model_validate({"schema_class": model})


def _query(name: str, words: str, schema: Schema = _TEXT, *, required: bool = False) -> Parameter:
    return _parameter(name, "query", words, schema, required=required)


def _header(name: str, words: str) -> Parameter:
    return _parameter(name, "header", words, _TEXT, required=False)


def _path(name: str, words: str, schema: Schema = _TEXT) -> Parameter:
    return _parameter(name, "path", words, schema, required=True)


def _parameter(name: str, where: str, words: str, schema: Schema, *, required: bool) -> Parameter:
    facts = {"name": name, "in": where, "description": words, "schema": schema, "required": required}
    return Parameter.model_validate(facts)


def _one_of(*values: str) -> Schema:
    return _schema(type="string", enum=list(values))
