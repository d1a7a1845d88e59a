"""The parts of the OpenAPI document: parameters, headers, answers and the refusals that every operation shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openapi_pydantic import (
    Header,
    Link,
    MediaType,
    Operation,
    Parameter,
    PathItem,
    Reference,
    Response,
    Schema,
    SecurityScheme,
)
from openapi_pydantic.util import PydanticSchema
from pydantic import BaseModel

from service.http.problems import CONTENT_TYPE as PROBLEM
from service.http.problems import PROBLEMS, ProblemDetails
from service.intake.article_schema import IDENTIFIER
from service.intake.routes import NDJSON

Responses = dict[str, Response | Reference]
Content = Mapping[str, type[BaseModel] | Schema]
Security = list[dict[str, list[str]]]

ANYBODY: Security = []
# An operation may answer these whatever it does: docs/api.md.
_EVERYWHERE = (400, 408, 413, 431, 500, 503)
_WITH_KEYS = (401, 429)


def schema(**facts: Any) -> Schema:
    return Schema.model_validate(facts)


TEXT = schema(type="string")
IDEMPOTENCY_KEY = schema(type="string", minLength=1, maxLength=200, pattern="^[!-~]([ -~]*[!-~])?$")
SOURCE_SLUG = schema(type="string", minLength=1, maxLength=64, pattern="^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
EXTERNAL_ID = schema(type="string", minLength=1, maxLength=200, pattern=IDENTIFIER)
ARTICLE_ID = schema(
    type="string", minLength=1, maxLength=500, pattern="^(tag:.+/)?[0-7][0-9A-HJKMNP-TV-Z]{25}$"
)
EVENT_ID = schema(type="string", pattern="^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$")


def get(
    name: str, summary: str, responses: Responses, *parameters: Parameter, security: Security = ANYBODY
) -> PathItem:
    return PathItem(get=operation(name, summary, responses, *parameters, security=security))


def operation(
    name: str, summary: str, responses: Responses, *parameters: Parameter, security: Security = ANYBODY
) -> Operation:
    shared = refusals(*_EVERYWHERE, *(_WITH_KEYS if security else ()))
    whole = Operation(operationId=name, summary=summary, security=security, responses={**shared, **responses})
    if parameters:
        whole.parameters = list(parameters)
    return whole


def refusals(*statuses: int) -> Responses:
    return {str(status): _refusal(status) for status in statuses}


def _refusal(status: int) -> Response:
    told = response(words(status), {PROBLEM: ProblemDetails})
    if status in _HEADERS:
        told.headers = dict(_HEADERS[status])
    return told


_RETRY = {"Retry-After": Header(description="In so many seconds.", schema=schema(type="integer", minimum=0))}
_HEADERS: dict[int, dict[str, Header | Reference]] = {
    401: {"WWW-Authenticate": Header(description="Bearer.", required=True, schema=TEXT)},
    429: {**_RETRY},
    503: {**_RETRY},
}


def words(status: int) -> str:
    return " ".join(words for code, _, words in PROBLEMS if code == status)


def response(description: str, content: Content) -> Response:
    return Response(description=description, content=media(content))


def links(words: str, *targets: tuple[str, dict[str, Any]]) -> dict[str, Link | Reference]:
    """Links to the operations of these names, with their parameters."""
    return {
        name: Link(operationId=name, parameters=parameters, description=words) for name, parameters in targets
    }


def media(content: Content) -> dict[str, MediaType]:
    return {
        kind: MediaType.model_validate({"schema": each if isinstance(each, Schema) else _model(each)})
        for kind, each in content.items()
    }


def _model(model: type[BaseModel]) -> PydanticSchema[BaseModel]:
    """Stands for the model until the document is constructed, and is a reference to its schema then."""
    return PydanticSchema[BaseModel].model_validate({"schema_class": model})


def lines(words: str, model: type[BaseModel]) -> dict[str, Schema]:
    """A body of one JSON object a line; the model is the list of them."""
    each = {
        "type": "string",
        "contentMediaType": NDJSON,
        "contentSchema": _model(model),
        "description": words,
    }
    return {NDJSON: schema(**each)}


def query(name: str, words: str, schema: Schema = TEXT, *, required: bool = False) -> Parameter:
    return _parameter(name, "query", words, schema, required=required)


def header(name: str, words: str, schema: Schema = TEXT) -> Parameter:
    return _parameter(name, "header", words, schema, required=False)


def path(name: str, words: str, schema: Schema = TEXT) -> Parameter:
    return _parameter(name, "path", words, schema, required=True)


def _parameter(name: str, where: str, words: str, schema: Schema, *, required: bool) -> Parameter:
    facts = {"name": name, "in": where, "description": words, "schema": schema, "required": required}
    return Parameter.model_validate(facts)


def one_of(*values: str) -> Schema:
    return schema(type="string", enum=list(values))


def served(content: Content) -> Responses:
    """A document, or that the client has it."""
    return {
        "200": response("The document.", content),
        "304": Response(
            description="You have it: If-None-Match, or If-Modified-Since, is that of the document."
        ),
    }


def security_schemes() -> dict[str, SecurityScheme | Reference]:
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
