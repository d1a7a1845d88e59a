"""Signals for machines: alive, ready, metrics, and the status page as JSON. docs/operations.md has the keys."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from flask import Blueprint, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from service import logs, times
from service.console import status_json as facts_for_json
from service.console import words_desk
from service.console.login import OperatorSession, harden
from service.console.metrics import DeskCollector
from service.console.status_json import StatusCursor
from service.http import auth, parameters
from service.http.client_address import is_local
from service.http.problems import Problem
from service.settings import Settings
from service.store import migrations, notices
from service.store.database.record import Record
from service.store.errors import NotFound
from service.store.views import trouble
from service.store.views.events import latest_events
from service.store.views.partners import partners_now
from service.store.views.pipeline import PipelineNow, pipeline_now
from service.store.views.thresholds import BEHIND_AFTER
from service.times import span

log = logs.get("status")

COMPARED_EVERY = 30.0  # seconds


def create_blueprint(
    settings: Settings,
    record: Record,
    *,
    clock: Callable[[], datetime] = times.now,
    registry: CollectorRegistry | None = None,
    feeds: Callable[[], str] | None = None,
) -> Blueprint:
    """`/healthz`, `/readyz`, `/metrics`, `/status.json`.

    `feeds` says how old the documents are that this process serves.

    `registry` may hold the web process's own counters; the desk's gauges are added to it and read at each scrape.
    """
    signals = Blueprint("status", __name__)
    operator = OperatorSession(settings, record, clock)
    metrics = registry or CollectorRegistry(auto_describe=False)
    metrics.register(DeskCollector(record, clock))
    unnamed = CollectorRegistry(auto_describe=False)
    unnamed.register(DeskCollector(record, clock, named=False))

    def healthz() -> Response:
        return Response("alive\n", mimetype="text/plain")

    compared = SchemaComparison(record)

    def readyz() -> Response:
        checks = list(examine(record, clock(), compared.faults))
        if feeds is not None:
            checks.append(Check("feeds", True, feeds()))
        wrong = [each.words for each in checks if not each.ok]
        answer = jsonify(ready=not wrong, because="; ".join(wrong), checks=[asdict(each) for each in checks])
        answer.status_code = 503 if wrong else 200
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def metrics_text() -> Response:
        named = _may_scrape(settings, operator)
        body = generate_latest(metrics if named else unnamed)
        return Response(body, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})

    def status_json() -> Response:
        if not operator.admits(request):
            words = "log in at /status, or send the operator's token: Authorization: Bearer TOKEN"
            return harden(auth.unauthenticated(words).response())
        try:
            return harden(_facts(record, clock(), _cursor()))
        except Problem as refusal:
            return harden(refusal.response())
        except NotFound as error:
            return harden(
                Problem(404, "not-found", f"there is no {error.what} {error.name!r} here").response()
            )

    signals.add_url_rule("/healthz", "healthz", healthz)
    signals.add_url_rule("/readyz", "readyz", readyz)
    signals.add_url_rule("/metrics", "metrics", metrics_text)
    signals.add_url_rule("/status.json", "status_json", status_json)
    return signals


def _may_scrape(settings: Settings, operator: OperatorSession) -> bool:
    """True for the operator's token, that of the metrics, or a session; False for this very machine, which learns no
    names. Raises a 401 for everyone else, and for this machine too once a token or a listener is set."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    own = settings.metrics_token.encode()
    if own and kind.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), own):
        return True
    if operator.admits(request):
        return True
    local = is_local(request, settings.trusted_proxies)
    if local and not kind and not own and not settings.metrics_listen:
        return False
    raise auth.unauthenticated(
        "metrics need 'Authorization: Bearer TOKEN', that of DATELINE_METRICS_TOKEN or the operator's;"
        " or scrape the address of DATELINE_METRICS_LISTEN"
    )


def _cursor() -> StatusCursor:
    parameters.require_known("after", "partner", "endpoints_after", "feeds_after")
    asked = request.args
    numbers = {name: parameters.whole_number(name) for name in ("endpoints_after", "feeds_after")}
    return StatusCursor(asked.get("after"), asked.get("partner"), **numbers)


def _facts(record: Record, now: datetime, cursor: StatusCursor) -> Response:
    partners = partners_now(record, now)
    pipeline = pipeline_now(record)
    events = latest_events(record, now)
    return jsonify(facts_for_json.facts(partners, pipeline, events, notices.latest(record), now, cursor))


@dataclass(frozen=True)
class Check:
    """One part: whether it is well enough to serve, and in words how it is. Names no partner: anyone may ask."""

    check: str
    ok: bool
    words: str


class SchemaComparison:
    """The differences of the record's tables from its schema, looked for again after half a minute.

    To compare all tables takes sixty milliseconds of the processor, and anybody may ask for the readiness.
    """

    def __init__(self, record: Record, *, steady: Callable[[], float] = time.monotonic) -> None:
        self._record = record
        self._steady = steady
        self._found: tuple[float, list[str]] | None = None

    def faults(self) -> list[str]:
        now, found = self._steady(), self._found
        if found is None or now - found[0] > COMPARED_EVERY:
            found = self._found = now, migrations.faults(self._record)
        return found[1]


def examine(record: Record, now: datetime, schema_faults: Callable[[], list[str]]) -> Iterator[Check]:
    """Every part's check, as far as the record answers. Without Redis the desk is ready, too."""
    try:
        schema = migrations.schema_state(record)
        yield Check("record", True, "answers")
        faults = schema_faults()
        words = f"differs from {schema.current}: {'; '.join(faults[:3])}: run dateline doctor"
        yield Check("schema", schema.is_usable and not faults, words if faults else schema.words)
        if not schema.is_usable:
            return
        yield from _parts(record, now)
    except Exception as error:  # whatever is wrong with a database, the answer is the same
        log.warning("record.unreachable", error=f"{type(error).__name__}: {error}"[:300])
        yield Check("record", False, "the record does not answer: run dateline doctor")


def _parts(record: Record, now: datetime) -> Iterator[Check]:
    pipeline = pipeline_now(record)
    workers = words_desk.workers_word(pipeline, now)
    running = bool(pipeline.running(now))
    yield Check(
        "workers",
        running,
        workers.word if running else "no worker is running: start one with dateline worker",
    )
    yield _routing(pipeline, now)
    yield _sending(record, now)
    redis = words_desk.redis_word(pipeline, now)
    # Not the detail: it may have the address of a server inside, and anybody may ask.
    yield Check("redis", True, redis.word)


def _routing(pipeline: PipelineNow, now: datetime) -> Check:
    since = pipeline.unrouted_since
    if since is None or now - since <= BEHIND_AFTER:
        return Check("routing", True, "nothing waits for long")
    return Check(
        "routing", False, f"an event has waited {span(now - since)} to be routed: run dateline doctor"
    )


def _sending(record: Record, now: datetime) -> Check:
    late = trouble.stalled(record, now - BEHIND_AFTER)
    if not late:
        return Check("deliveries", True, "nothing that could be sent waits for long")
    words = (
        f"a delivery has been due for {span(now - late[0].due_at)} and nobody sends it: run dateline doctor"
    )
    return Check("deliveries", False, words)
