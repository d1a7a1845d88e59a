"""The OpenAPI 3.1 document: its operations are written here, its schemas come from the models of the answers.

Only the first request for it imports this module: openapi-pydantic takes half a second to import.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

from openapi_pydantic import (
    Components,
    Header,
    Info,
    License,
    OpenAPI,
    PathItem,
    RequestBody,
    Response,
    Server,
)
from openapi_pydantic.util import construct_open_api_with_schema_class

from service.api.document_feeds import feed_paths
from service.api.document_parts import (
    ARTICLE_ID,
    EVENT_ID,
    EXTERNAL_ID,
    IDEMPOTENCY_KEY,
    SOURCE_SLUG,
    TEXT,
    Responses,
    Security,
    get,
    header,
    lines,
    links,
    media,
    one_of,
    operation,
    path,
    query,
    refusals,
    response,
    schema,
    security_schemes,
)
from service.api.models import (
    JSON,
    ArticleBatch,
    ArticleHistory,
    BatchAnswer,
    EventHistory,
    IntakeAnswer,
    PartnerEvents,
    PostedArticleBody,
    SourceAnswer,
)
from service.api.partner_events import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    MAX_LIMIT_WITH_DATA,
    PARTNER_EVENTS_PATH,
)
from service.api.sections import SECTIONS_PATH, DeskSections
from service.api.status_models import DeskStatus, Readiness
from service.http.parameters import NUMBER_MAX
from service.http.problems import CONTENT_TYPE as PROBLEM
from service.http.problems import ProblemDetails
from service.intake.article_batch import LINES_MOST

_OPERATOR: Security = [{"operator": []}]
_SOURCE: Security = [{"apiKey": []}, {"signature": []}]
_OPERATOR_OR_SOURCE: Security = [*_OPERATOR, {"apiKey": []}]
_PARTNER: Security = [{"apiKey": []}]


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
        paths={**_intake(), **_histories(), **feed_paths(), **_monitoring()},
        components=Components(securitySchemes=security_schemes()),
    )
    whole = construct_open_api_with_schema_class(document)
    return whole.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _intake() -> dict[str, PathItem]:
    accepted = response("Committed, or known already.", {JSON: IntakeAnswer})
    accepted.links = links(
        "The article as it is then, for its source and the operator.",
        ("readArticle", {"id": "$response.body#/article"}),
        ("readEvent", {"id": "$response.body#/event"}),
    )
    accepted.headers = {"Location": Header(description="The article, if there is one.", schema=TEXT)}
    each_line = lines(
        "For each line of a batch, in their order, an answer with its number and its status.", BatchAnswer
    )
    tried = response(
        "With `validate=1`: nothing was kept; or the answers to a batch.", {JSON: IntakeAnswer, **each_line}
    )
    answers: Responses = {"200": tried, "202": accepted, **refusals(403, 409, 413, 415, 422)}
    body = RequestBody(required=True, content=media({JSON: PostedArticleBody}))
    batch = lines(f"Up to {LINES_MOST:,} articles, one a line.", ArticleBatch)
    body_or_batch = RequestBody(required=True, content=media({JSON: PostedArticleBody, **batch}))
    key = header("Idempotency-Key", "A repeat of the key gets the first answer again.", IDEMPOTENCY_KEY)
    signer = query("source", "The source that signs the body.", SOURCE_SLUG)
    validate = query("validate", "1: only try it, and keep nothing.", one_of("0", "1"))
    summary = "Post an article's current state, or those of many, one a line"
    post = operation("postArticle", summary, answers, key, signer, validate, security=_SOURCE)
    taken = response("Committed, or known already; by a source's adapter: kept.", {JSON: SourceAnswer})
    source = path("source", "The source's slug.", SOURCE_SLUG)
    answers = {**answers, "200": taken, "202": taken, **refusals(404)}
    hook = operation("postHook", "A content system's own webhook", answers, source, key, security=_SOURCE)
    post.requestBody, hook.requestBody = body_or_batch, body
    file = path("file", "The system's own name of it.")
    file_answers: Responses = {"200": response("It is.", {"text/plain": TEXT}), **refusals(404)}
    find = operation(
        "findArticle",
        "Find an article by its source's own id",
        {"200": _article(), **refusals(403, 404)},
        query("source", "The source's slug.", SOURCE_SLUG, required=True),
        query("external_id", "The source's own id.", EXTERNAL_ID, required=True),
        security=_OPERATOR_OR_SOURCE,
    )
    return {
        "/v1/articles": PathItem(post=post, get=find),
        "/v1/hooks/{source}": PathItem(post=hook),
        "/v1/hooks/{source}/{file}": get(
            "hasFile", "The file is here: a system that asks sends none", file_answers, source, file
        ),
        SECTIONS_PATH: get(
            "readSections",
            "The sections of the desk",
            {"200": response("The open sections.", {JSON: DeskSections})},
            security=_OPERATOR_OR_SOURCE,
        ),
    }


def _article() -> Response:
    found = response("The article.", {JSON: ArticleHistory})
    found.links = links(
        "The article itself, and its newest event.",
        ("readArticle", {"id": "$response.body#/article"}),
        ("readEvent", {"id": "$response.body#/events/0/event"}),
    )
    return found


def _histories() -> dict[str, PathItem]:
    older = schema(type="integer", minimum=1, maximum=2**31 - 1)
    place = schema(type="string", pattern=r"^[01](\.[0-9]{1,18}){2}$")
    delivery = schema(type="string", pattern="^dlv_[0-7][0-9A-HJKMNP-TV-Z]{25}(_[1-9][0-9]{0,17}){1,2}$")
    found = response("The event.", {JSON: EventHistory})
    found.links = links("Its article.", ("readArticle", {"id": "$response.body#/article"}))
    return {
        "/v1/articles/{id}": get(
            "readArticle",
            "An article, its revisions and events, and the partners that hold it",
            {"200": _article(), **refusals(403, 404)},
            path("id", "The public id, or the last part of it.", ARTICLE_ID),
            query("revisions_before", "Only older revisions: as `next` has it.", older),
            query("partners_after", "Only the partners after these: as `next` has it.", place),
            security=_OPERATOR_OR_SOURCE,
        ),
        "/v1/events/{id}": get(
            "readEvent",
            "An event, its deliveries and their attempts",
            {"200": found, **refusals(404)},
            path("id", "evt_…", EVENT_ID),
            query("after", "Only the deliveries after this one, dlv_…: as `next` has it.", delivery),
            security=_OPERATOR,
        ),
        PARTNER_EVENTS_PATH: _partner_events(),
    }


def _partner_events() -> PathItem:
    words = "Its events, in order; superseded ones are marked. With more to come, Link has rel=next."
    found = response(words, {JSON: PartnerEvents})
    found.headers = {"ETag": Header(description="For If-None-Match.", required=True, schema=TEXT)}
    found.links = links("The events after these.", ("readPartnerEvents", {"after": "$response.body#/next"}))
    count = schema(type="integer", minimum=0, maximum=NUMBER_MAX)
    most = f"About this many, {DEFAULT_LIMIT} unless given; with data {MAX_LIMIT_WITH_DATA} at the most."
    page = schema(type="integer", minimum=0, maximum=MAX_LIMIT, default=DEFAULT_LIMIT)
    return get(
        "readPartnerEvents",
        "A partner's events after a sequence number",
        {
            "200": found,
            "304": Response(description="Unchanged: If-None-Match had its ETag."),
            **refusals(404),
        },
        query("after", "The last sequence number up to which you miss nothing.", count),
        query("limit", most, page),
        query("endpoint", "Only those of this endpoint: the numbers are its own.", count),
        query("include", "data: with the body of each push, unless it is void by now.", one_of("data")),
        header("If-None-Match", "The ETag of the last answer."),
        security=_PARTNER,
    )


def _monitoring() -> dict[str, PathItem]:
    text, row = {"text/plain": TEXT}, schema(type="integer", minimum=0, maximum=NUMBER_MAX)
    status: Responses = {"200": response("The facts.", {JSON: DeskStatus}), **refusals(404)}
    readiness: Responses = {
        "200": response("All parts answer.", {JSON: Readiness}),
        "503": response("Some part does not: see `because`.", {JSON: Readiness, PROBLEM: ProblemDetails}),
    }
    return {
        "/status.json": get(
            "readStatus",
            "The status page's facts",
            status,
            query("after", "Only the partners after this one: as `next` has it."),
            query("partner", "Only this partner: as its own `next` has it."),
            query("endpoints_after", "Of a partner, only the endpoints after this one.", row),
            query("feeds_after", "Of a partner, only the feeds after this one.", row),
            security=_OPERATOR,
        ),
        "/healthz": get("isAlive", "The process is alive", {"200": response("It is.", text)}),
        "/readyz": get("isReady", "All parts answer and nothing is stalled", readiness),
        "/metrics": get(
            "readMetrics", "Prometheus metrics", {"200": response("All.", text), **refusals(401, 429)}
        ),
        "/openapi.json": get(
            "describe",
            "This description",
            {
                "200": response("OpenAPI 3.1.", {JSON: schema(type="object")}),
                "304": Response(description="You have it: If-None-Match is that of the description."),
            },
        ),
    }
