"""The operator's pages: behind the login, hardened, true for a desk with something in every state."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from lxml import html

from service.console.login import own_path
from service.store.database.record import Record, open_record
from service.store.views import deliveries, trouble
from tests import postgres, seeded
from tests.web import OPERATOR, PUBLIC_URL, SECRET_KEY, TOKEN, CutOff, an_app, nothing_changes, the_problem
from workers.publish.builder import FeedBuilder

MOMENT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
SECRET_STORY = seeded.SECRET_STORY


@dataclass(frozen=True)
class Office:
    """The seeded desk, stopped at MOMENT, and a browser in which the operator is logged in."""

    record: Record
    app: Flask
    seeded: seeded.SeededDesk
    browser: FlaskClient

    def page(self, path: str) -> html.HtmlElement:
        answer = self.browser.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        assert answer.content_type == "text/html; charset=utf-8"
        return html.document_fromstring(answer.get_data(as_text=True))

    def deliveries(self) -> list[str]:
        found = [
            each.id
            for endpoint in self.seeded.endpoints.values()
            for each in (
                *deliveries.latest_deliveries(self.record, endpoint),
                *deliveries.undelivered(self.record, endpoint),
            )
        ]
        return sorted(set(found))

    def addresses(self) -> list[str]:
        """Every page of this desk."""
        return [
            "/status", "/status?refresh=off", "/status/articles", "/status/dead", "/status/articles?q=harbour",
            *(f"/status/dead?endpoint={each}" for each in self.seeded.endpoints.values()),
            *(f"/status/partners/{slug}" for slug in (*self.seeded.endpoints, "quiet-post")),
            *(f"/status/articles/{self.seeded.ulid(each)}" for each in self.seeded.posted),
            *(f"/status/events/{each.event}" for each in self.seeded.posted.values()),
            *(f"/status/deliveries/{each}" for each in self.deliveries()),
        ]  # fmt: skip


def an_office(record: Record) -> Office:
    desk = seeded.a_desk_at_work(record, MOMENT)
    FeedBuilder(record, PUBLIC_URL, lambda: MOMENT).drain()  # its pages lead to its feeds
    app = an_app(record, clock=lambda: MOMENT)
    return Office(record, app, desk, logged_in(app))


def logged_in(app: Flask) -> FlaskClient:
    browser = app.test_client()
    assert browser.post("/status/login", data={"token": TOKEN}).status_code == 303
    return browser


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    if request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("office") / "dateline.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        record = open_record(f"sqlite:///{path}", SECRET_KEY)
        yield an_office(record)
        record.close()
        return
    handle, template = (request.getfixturevalue(n) for n in ("postgres_server", "postgres_template"))
    postgres.admin(handle, f"CREATE DATABASE office TEMPLATE {template} STRATEGY file_copy")
    record = open_record(postgres.database_url(handle, "office"), SECRET_KEY)
    yield an_office(record)
    record.close()
    postgres.admin(handle, "DROP DATABASE office WITH (FORCE)")


def text_of(page: html.HtmlElement) -> str:
    return " ".join(str(page.text_content()).split())


@pytest.fixture(scope="module")
def pages(office: Office) -> dict[str, html.HtmlElement]:
    """Every page of the desk by its address. Looking at them all changed nothing."""
    with nothing_changes(office.record):
        return {address: office.page(address) for address in office.addresses()}


def test_every_page_renders_without_scripts_inline_styles_or_handlers(
    pages: dict[str, html.HtmlElement],
) -> None:
    assert len(pages) > 40
    for address, page in pages.items():
        assert page.xpath("//script | //style | //iframe | //object | //*[@style]") == [], address
        assert page.xpath("//@*[starts-with(name(), 'on')]") == [], address
        assert page.xpath("//@*[contains(., 'javascript:')]") == [], address
        assert len(page.xpath("//h1")) == 1, address
        assert page.xpath("string(//html/@lang)") == "en"
        assert page.xpath("//table[not(caption)]") == [], address


def test_every_link_of_every_page_leads_to_a_page(office: Office, pages: dict[str, html.HtmlElement]) -> None:
    links = {str(link) for page in pages.values() for link in page.xpath("//@href")}
    inside = {link for link in links if link.startswith("/")}
    assert len(inside) > 20
    for link in sorted(inside - pages.keys()):
        assert office.browser.get(link).status_code == 200, link
    assert {link for link in links - inside if not link.startswith("#")} <= {"data:,"}


def test_every_answer_below_status_is_hardened(office: Office) -> None:
    paths = ["/status", "/status/login", "/status/articles/nothing", "/status/nothing/at/all", "/status.json"]
    for answer in [office.browser.get(path) for path in paths] + [office.app.test_client().get("/status")]:
        policy = dict(
            part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["style-src"] == "'self'"
        assert policy["form-action"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["base-uri"] == "'none'"
        assert "script-src" not in policy
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"


def test_nobody_sees_a_page_without_logging_in(office: Office) -> None:
    stranger = office.app.test_client()
    for address in [*office.addresses(), "/status/", "/status/nothing"]:
        answer = stranger.get(address)
        assert answer.status_code == 302, address
        assert answer.headers["Location"].startswith("/status/login"), address
        assert b"Harbour" not in answer.data
        assert "Set-Cookie" not in answer.headers
    bearer = stranger.get("/status.json")
    the_problem(bearer, 401)
    assert bearer.headers["WWW-Authenticate"].startswith("Bearer")
    assert stranger.get("/status.json", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert stranger.get("/status.json", headers=OPERATOR).status_code == 200


def test_the_login_leads_back_to_where_one_wanted_to_go(office: Office) -> None:
    browser = office.app.test_client()
    door = browser.get("/status/articles?q=harbour").headers["Location"]
    form = html.document_fromstring(browser.get(door).data).forms[0]
    answer = browser.post(form.action, data={**dict(form.fields), "token": f" {TOKEN}\n"})
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/status/articles?q=harbour"
    assert browser.get("/status/login").headers["Location"] == "/status"


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/status//evil.example", "/statuses",
     "javascript:alert(1)", "/status/\r\nX-Evil: 1", "/feeds.opml", "", "/status/\u202e", "\\status"],
)  # fmt: skip
def test_the_login_leads_nowhere_else(office: Office, target: str) -> None:
    answer = office.app.test_client().post("/status/login", data={"token": TOKEN, "next": target})
    assert answer.headers["Location"] == "/status"
    assert own_path(target) == "/status"


@pytest.mark.parametrize(
    "token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\0", "é", "x" * 100_000]
)
def test_a_wrong_token_opens_nothing(office: Office, token: str) -> None:
    browser = office.app.test_client()
    remote = {"REMOTE_ADDR": f"192.0.2.{len(token) % 250}"}
    answer = browser.post("/status/login", data={"token": token}, environ_overrides=remote)
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    assert browser.get("/status").status_code == 302


def test_a_desk_without_a_token_lets_nobody_in(sqlite_record: Record) -> None:
    client = an_app(sqlite_record, operator_token="").test_client()
    assert client.post("/status/login", data={"token": ""}).status_code == 403
    assert client.get("/status.json", headers={"Authorization": "Bearer "}).status_code == 401
    assert client.get("/v1/events/x", headers={"Authorization": "Bearer "}).status_code == 401


def test_guessing_is_slowed_down_for_the_guesser_only(sqlite_record: Record) -> None:
    moment = [MOMENT]
    client = an_app(sqlite_record, clock=lambda: moment[0]).test_client()

    def guess(token: str, address: str = "192.0.2.1") -> Any:
        return client.post("/status/login", data={"token": token}, environ_overrides={"REMOTE_ADDR": address})

    assert [guess("wrong").status_code for _ in range(5)] == [403] * 5
    slowed = guess(TOKEN)
    assert slowed.status_code == 429
    assert 0 < int(slowed.headers["Retry-After"]) <= 61
    assert b"Too many wrong tokens" in slowed.data
    assert guess("wrong", "192.0.2.2").status_code == 403
    moment[0] += timedelta(seconds=int(slowed.headers["Retry-After"]))
    assert guess(TOKEN).status_code == 303


@pytest.mark.parametrize(
    ("public_url", "secure"), [("https://news.example.org", True), ("http://127.0.0.1:8600", False)]
)
def test_the_session_cookie_is_kept_from_scripts_other_sites_and_plain_connections(
    sqlite_record: Record, public_url: str, secure: bool
) -> None:
    answer = (
        an_app(sqlite_record, public_url=public_url)
        .test_client()
        .post("/status/login", data={"token": TOKEN})
    )
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert ("Secure" in cookie) is secure
    assert "Expires" in cookie
    assert TOKEN not in cookie


def test_a_forged_or_foreign_form_changes_nothing(office: Office) -> None:
    browser = logged_in(office.app)
    good = html.document_fromstring(browser.get("/status").data).forms[0].fields["csrf"]
    for data, headers in (
        ({}, {}),
        ({"csrf": ""}, {}),
        ({"csrf": "x" * len(good)}, {}),
        ({"csrf": "é"}, {}),
        ({"csrf": good}, {"Sec-Fetch-Site": "cross-site"}),
        ({"csrf": good}, {"Sec-Fetch-Site": "same-site"}),
    ):
        assert browser.post("/status/logout", data=data, headers=headers).status_code == 403
    foreign = browser.post("/status/login", data={"token": TOKEN}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert browser.get("/status").status_code == 200
    assert browser.post("/status/logout", data={"csrf": good}).status_code == 303
    assert browser.get("/status").status_code == 302


def test_another_sessions_csrf_token_is_no_good(office: Office) -> None:
    ours, theirs = logged_in(office.app), logged_in(office.app)
    token = html.document_fromstring(theirs.get("/status").data).forms[0].fields["csrf"]
    assert ours.post("/status/logout", data={"csrf": token}).status_code == 403


def test_a_new_token_or_a_new_key_ends_every_session(sqlite_record: Record) -> None:
    app = an_app(sqlite_record)
    browser = logged_in(app)
    cookie = browser.get_cookie("dateline_session")
    assert cookie is not None
    other_key = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
    for changes, status in (
        ({}, 200),
        ({"operator_token": "another"}, 302),
        ({"secret_key": other_key}, 302),
    ):
        again = an_app(sqlite_record, **changes).test_client()
        again.set_cookie("dateline_session", cookie.value)
        assert again.get("/status").status_code == status
    forged = app.test_client()
    forged.set_cookie("dateline_session", cookie.value[:-2] + "xx")
    assert forged.get("/status").status_code == 302


def test_the_overview_says_how_the_desk_stands_and_its_json_twin_says_the_same(office: Office) -> None:
    page, facts = office.page("/status"), office.browser.get("/status.json").json
    text = text_of(page)
    assert facts["as_of"] == "2026-11-24T10:00:00Z"
    assert facts["summary"]["sentence"] in text
    for each in facts["partners"]:
        [row] = [
            row
            for row in page.xpath("//table[@id='partners']//tr")
            if f"/status/partners/{each['slug']}" in row.xpath(".//@href")
        ]
        assert each["name"] in text_of(row)
        assert each["state"] in text_of(row)
    listed = [
        str(link).rpartition("/")[2]
        for link in page.xpath("//table[@id='partners']//@href[starts-with(., '/status/partners/')]")
    ]
    in_order = list(dict.fromkeys(listed))
    assert in_order == [each["slug"] for each in facts["partners"]]
    assert {each["slug"] for each in facts["partners"]} == {*office.seeded.endpoints, "quiet-post"}
    shown = {
        str(link).rpartition("/")[2] for link in page.xpath("//@href[starts-with(., '/status/events/')]")
    }
    assert shown == {each["id"] for each in facts["events"]}
    by_slug = {each["slug"]: each for each in facts["partners"]}
    assert by_slug["flaky-times"]["given_up"] == 1
    assert by_slug["flaky-times"]["last_failure"] == "answered 503 Service Unavailable"
    assert by_slug["harbour-herald"]["last_failure"] is None
    lately = [text_of(row) for row in page.xpath("//section[@aria-labelledby='lately']//tbody/tr")]
    assert len(lately) == len(facts["notices"]) > 0
    for told, row in zip(facts["notices"], lately, strict=True):
        assert told["partner"] in row
        assert told["words"][1:] in row  # the page begins it with a capital letter
    assert facts["pipeline"]["unrouted"] == 1
    assert [each["name"] for each in facts["pipeline"]["workers"]] == [seeded.WORKER]


def test_a_partners_page_tells_its_state_and_its_deliveries(office: Office) -> None:
    flaky, night = (
        text_of(office.page(f"/status/partners/{slug}")) for slug in ("flaky-times", "night-mail")
    )
    assert "https://flaky-times.example.org/dateline" in flaky
    assert "nswered 503 Service Unavailable" in flaky
    assert "Given up" in flaky
    assert "Paused" in night
    assert "moving to a new system" in night


def test_an_articles_page_tells_each_revision_and_who_holds_it(office: Office) -> None:
    corrected = text_of(office.page(f"/status/articles/{office.seeded.ulid('1')}"))
    assert "Harbour reopens at noon" in corrected
    assert "Harbour reopens after the storm" in corrected
    assert "Corrected" in corrected
    assert "Harbour Herald" in corrected
    killed = text_of(office.page(f"/status/articles/{office.seeded.ulid('2')}"))
    assert "Killed by the desk" in killed
    assert "Wrong person named" in killed
    public_id = office.seeded.posted["2"].article
    assert text_of(office.page(f"/status/articles/{public_id}")) == killed


def test_the_overview_says_how_old_the_feeds_are_that_are_served(office: Office) -> None:
    said = office.app.test_client().get("/readyz").json["checks"]
    [words] = [each["words"] for each in said if each["check"] == "feeds"]
    assert f"Feeds as this server has them in memory: {words}" in text_of(office.page("/status"))


def test_articles_are_found_by_each_of_their_ids_and_by_words(office: Office) -> None:
    def found(words: str) -> set[str]:
        answer = office.browser.get("/status/articles", query_string={"q": words})
        assert answer.status_code == 200
        page = html.document_fromstring(answer.data)
        return {
            str(each).rpartition("/")[2] for each in page.xpath("//tbody//@href[contains(., '/articles/')]")
        }

    ulid = office.seeded.ulid("1")
    for words in ("1", ulid, ulid.lower(), office.seeded.posted["1"].article, "noon", "HARBOUR  NOON"):
        assert found(words) == {ulid}, words
    assert found("港口") == {office.seeded.ulid("zh")}
    assert found("بندرگاہ") == {office.seeded.ulid("ur")}
    assert found("no such words") == found("%") == found("_") == found("' OR 1=1") == set()
    secret = office.seeded.ulid("secret")
    assert found("Merger largest ferry") == {secret}, "only operators search"
    assert "Merger" not in text_of(office.page("/status/articles?q=largest+ferry")), "no list shows it"
    event = office.seeded.posted["1"].event
    assert office.browser.get(f"/status/articles?q={event}").headers["Location"] == f"/status/events/{event}"
    [delivery, *_] = office.deliveries()
    assert office.browser.get(f"/status/articles?q={delivery}").headers["Location"].endswith(delivery)


ODD_SEARCHES = (
    "q=%00", "q=%ff", "q=" + "x" * 5000, "q=<script>alert(1)</script>", "q=dlv_../../x", "q=evt_%2f%2fevil",
    "before=2026-01-01",
)  # fmt: skip


@pytest.mark.parametrize("query", ODD_SEARCHES, ids=range(len(ODD_SEARCHES)))
def test_odd_searches_are_answered(office: Office, query: str) -> None:
    answer = office.browser.get(f"/status/articles?{query}")
    assert answer.status_code in {200, 302}
    assert b"<script>" not in answer.data
    assert answer.headers.get("Location", "/status/").startswith("/status/")


@pytest.mark.parametrize("endpoint", ["0", "-1", "x", "", "9" * 30, "9" * 5000, "%00", "1.5"])
def test_a_value_that_is_no_endpoint_is_told_with_how_to_write_it(office: Office, endpoint: str) -> None:
    answer = office.browser.get(f"/status/dead?endpoint={endpoint}")
    assert answer.status_code == 400
    page = html.document_fromstring(answer.data)
    assert "?endpoint= is the number of an endpoint, such as ?endpoint=3: " in text_of(page)
    assert page.xpath("//nav")


def test_an_endpoint_of_which_nothing_was_given_up_is_told(office: Office) -> None:
    page = text_of(office.page("/status/dead?endpoint=999"))
    assert "Nothing was given up at endpoint 999" in page
    assert "Flaky Times" in page


def test_a_cursor_that_its_list_does_not_have_is_told(office: Office) -> None:
    for path in ("/status?after=nobody", "/status/partners/flaky-times?after=999", "/status/articles?before=x",
                 "/status/articles?before=0001-01-01T00:00:00%2B23:59",
                 "/status/articles?before=9999-12-31T23:59:59-23:59",
                 "/status/partners/flaky-times?feeds_after=7", "/status/articles?q=x&before=2026-01-01",
                 "/status/articles?after=01KDYH8H7ZJ4T0M4YQ2W9S5E6C"):  # fmt: skip
        answer = office.browser.get(path)
        assert (answer.status_code, answer.mimetype) == (400, "text/html"), path
        assert path.rpartition("=")[0].rpartition("?")[2].rpartition("&")[2] in answer.text


def test_a_search_of_any_script_survives_the_login(office: Office) -> None:
    for query in ("q=%E6%B8%AF%E5%8F%A3", "q=https://a.example/b"):
        door = office.app.test_client().get(f"/status/articles?{query}").headers["Location"]
        asked = unquote(unquote(parse_qs(urlsplit(door).query)["next"][0]))
        assert asked == f"/status/articles?{unquote(query)}"
    assert office.app.test_client().get("/status/login?next=https://evil.example").status_code == 400


def test_page_of_what_was_given_up_says_where_it_counts_the_latest_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "of the latest" not in text_of(office.page("/status/dead"))
    monkeypatch.setattr(trouble, "LOOKED_AT", 1)
    assert "of the latest 1 there" in text_of(office.page("/status/dead"))


def hostile_page(office: Office) -> Any:
    for name in office.deliveries():
        answer = office.browser.get(f"/status/deliveries/{name}")
        if b"from the partner" in answer.data:
            return answer
    raise AssertionError("no delivery has the hostile answer")


def test_a_partners_answer_is_shown_as_text_only(office: Office) -> None:
    answer = hostile_page(office)
    assert b"<script>" not in answer.data
    assert b"<b>bold" not in answer.data
    assert b"\x1b" not in answer.data
    assert b"\x00" not in answer.data
    body = html.document_fromstring(answer.get_data(as_text=True)).xpath(
        "//pre[@aria-label='Body of the answer']"
    )[0]
    mark = "\N{REPLACEMENT CHARACTER}"
    shown = ["<script>alert('from the partner')</script>", f"<h1>503</h1>{mark}[31m{mark} caf{mark}"]
    assert body.text_content().splitlines()[:2] == shown
    assert len(body) == 0


def test_a_deliverys_page_tells_why_it_stands_where_it_stands_and_each_attempt(office: Office) -> None:
    page = html.document_fromstring(hostile_page(office).get_data(as_text=True))
    text = text_of(page)
    assert "1 attempt" in text
    assert "nswered 503 Service Unavailable" in text
    assert "203.0.113.7:443" in text
    assert seeded.WORKER in text
    assert page.xpath("//section[contains(@class, 'summary')]//p")


def test_the_embargoed_headline_is_on_its_articles_own_page_and_nowhere_else(
    office: Office, pages: dict[str, html.HtmlElement]
) -> None:
    own = f"/status/articles/{office.seeded.ulid('secret')}"
    for address, page in pages.items():
        assert (SECRET_STORY in html.tostring(page, encoding="unicode")) is (address == own), address
    assert "Under embargo until" in text_of(pages[own])
    for address in (
        "/status.json",
        "/status/articles?q=secret",
        "/metrics",
        "/readyz",
        "/docs",
        "/feeds.opml",
    ):
        assert SECRET_STORY.encode() not in office.browser.get(address).data, address
    assert "Under embargo until" in text_of(office.page("/status/articles?q=secret"))


def test_each_headline_is_marked_with_its_language_and_finds_its_own_direction(office: Office) -> None:
    for external_id, headline, language in (("ur", seeded.URDU, "ur"), ("zh", seeded.CHINESE, "zh-Hans")):
        page = office.page(f"/status/articles/{office.seeded.ulid(external_id)}")
        [title] = page.xpath("//h1/span")
        assert title.text_content() == headline
        assert (title.get("lang"), title.get("dir")) == (language, "auto")
        marked = office.page("/status/articles").xpath(f"//span[@lang='{language}' and @dir='auto']")
        assert [each.text_content() for each in marked] == [headline]
    urdu = text_of(office.page(f"/status/articles/{office.seeded.ulid('ur')}"))
    assert "The Daily Mail, Pakistan" in urdu
    assert "Ayesha Khan" in urdu
    assert "Liu Ying" in urdu


@pytest.mark.parametrize(
    "path", ["articles/nothing", "events/evt_x", "deliveries/dlv_x", "partners/nobody", "x/y/z"]
)
def test_an_address_that_leads_nowhere_is_told_on_a_page(office: Office, path: str) -> None:
    answer = office.browser.get(f"/status/{path}")
    assert answer.status_code == 404
    assert answer.content_type == "text/html; charset=utf-8"
    assert "There is nothing here" in text_of(html.document_fromstring(answer.data))


def test_the_old_address_with_a_slash_leads_to_the_overview(office: Office) -> None:
    assert office.browser.get("/status/").headers["Location"] == "/status"
    assert office.browser.get("/").headers["Location"] == "/status"


def test_a_record_that_is_away_is_told_on_a_page_and_as_a_problem_in_json(cut_off: CutOff) -> None:
    browser = cut_off.desk.inside()
    cut_off.cut()
    answer = browser.get("/status")
    assert answer.status_code == 503
    assert answer.content_type == "text/html; charset=utf-8"
    assert int(answer.headers["Retry-After"]) > 0
    assert "dateline doctor" in answer.get_data(as_text=True)
    assert "Content-Security-Policy" in answer.headers
    the_problem(browser.get("/status.json"), 503)


def test_a_fault_of_ours_has_a_number_and_tells_nothing_of_our_insides(
    cut_off: CutOff, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = cut_off.desk.inside()
    with cut_off.desk.record.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE event RENAME TO elsewhere")
    page = browser.get("/status")
    assert page.status_code == 500
    assert page.content_type == "text/html; charset=utf-8"
    problem = browser.get("/v1/events/evt_01KDYH8H7ZJ4T0M4YQ2W9S5E6C", headers=OPERATOR)
    detail = the_problem(problem, 500)["detail"]
    for said in (page.get_data(as_text=True), detail):
        assert re.search(r"\b[0-9a-f]{8}\b", said)
        assert "elsewhere" not in said
        assert "SELECT" not in said
    assert json.loads(problem.data)["type"] == "/docs#problem-unexpected"
    capsys.readouterr()


def test_the_style_sheet_may_be_kept_for_ever_and_needs_no_login(office: Office) -> None:
    [address] = html.document_fromstring(office.app.test_client().get("/status/login").data).xpath(
        "//link[@rel='stylesheet']/@href"
    )
    sheet = office.app.test_client().get(str(address))
    assert sheet.status_code == 200
    assert sheet.content_type.startswith("text/css")
    assert "immutable" in sheet.headers["Cache-Control"]
