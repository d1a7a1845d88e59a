"""Every route is listed here with its users, and described in /openapi.json unless it is a page."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from service.console.page_parameters import PAGE_PARAMETERS
from service.http.problems import PROBLEMS
from service.store.database.record import Record
from tests.web import OPERATOR as OPERATORS_TOKEN
from tests.web import TOKEN, a_newsroom, a_partner, an_app

EVERYBODY, OPERATOR, SOURCE, PARTNER, SESSION = "everybody", "operator", "source", "partner", "session"
ADDRESS = "the address's holder"  # a token is part of the address: for all others there is nothing
# A new route fails the tests until someone writes its users here.
USERS: dict[tuple[str, str], set[str]] = {
    ("POST", "/v1/articles"): {SOURCE},
    ("POST", "/v1/hooks/<source>"): {SOURCE},
    ("GET", "/v1/hooks/<source>/<path:file>"): {EVERYBODY},
    ("GET", "/v1/articles"): {OPERATOR, SOURCE},
    ("GET", "/v1/articles/<path:name>"): {OPERATOR, SOURCE},
    ("GET", "/v1/sections"): {OPERATOR, SOURCE, PARTNER},
    ("GET", "/v1/events/<name>"): {OPERATOR},
    ("GET", "/v1/partner/events"): {PARTNER},
    ("GET", "/partner/feeds/<token>.<fmt>"): {ADDRESS},
    ("GET", "/feeds"): {EVERYBODY},
    ("GET", "/feeds/<path:name>.<fmt>"): {EVERYBODY},
    ("GET", "/feeds/<path:name>"): {EVERYBODY},
    ("GET", "/feeds.opml"): {EVERYBODY},
    ("GET", "/favicon.ico"): {EVERYBODY},
    ("GET", "/sitemaps/news.xml"): {EVERYBODY},
    ("GET", "/sitemaps/news-<int:number>.xml"): {EVERYBODY},
    ("GET", "/status.json"): {OPERATOR},
    ("GET", "/healthz"): {EVERYBODY},
    ("GET", "/readyz"): {EVERYBODY},
    ("GET", "/metrics"): {EVERYBODY},
    ("GET", "/openapi.json"): {EVERYBODY},
}
PAGES: dict[tuple[str, str], set[str]] = {
    ("GET", "/"): {EVERYBODY},
    ("GET", "/docs"): {EVERYBODY},
    ("GET", "/static/<path:filename>"): {EVERYBODY},
    ("GET", "/status/login"): {EVERYBODY},
    ("POST", "/status/login"): {EVERYBODY},
    ("GET", "/status/style.css"): {EVERYBODY},
    ("POST", "/status/logout"): {SESSION},
    ("GET", "/status"): {SESSION},
    ("GET", "/status/"): {SESSION},
    ("GET", "/status/partners/<slug>"): {SESSION},
    ("GET", "/status/articles"): {SESSION},
    ("GET", "/status/articles/<path:name>"): {SESSION},
    ("GET", "/status/events/<name>"): {SESSION},
    ("GET", "/status/deliveries/<name>"): {SESSION},
    ("GET", "/status/dead"): {SESSION},
    ("GET", "/status/sources"): {SESSION},
    ("GET", "/status/<path:name>"): {SESSION},
}
# Readers and scrapers add parameters of their own against caches: what is only read, and by everybody, takes any.
ANY_PARAMETER = {
    "/",
    "/partner/feeds/<token>.<fmt>",
    "/feeds",
    "/feeds/<path:name>.<fmt>",
    "/feeds/<path:name>",
    "/feeds.opml",
    "/favicon.ico",
    "/sitemaps/news.xml",
    "/sitemaps/news-<int:number>.xml",
    "/healthz",
    "/readyz",
    "/metrics",
    "/static/<path:filename>",
    "/status/style.css",
    "/status/<path:name>",  # there is no such page
}
SCHEMES = {
    SOURCE: {"apiKey", "signature"},
    PARTNER: {"apiKey"},
    OPERATOR: {"operator"},
    EVERYBODY: set(),
    ADDRESS: set(),
}


@pytest.fixture
def app(sqlite_record: Record) -> Flask:
    return an_app(sqlite_record)


@pytest.fixture
def api(app: Flask) -> dict[str, Any]:
    answer = app.test_client().get("/openapi.json")
    assert answer.content_type == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    body: dict[str, Any] = answer.json
    return body


def routes(app: Flask) -> set[tuple[str, str]]:
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def shape(path: str) -> str:
    """The path without its parameters' names: Flask's and OpenAPI's names differ."""
    return re.sub(r"<[^>]+>|\{[^}]+\}", "{}", path)


def operations(api: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): each for path, item in api["paths"].items() for method, each in item.items()
    }


def test_every_route_has_an_entry_with_its_users(app: Flask) -> None:
    assert routes(app) == USERS.keys() | PAGES.keys()


