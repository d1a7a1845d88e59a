"""The answers of `/status.json` and `/readyz` as models, for /openapi.json. docs/operations.md has the keys.

`tests/contract/test_openapi_answers.py` compares them with the answers.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from service.api.models import Body, EventType, Moment, Revision

Level = Literal["good", "quiet", "busy", "warn", "bad"]
Seconds = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class StatusSummary(Body):
    sentence: str
    level: Level


class StatusPart(Body):
    state: str
    level: Level


class DetailedPart(StatusPart):
    detail: str | None


class ExplainedState(StatusPart):
    state_detail: str | None


class EndpointStatus(ExplainedState):
    id: int
    url: str
    sections: list[str] | None
    """Null: all."""
    backlog: Count
    oldest_undelivered_seconds: Seconds | None
    retrying: Count
    scheduled: Count
    in_flight: Count
    max_in_flight: Count
    given_up: Count
    missing: Count
    breaker: str
    breaker_until: Moment | None
    not_before: Moment | None
    last_success_at: Moment | None
    last_failure_at: Moment | None
    last_failure: str | None


class FeedTokenStatus(Body):
    number: int
    created_at: Moment
    works_until: Moment | None
    last_fetched_at: Moment | None
    fetches: Count
    last_refused_at: Moment | None
    """The last try after its end."""


class PartnerFeedStatus(ExplainedState):
    id: int
    title: str
    sections: list[str] | None
    """Null: all."""
    created_at: Moment
    revoked_at: Moment | None
    last_fetched_at: Moment | None
    unfetched_seconds: Seconds | None
    """Since the last fetch, or since it was created; null if it is revoked."""
    fetches: Count
    tokens: list[FeedTokenStatus]
    """The newest three."""


class PartnerStatus(ExplainedState):
    slug: str
    name: str
    current: bool
    backlog: Count
    oldest_undelivered_seconds: Seconds | None
    in_flight: Count
    scheduled: Count
    given_up: Count
    missing: Count
    last_success_at: Moment | None
    last_failure_at: Moment | None
    last_failure: str | None
    endpoints: list[EndpointStatus]
    """25 at the most, in the order of their numbers."""
    endpoint_count: Count
    feeds: list[PartnerFeedStatus]
    """The same."""
    feed_count: Count
    next: str | None
    """The address of the rest of them; null if there are no more."""


class SourceStatus(ExplainedState):
    slug: str
    name: str
    adapter: str
    last_post_at: Moment | None
    silent: bool
    """Nothing has come from it for longer than it uses to be silent."""
    held: Count
    """Hooks that cannot be mapped."""
    held_takedowns: Count
    queued: Count
    """Hooks whose stories are still to be fetched."""
    takedowns_wait: bool
    """More stories are gone from its system than one sweep may take down."""
    compared_at: Moment | None
    swept_at: Moment | None
    api_failure: str | None


class WorkerStatus(Body):
    name: str
    running: bool
    started_at: Moment
    seen_at: Moment
    broker: str | None


class RefusedSourceStatus(Body):
    source: str | None
    in_a_row: Count
    last_at: Moment
    reason: str


class PipelineStatus(Body):
    record: StatusPart
    redis: DetailedPart
    workers: list[WorkerStatus]
    """The hundred seen last."""
    worker_count: Count
    unrouted: Count
    oldest_unrouted_seconds: Seconds | None
    feeds: Count
    feeds_behind: list[str]
    """A hundred at the most."""
    feeds_behind_count: Count
    feeds_lag_seconds: Seconds
    swept_at: Moment | None
    refused: list[RefusedSourceStatus]


class LatestEvent(Body):
    id: str
    type: EventType
    article: str
    revision: Revision
    source: str
    headline: str | None
    """Null under embargo."""
    embargo_until: Moment | None
    occurred_at: Moment
    routed_at: Moment | None
    deliveries: dict[str, int]
    """The number of its deliveries in each state."""


class LatestNotice(Body):
    id: str
    type: str
    words: str
    count: int
    about: str
    partner: str | None
    endpoint: int | None
    created_at: Moment


class DeskStatus(Body):
    as_of: Moment
    summary: StatusSummary
    partners: list[PartnerStatus]
    """The worst first; a hundred at the most."""
    partner_count: Count
    next: str | None
    """The address of the next partners; null on the last part."""
    sources: list[SourceStatus]
    pipeline: PipelineStatus
    events: list[LatestEvent]
    notices: list[LatestNotice]


class ReadinessCheck(Body):
    check: str
    ok: bool
    words: str


class Readiness(Body):
    ready: bool
    because: str
    """The words of the failed checks."""
    checks: list[ReadinessCheck]
