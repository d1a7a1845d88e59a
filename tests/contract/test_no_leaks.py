"""The words of a story that is hidden are on no surface but those named here, each with its reason.

Surfaces are enumerated from the code (tests/surfaces.py): the routes of both servers, as each kind of client; each
feed in each format and coding; exported files; each column of each table.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from feeds import FORMATS
from service.api.document import describe
from service.app import create_feeds_app
from service.serving.document_cache import DocumentCache
from service.store.database.record import Record, open_record
from tests.feeds_server import a_feeds_server
from tests.hidden_stories import CONTROL, HIDDEN, WITHDRAWN, HiddenStories, hidden_stories
from tests.surfaces import (
    CODINGS,
    Sighting,
    documents_of,
    sightings,
    text_fields,
    walk_documents,
    walk_files,
    walk_record,
    walk_web,
)
from tests.web import OPERATOR, PUBLIC_URL, SECRET_KEY, the_settings

pytestmark = pytest.mark.xdist_group("no_leaks")


class MayHold(NamedTuple):
    """A surface that may have words of hidden stories: of which fields (all, if none is named), and the reason."""

    surface: str
    fields: frozenset[str]
    stories: frozenset[str]
    why: str


def of(*fields: str) -> frozenset[str]:
    return frozenset(fields)


ALL = of()
PACKAGE = of("packages")
WAS_PUBLIC = frozenset({"killed", "again"})
KNOWN_TO_READERS = (
    "the package's feed was public: its readers find the notice there, and its name is the feed's"
)
SHOWS_WHICH = "the operator must know which story was taken down: its headline alone, behind the login"


def the_pages() -> tuple[MayHold, ...]:
    """Routes of the web."""
    article = "its operator sees what is hidden on its own page alone, and its newsroom what it posted itself"
    whole = (
        "operator: GET /v1/articles/<path:name>",
        "operator: GET /v1/articles",
        "operator's browser: GET /status/articles/<path:name>",
        "own source: GET /v1/articles/<path:name>",
        "own source: GET /v1/articles",
    )
    lists = ("/status", "/status/articles", "/status/events/<name>", "/status/deliveries/<name>")
    lists = (*lists, "/status/partners/<slug>", "/status/dead", "/status.json")
    events = ("operator: GET /v1/events/<name>", "operator's browser: GET /status/events/<name>")
    readers = ("GET /feeds", "GET /feeds.opml", "GET /feeds/<path:name>", "GET /feeds/<path:name>.<fmt>")
    return (
        *(MayHold(surface, ALL, HIDDEN, article) for surface in whole),
        *(
            MayHold(surface, of("reason"), HIDDEN, "the desk's own reason, for the desk")
            for surface in events
        ),
        *(
            MayHold(f"operator's browser: GET {each}", of("headline"), WITHDRAWN, SHOWS_WHICH)
            for each in lists
        ),
        MayHold("operator: GET /status.json", of("headline"), WITHDRAWN, SHOWS_WHICH),
        *(
            MayHold(f"{role}: {route}", PACKAGE, WAS_PUBLIC, KNOWN_TO_READERS)
            for role in ROLES
            for route in readers
        ),
    )


def the_record() -> tuple[MayHold, ...]:
    """Columns of tables."""
    back = "what the end of the embargo, or `dateline restore`, brings back"
    place = "the feed of its package, hidden from all until a story in it is public"
    places = ("event.places", "feed.slug", "feed.title", "feed.born", "placement.feed")
    return (
        MayHold("revision.content", ALL, HIDDEN, back),
        MayHold("event.reason", of("reason"), HIDDEN, "the desk's own reason, for the desk"),
        *(MayHold(column, PACKAGE, HIDDEN, place) for column in places),
        *(MayHold(f"document.{each}", PACKAGE, WAS_PUBLIC, KNOWN_TO_READERS) for each in ("feed", "body")),
        *(
            MayHold(
                f"attempt.{each}",
                ALL,
                of("again"),
                "an outlet's answer from before; its page hides it meanwhile",
            )
            for each in ("response_body", "response_headers")
        ),
    )


ROLES = ("nobody", "operator", "operator's browser", "own source", "other source", "holder", "courier")
# Everything that may have a word of a hidden story, and the reason. All else may have none.
ALLOWED = (*the_pages(), *the_record())


def unexpected(found: set[Sighting]) -> set[Sighting]:
    return {each for each in found if each.story in HIDDEN and not any(_allows(one, each) for one in ALLOWED)}


def _allows(one: MayHold, seen: Sighting) -> bool:
    return (
        one.surface == seen.surface
        and (not one.fields or seen.field in one.fields)
        and seen.story in one.stories
    )


def unused(allowances: Iterable[MayHold], found: set[Sighting]) -> list[MayHold]:
    """The allowances for nothing that was seen: they need not be there."""
    return [one for one in allowances if not any(_allows(one, each) for each in found)]


@pytest.fixture(scope="module")
def hidden(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HiddenStories]:
    folder = tmp_path_factory.mktemp("hidden")
    shutil.copy(sqlite_template, folder / "dateline.db")
    record = open_record(f"sqlite:///{folder / 'dateline.db'}", SECRET_KEY)
    yield hidden_stories(record, folder / "exported")
    record.close()


def test_every_field_of_an_article_has_a_word_of_its_own(hidden: HiddenStories) -> None:
    """Without it a new field would be walked past."""
    trace = hidden.desk.get("/v1/articles?source=wire&external_id=lifted", OPERATOR)
    found = {each.field for each in sightings("", trace.data) if each.story == CONTROL}
    assert found == {re.sub("[._]", "", name) for name in text_fields()} - {"correctionnote", "killreason"}


def test_no_route_of_the_web_shows_a_hidden_story_to_anyone_who_may_not_see_it(hidden: HiddenStories) -> None:
    found, answered = walk_web(hidden.app, hidden.roles, hidden.known(), hidden.queries())
    assert unexpected(found) == set()
    assert {role.name for role in hidden.roles} == set(ROLES)
    assert unused(the_pages(), found) == []
    gets = {rule.rule for rule in hidden.app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    # Two lead elsewhere, two answer 404 to whatever is not there, and there are not a thousand stories.
    elsewhere = {"/", "/status/", "/status/<path:name>", "/static/<path:filename>"}
    elsewhere |= {"/v1/hooks/<source>/<path:file>"}
    assert gets - {each.partition(" GET ")[2] for each in answered} == {
        *elsewhere,
        "/sitemaps/news-<int:number>.xml",
    }
    public = {each.surface for each in found if each.story == CONTROL and each.field == "headline"}
    routes = (
        "/feeds/<path:name>",
        "/feeds/<path:name>.<fmt>",
        "/partner/feeds/<token>.<fmt>",
        "/sitemaps/news.xml",
    )
    assert public >= {f"nobody: GET {route}" for route in routes}
    assert "holder: GET /v1/partner/events" in public
    assert "courier: GET /v1/partner/events" not in public


def test_every_query_that_the_api_reads_is_asked(hidden: HiddenStories) -> None:
    described = describe(PUBLIC_URL)["paths"]
    with_queries = {
        path
        for path, methods in described.items()
        if any(each.get("in") == "query" for each in methods.get("get", {}).get("parameters", ()))
    }
    asked = {re.sub(r"<(?:\w+:)?\w+>", "{id}", rule) for rule in hidden.queries()}
    assert with_queries <= asked


def test_no_document_of_the_web_or_the_feeds_server_shows_a_hidden_story_in_any_form(
    hidden: HiddenStories,
) -> None:
    documents = documents_of(hidden.record)
    assert any(path.endswith("/1.atom") for path in documents)
    in_web = walk_documents(hidden.desk.client, "web", documents, hidden.tags)
    with a_feeds_server(hidden.record, PUBLIC_URL) as server:
        in_feeds = walk_documents(server, "feeds server", documents, hidden.tags)
    found = in_web | in_feeds
    known = {each for each in found if each.story in WAS_PUBLIC and each.field == "packages"}
    assert unexpected(found - known) == set()
    seen = {each.surface for each in found if each.story == CONTROL and each.field == "headline"}
    every_form = {f"/feeds/world.{fmt} as {coding}" for fmt in FORMATS for coding in CODINGS}
    for server_name in ("web", "feeds server"):
        assert seen >= {f"{server_name}: {form}" for form in every_form}
        assert any(surface.startswith(f"{server_name}: /feeds/world.rss since") for surface in seen)


def test_routes_of_the_feeds_server_are_among_those_that_were_walked(hidden: HiddenStories) -> None:
    feeds_app = create_feeds_app(the_settings(), hidden.record, DocumentCache(hidden.record, PUBLIC_URL))
    walked = {rule.rule for rule in hidden.app.url_map.iter_rules()}
    assert {rule.rule for rule in feeds_app.url_map.iter_rules()} <= walked


def test_no_exported_file_shows_a_hidden_story_in_any_form(hidden: HiddenStories) -> None:
    found = walk_files(hidden.exported)
    known = {each for each in found if each.story in WAS_PUBLIC and each.field == "packages"}
    assert unexpected(found - known) == set()
    seen = {each.surface for each in found if each.story == CONTROL and each.field == "headline"}
    endings = ("", ".gz", ".br", ".zst")
    assert seen >= {f"file feeds/world.{fmt}{ending}" for fmt in FORMATS for ending in endings}
    assert "file sitemaps/news.xml" in seen


def test_no_column_of_the_record_has_a_hidden_story_but_its_own(hidden: HiddenStories) -> None:
    found = walk_record(hidden.record)
    assert unexpected(found) == set()
    assert unused(the_record(), found) == []
    seen = {each.surface for each in found if each.story == CONTROL and each.field == "headline"}
    assert seen >= {"document.body", "entry.body", "revision.content", "attempt.response_body"}


def test_no_column_of_the_record_on_postgresql_has_a_hidden_story_but_its_own(
    postgres_record: Record, tmp_path: Path
) -> None:
    hidden_stories(postgres_record, tmp_path)
    assert unexpected(walk_record(postgres_record)) == set()