@pytest.mark.parametrize(("method", "rule"), sorted(USERS.keys() | PAGES.keys()))
def test_a_route_answers_strangers_only_if_it_is_for_everybody(app: Flask, method: str, rule: str) -> None:
    path = re.sub(r"<[^>]+>", "x", rule)
    answer = app.test_client().open(path, method=method, content_type="application/json", data=b"{}")
    users = (USERS | PAGES)[method, rule]
    sent_to_login = answer.status_code in {302, 303} and answer.location.startswith("/status/login")
    if users == {SESSION}:
        assert sent_to_login
    elif users == {ADDRESS}:
        assert answer.status_code == 404
    else:
        assert (answer.status_code == 401) is (EVERYBODY not in users)
        assert not sent_to_login


def test_every_route_is_described_and_every_described_route_exists(api: dict[str, Any]) -> None:
    described = {(method, shape(path)) for method, path in operations(api)}
    assert described == {(method, shape(rule)) for method, rule in USERS}


def test_the_description_names_the_credentials_that_the_route_demands(api: dict[str, Any]) -> None:
    for (method, path), operation in operations(api).items():
        [users] = [
            each for (verb, rule), each in USERS.items() if (verb, shape(rule)) == (method, shape(path))
        ]
        named = {name for each in operation["security"] for name in each}
        wanted = set().union(*(SCHEMES[each] for each in users))
        if method == "GET":
            wanted -= {"signature"}  # there is no body to sign
        assert named == wanted, path
        # Metrics need a token from elsewhere than this machine, and once one is set: docs/configuration.md.
        assert ("401" in operation["responses"]) is (bool(wanted) or path == "/metrics"), path


@pytest.mark.parametrize(("method", "rule"), sorted(USERS.keys() | PAGES.keys()))
def test_a_parameter_that_a_route_does_not_read_is_refused_by_its_name(
    app: Flask, method: str, rule: str
) -> None:
    client = app.test_client()
    assert client.post("/status/login", data={"token": TOKEN}).status_code == 303
    path = re.sub(r"<int:[^>]+>", "1", rule)
    path = re.sub(r"<[^>]+>", "x", path) + "?dry_run=1"
    headers = {} if rule.startswith("/status/") else OPERATORS_TOKEN
    answer = client.open(path, method=method, content_type="application/json", data=b"{}", headers=headers)
    assert (answer.status_code == 400) is (rule not in ANY_PARAMETER)
    if answer.status_code == 400:
        assert "?dry_run=" in answer.get_data(as_text=True)
        assert "nothing was changed" in answer.get_data(as_text=True)


def test_every_link_of_the_pages_has_parameters_that_its_page_reads(app: Flask) -> None:
    client = app.test_client()
    client.post("/status/login", data={"token": TOKEN})
    for path in (
        "?refresh=off",
        "/articles?q=x&after=01KDYH8H7ZJ4T0M4YQ2W9S5E6C",
        "/articles?before=2026-01-02T08:00:00Z",
        "/dead?endpoint=1",
    ):
        assert client.get(f"/status{path}").status_code == 200
    assert client.get("/status/login?next=/status/dead").status_code == 302
    assert client.get("/status.json?after=nobody").status_code == 404
    assert client.get("/status.json?endpoints_after=1&feeds_after=0").status_code == 200


WRONG = (
    "abc",
    "",
    "-1",
    "1.5",
    "0x1",
    "١",
    "9" * 30,
    "9" * 5000,
    "a b",
    "\0",
    "<b>",
    "%ff",
    "https://a.example",
    "//",
)


@pytest.mark.parametrize(
    ("page", "name"), [(page, name) for page, names in PAGE_PARAMETERS.items() for name in names]
)
def test_a_wrong_value_of_a_pages_parameter_is_refused_in_the_pages_design(
    app: Flask, page: str, name: str
) -> None:
    client = app.test_client()
    if page != "pages.login":
        client.post("/status/login", data={"token": TOKEN})
    [rule] = [
        each.rule
        for each in app.url_map.iter_rules()
        if each.endpoint == page and "GET" in (each.methods or ())
    ]
    path, known = re.sub(r"<[^>]+>", "x", rule), PAGE_PARAMETERS[page][name]
    more = {"q": "x"} if (page, name) == ("pages.articles", "after") else {}
    right = client.get(path, query_string={name: known.example, **more})
    assert right.status_code in ({200, 302, 404} if (page, name) != ("pages.overview", "after") else {400})
    wrong = [each for each in WRONG if not known.is_right(each)]
    assert len(wrong) > 7 or (name == "q" and not wrong)  # any text may be searched for
    for value in wrong:
        answer = client.get(path, query_string={name: value, **more})
        assert (answer.status_code, answer.mimetype) == (400, "text/html"), value
        assert f"?{name}= is {known.words}, such as ?{name}={known.example}: " in unescape(answer.text)
        assert 'href="/status/style.css?v=' in answer.text
        assert "<b>" not in answer.text


def test_every_parameter_that_a_page_reads_has_a_rule() -> None:
    read = re.compile(
        r"""request\.args(?:\.get\(|\[)["'](\w+)["']|list_page\([^"]*"(\w+)"|"(\w+)" in request\.args"""
    )
    found = {
        name
        for path in (Path("service/console")).glob("*.py")
        if path.name not in {"probes.py"}
        for names in read.findall(path.read_text())
        for name in names
        if name
    }
    assert found == {name for names in PAGE_PARAMETERS.values() for name in names}


