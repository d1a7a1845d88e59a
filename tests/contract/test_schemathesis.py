"""The API against its own description: Schemathesis asks every operation, as each that may, and finds nothing wrong.

It derives the requests from /openapi.json: valid ones and wrong ones, one at a time and one after another by the links.
`DATELINE_API_EXAMPLES=200` makes it ask for longer, each time for other things.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from itertools import count
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse

import pytest
import schemathesis
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

from service.app import create_app
from service.serving.document_cache import DocumentCache
from service.serving.middleware import FeedMiddleware
from service.serving.server.context import Site
from service.serving.server.request_cache import RequestCache
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import routing
from service.wsgi import LANES, plan
from tests.builders import an_endpoint
from tests.http_server import a_server_in_a_thread
from tests.web import (
    OPERATOR,
    PUBLIC_URL,
    Headers,
    Newsroom,
    WebDesk,
    a_newsroom,
    a_partner,
    an_app,
    now,
    some_sections,
    the_article,
    the_settings,
)
from workers.publish.builder import FeedBuilder

EXAMPLES = int(os.environ.get("DATELINE_API_EXAMPLES", "0"))
CONFIG = Path(__file__).parents[2] / "schemathesis.toml"
# A 422 to a post that fits the schema: its reasons that no schema can know.
ONLY_THE_DESK_KNOWS = re.compile(
    r"there is no section .*; this desk has: .*|this source has no article .*, so there is nothing to take down"
    r"|There are [0-9,]+ more of these\.|Write a registered language tag .*"
    r"|Nothing is left of the body after cleaning: .*",
    re.DOTALL,
)
POSTS = {"include-path": ["/v1/articles", "/v1/hooks/{source}"], "include-method": "POST"}
HOOKS = {"include-path": "/v1/hooks/{source}"}  # its bodies are read as those of the other
PUBLIC = {"include-path-regex": "^/(feeds|sitemaps|partner/feeds|healthz|readyz|openapi)"}
ROLES = ("source", "partner", "operator", "nobody")


@dataclass
class Findings:
    """The failed checks, each with the request that shows it, and the number of answers by operation and status."""

    wrong: list[str] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)

    def read(self, recorder: ScenarioRecorder) -> None:
        for case, exchange in recorder.interactions.items():
            if exchange.response is not None:
                self.statuses[recorder.cases[case].value.operation.label, exchange.response.status_code] += 1
                if exchange.response.status_code == 422 and not _is_wrong_by_schema(recorder, case):
                    self._judge(recorder, case, exchange.response.content)
        for checks in recorder.checks.values():
            for check in checks:
                if check.failure_info is not None:
                    failure = check.failure_info.failure
                    words = f"{check.name}: {failure.title}: {failure.message}"
                    self.wrong.append(f"{words}\n{check.failure_info.code_sample}")

    def _judge(self, recorder: ScenarioRecorder, case: str, body: bytes) -> None:
        details = [each["detail"] for each in json.loads(body)["errors"]]
        if not details or not all(ONLY_THE_DESK_KNOWS.fullmatch(each) for each in details):
            asked = recorder.cases[case].value
            self.wrong.append(f"a post that fits the schema is refused: {details}\n{asked.body!r}")


def _is_wrong_by_schema(recorder: ScenarioRecorder, case: str) -> bool:
    meta = recorder.cases[case].value.meta
    return meta is None or not meta.generation.mode.is_positive


@dataclass(frozen=True)
class Api:
    """The web on a desk at work, whose clock stands still: nothing on it grows late."""

    url: str
    wire: Newsroom
    agency: Headers

    def ask(self, role: str) -> Findings:
        """Schemathesis asks everything as this role; returns the faults that it finds."""
        findings = Findings()
        config = schemathesis.Config.from_dict(self._settings(role))
        schema = schemathesis.openapi.from_url(f"{self.url}/openapi.json", config=config)
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError):
                findings.wrong.append(f"{event.label}: {event.value}")
            if isinstance(event, events.ScenarioFinished):
                findings.read(event.recorder)
        return findings

    def _settings(self, role: str) -> dict[str, Any]:
        settings = tomllib.loads(CONFIG.read_text())
        headers = {"source": self.wire.bearer, "partner": self.agency, "operator": OPERATOR, "nobody": {}}
        # A post needs the source's own name and no forged signature, or no body is looked at; of others' none is.
        own_name = {"parameters": {"source": self.wire.slug}}
        few = {"phases": {"coverage": {"enabled": False}}}
        posts = [POSTS | own_name if role == "source" else POSTS | few] + ([] if EXAMPLES else [HOOKS | few])
        public = [] if role == "nobody" or EXAMPLES else [PUBLIC | {"enabled": False}]
        generation = {"database": "none", "with-security-parameters": role == "nobody"}
        bounds = {"max-examples": EXAMPLES} if EXAMPLES else {"max-examples": 5, "deterministic": True}
        return settings | {
            "base-url": self.url,
            "headers": headers[role],
            "continue-on-failure": True,
            "cache": {"enabled": False},
            "analysis": {"constants": {"enabled": bool(EXAMPLES)}},  # they change with each line of the code
            "generation": generation | bounds,
            "operations": [*settings["operations"], *posts, *public],
            **({} if EXAMPLES else {"seed": 1}),
        }


class FromManyAddresses:
    """A proxy whose clients all have an address of their own: from one alone, so many wrong tokens would be a 429."""

    def __init__(self, middleware: FeedMiddleware) -> None:
        self.select = middleware.select
        self._middleware = middleware
        self._numbers = count(1)

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        environ["HTTP_X_FORWARDED_FOR"] = str(ip_address(0x0A000000 + next(self._numbers)))
        return self._middleware(environ, start)


@pytest.fixture(scope="module")
def api(standing_record: Record) -> Iterator[Api]:
    record, moment = standing_record, now()
    some_sections(record, "world", "business", "0")
    wire, agency = a_newsroom(record), a_partner(record, "agency")
    an_endpoint(record, "agency")
    desk = WebDesk(record, an_app(record), wire, wire, [])
    for number in range(3):
        assert desk.post(the_article(id=str(number), headline=f"Story {number}")).status_code == 202
    routing.route(record, moment)
    FeedBuilder(record, PUBLIC_URL, now).drain()
    heartbeats.heartbeat(record, "desk-1:4711", broker="up", now=moment)
    documents = DocumentCache(record, PUBLIC_URL)
    app = create_app(
        the_settings(trusted_proxies=(ip_network("127.0.0.0/8"),)),
        record,
        lambda: None,
        documents=documents,
        clock=lambda: moment,
    )
    site = Site(FromManyAddresses(app.wsgi_app), RequestCache(documents), plan, LANES)  # type: ignore[arg-type]
    with a_server_in_a_thread(site) as server:
        yield Api(f"http://127.0.0.1:{server.port}", wire, agency)


@pytest.mark.parametrize("role", ROLES)
def test_schemathesis_finds_nothing_wrong_whoever_asks(api: Api, role: str) -> None:
    found = api.ask(role)
    assert found.wrong == [], "\n\n".join(found.wrong[:10])
    assert OWN_ANSWERS[role] <= found.statuses.keys(), sorted(found.statuses.items())


# The answers that show that the role came in, and how far: a test that is refused everywhere finds nothing.
OWN_ANSWERS = {
    "source": {("POST /v1/articles", 202), ("POST /v1/articles", 422), ("GET /v1/articles/{id}", 200)},
    "partner": {("GET /v1/partner/events", 200), ("GET /v1/partner/events", 400)},
    "operator": {("GET /status.json", 200), ("GET /metrics", 200), ("GET /v1/events/{id}", 404)},
    "nobody": {
        ("GET /healthz", 200),
        ("GET /readyz", 200),
        ("POST /v1/articles", 401),
        ("GET /healthz", 405),
    },
}
