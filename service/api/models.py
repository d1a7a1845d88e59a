"""The answers of the API as models: routes build their bodies from them, and /openapi.json describes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel

from service.http.problems import FieldError, ProblemDetails
from service.intake.article import Article, Takedown
from service.intake.article_batch import LINES_MOST
from service.store.schema.deliveries import DELIVERY_STATES

JSON = "application/json"

Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
ArticleId = Annotated[str, Field(description="The article's public id, a tag: URI that never changes.")]
EventId = Annotated[str, Field(description="evt_…", examples=["evt_01KC3V6W7Y8Z9A0B1C2D3E4F5G"])]
EventType = Annotated[str, Field(examples=["article.published"])]
Revision = Annotated[int, Field(ge=1)]
State = Annotated[str, Field(json_schema_extra={"enum": list(DELIVERY_STATES)})]


class Body(BaseModel):
    """A part of an answer. As sent, every field is there, unless it has a default."""

    model_config = ConfigDict(
        frozen=True, use_attribute_docstrings=True, json_schema_mode_override="serialization"
    )


def json_response(body: Body) -> Response:
    """Of this moment: no cache stores it."""
    return Response(body.model_dump_json(), content_type=JSON, headers={"Cache-Control": "no-store"})


class PostedArticleBody(RootModel[Article | Takedown]):
    """An article, or its end, which needs no more than id and status."""


class IntakeAnswer(Body):
    """The answer to a posted article."""

    model_config = ConfigDict(json_schema_mode_override="validation")

    article: ArticleId | None
    revision: Revision | None
    event: EventId | None
    """The event of this revision."""
    type: EventType | None
    outcome: Literal["accepted", "repeat", "stale", "ignored", "valid"]
    """`ignored`: the takedown of what was never here. `valid`: it was only tried. What is not there is null."""
    would_be: Literal["accepted", "repeat", "stale", "ignored"] = "accepted"
    """The outcome if it were posted; only of what was tried."""
    warnings: list[FieldError] = []
    """What was changed or ignored, each with a JSON pointer; absent if there is nothing."""


class BatchLine(IntakeAnswer):
    """The answer to a line of a batch that was taken."""

    line: Annotated[int, Field(ge=1)]
    """The number of the line, from 1."""
    status: Literal[202]


class RefusedBatchLine(ProblemDetails):
    """The answer to a line of a batch that was refused: nothing of it was kept."""

    line: Annotated[int, Field(ge=1)]


class BatchAnswer(RootModel[list[BatchLine | RefusedBatchLine]]):
    """The lines of the answer to a batch, one for each article, in their order."""


class ArticleBatch(RootModel[Annotated[list[PostedArticleBody], Field(max_length=LINES_MOST)]]):
    """The lines of a batch: an article each."""


class HookStory(Body):
    """The result of one story of a hook; the fields of an article's answer are there if it is here."""

    model_config = ConfigDict(json_schema_mode_override="validation")

    id: str
    """The system's own id."""
    outcome: Literal["accepted", "repeat", "stale", "ignored", "held"]
    why: str = ""
    article: ArticleId | None = None
    revision: Revision | None = None
    event: EventId | None = None
    type: EventType | None = None
    warnings: list[FieldError] = []


class HookAnswer(Body):
    """The answer to a content system's own webhook."""

    outcome: Literal["accepted", "repeat", "stale", "queued", "ignored", "held"]
    why: str | None
    articles: list[HookStory]
    hook: int
    """Its number, for `dateline source held`."""


class SourceAnswer(RootModel[IntakeAnswer | HookAnswer]):
    """The answer at a source's own address: to Dateline's own JSON, or to the webhook of its content system."""


class ArticleRevision(Body):
    revision: Revision
    status: str
    headline: str | None
    version: int | None
    """The newsroom's own number."""
    accepted_at: Moment


class ArticleEvent(Body):
    event: EventId
    type: EventType
    revision: Revision
    occurred_at: Moment
    actor: str
    """The source, or the operator, that caused it."""
    reason: str | None
    routed_at: Moment | None
    """When its deliveries were made; null before that."""


class PartnerHolding(Body):
    partner: str
    revision: Revision
    """The revision that the partner is known to hold."""
    state: Literal["held", "removed"]
    """held: it has the text; removed: this revision told it to remove the article."""
    since: Moment
    channel: str
    """push: sent to the endpoint; pull: fetched with its key; feed: fetched in its own feed."""
    endpoint: int | None


class ArticleHistory(Body):
    article: ArticleId
    source: str
    external_id: str
    """The source's own id."""
    revision: Revision
    status: str
    embargo_until: Moment | None
    expires_at: Moment | None
    first_published_at: Moment
    changed_at: Moment
    content: dict[str, Any]
    """The newest revision's fields, as in a push."""
    revisions: list[ArticleRevision]
    """A hundred at the most, the newest ones first of all; in order. There are `revision` of them."""
    events: list[ArticleEvent]
    """Those of these revisions."""
    partners: list[PartnerHolding]
    """The partners that are known to hold the article, once for each channel: a hundred at the most, those first that
    are not known to hold the newest revision."""
    partner_count: int
    next: str | None
    """The address of the next part of these lists; null on the last."""


class DeliveryAttempt(Body):
    number: int
    started_at: Moment
    outcome: str
    status: int | None
    """The HTTP status of the answer; null without an answer."""
    words: str
    total_ms: float | None
    address: str | None
    """The network address that was connected to."""


class EventDelivery(Body):
    id: str
    """The push's webhook-id."""
    partner: str
    endpoint_id: int
    sequence: int
    """dateline-sequence: the endpoint's own numbering."""
    revision: Revision
    state: State
    due_at: Moment
    attempts: list[DeliveryAttempt]
    """The latest twenty."""
    attempt_count: int
    superseded_by: int | None
    """The revision that goes instead."""
    last_words: str | None
    settled_at: Moment | None


class EventHistory(ArticleEvent):
    article: ArticleId
    deliveries: list[EventDelivery]
    """A hundred at the most, by endpoint."""
    delivery_count: int
    next: str | None
    """The address of the next of them; null on the last part."""


class PartnerEventFacts(Body):
    sequence: int
    """dateline-sequence: the endpoint's own numbering."""
    endpoint: int
    id: str
    """The push's webhook-id."""
    type: EventType
    article: ArticleId
    revision: Revision
    state: State
    superseded_by: int | None
    """The revision that goes instead."""
    superseded_by_sequence: int | None
    """Its number, if it goes to you."""
    occurred_at: Moment


class PartnerEventWithData(PartnerEventFacts):
    """With include=data."""

    timestamp: str | None = None
    """As in the push; absent if data is null."""
    data: dict[str, Any] | None
    """As in the push; null if something newer goes instead."""


class PartnerEvents(Body):
    events: list[PartnerEventFacts | PartnerEventWithData]
    next: int
    """The next ?after=."""
    more: bool
    """There are more events now."""