def test_a_wrong_value_of_a_parameter_of_the_api_is_refused_by_its_name(
    sqlite_record: Record, app: Flask, api: dict[str, Any]
) -> None:
    keys = {SOURCE: a_newsroom(sqlite_record).bearer, PARTNER: a_partner(sqlite_record, "herald")}
    described = {(method, shape(rule)): min(users) for (method, rule), users in USERS.items()}
    tried = 0
    for (method, path), operation in operations(api).items():
        headers = keys.get(described[method, shape(path)], OPERATORS_TOKEN)
        for each in operation.get("parameters", []):
            bounded = each["schema"].keys() & {"enum", "minimum", "pattern"}
            if each["in"] != "query" or not bounded or each["name"] in {"source", "external_id"}:
                continue
            tried += 1
            answer = app.test_client().open(
                re.sub(r"{[^}]+}", "x", path),
                method=method,
                query_string={each["name"]: "~wrong"},
                headers=headers,
                json={} if method == "POST" else None,
            )
            assert (answer.status_code, answer.mimetype) == (400, "application/problem+json"), (path, each)
            assert f"?{each['name']}= is " in answer.json["detail"]
            assert "'~wrong'" in answer.json["detail"]
    assert tried > 8


def test_a_number_of_the_status_that_is_none_is_refused(app: Flask) -> None:
    for name in ("endpoints_after", "feeds_after"):
        for value in ("x", "-1", "1.5", "9" * 19, "9" * 5000):
            answer = app.test_client().get(f"/status.json?{name}={value}", headers=OPERATORS_TOKEN)
            assert answer.status_code == 400
            assert f"?{name}= is a whole number" in answer.json["detail"]


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if "$ref" in part else []
        return own + [each for value in part.values() for each in references(value)]
    return [each for value in part for each in references(value)] if isinstance(part, list) else []


def resolved(api: dict[str, Any], reference: str) -> Any:
    found: Any = api
    assert reference.startswith("#/")
    for step in reference[2:].split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def test_every_reference_leads_somewhere(api: dict[str, Any]) -> None:
    found = references(api)
    assert len(found) > 10
    assert all(isinstance(resolved(api, each), dict) for each in found)


def test_the_description_is_openapi_3_1(api: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", api["openapi"])
    assert set(api) <= {
        "openapi",
        "info",
        "servers",
        "paths",
        "components",
        "security",
        "tags",
        "externalDocs",
    }
    assert api["info"]["title"]
    assert api["info"]["version"]
    assert all(each["url"] for each in api["servers"])
    assert set(api["components"]) <= {"schemas", "securitySchemes", "parameters", "responses", "headers"}
    assert all(re.fullmatch(r"[\w.-]+", name) for part in api["components"].values() for name in part)
    for scheme in api["components"]["securitySchemes"].values():
        assert scheme["type"] in {"http", "apiKey"}
        assert "scheme" in scheme if scheme["type"] == "http" else {"in", "name"} <= set(scheme)


def test_every_operation_is_whole(api: dict[str, Any]) -> None:
    assert all(path.startswith("/") for path in api["paths"])
    assert len({shape(path) for path in api["paths"]}) == len(api["paths"])
    for (method, path), operation in operations(api).items():
        assert method in {"GET", "POST"}
        assert set(operation) <= {
            "summary",
            "security",
            "parameters",
            "requestBody",
            "responses",
            "operationId",
        }
        assert operation["summary"]
        assert {name for each in operation["security"] for name in each} <= set(
            api["components"]["securitySchemes"]
        )
        parameters = operation.get("parameters", [])
        names = [(each["name"], each["in"]) for each in parameters]
        assert len(set(names)) == len(names)
        assert {name for name, where in names if where == "path"} == set(re.findall(r"\{(\w+)\}", path))
        for each in parameters:
            assert each["in"] in {"path", "query", "header"}
            assert each["required"] is True or each["in"] != "path"
            assert each["schema"]
        if "requestBody" in operation:
            assert all("schema" in media for media in operation["requestBody"]["content"].values())
        assert any(status.startswith("2") for status in operation["responses"])
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"], (path, status)
            if int(status) >= 400 and path != "/readyz":
                contents = dict(response["content"])
                problem = contents.pop("application/problem+json")
                assert problem["schema"] == {"$ref": "#/components/schemas/ProblemDetails"}
                # The .json of a closed feed is a JSON Feed which says that it has ended.
                closed = (path, status) == ("/feeds/{feed}.{format}", "410")
                assert set(contents) == ({"application/feed+json"} if closed else set())


def test_every_described_refusal_is_explained(api: dict[str, Any]) -> None:
    explained = {str(status) for status, _, _ in PROBLEMS}
    refusals = {
        status for each in operations(api).values() for status in each["responses"] if status >= "400"
    }
    assert refusals <= explained
    kinds = [kind for _, kind, _ in PROBLEMS]
    assert len(set(kinds)) == len(kinds)
