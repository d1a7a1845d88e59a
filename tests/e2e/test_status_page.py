"""The status page in a real browser: an operator can read it on any screen, and the browser reports no error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.desk import RunningDesk, eventually
from tests.outlet import Outlet

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("desks")]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The browser runs as root in containers, and talks to the desk alone.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HEADLINE = "بندرگاہ طوفان کے بعد دوبارہ کھل گئی"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        words = f"no Chromium is installed (looked for {', '.join(PROGRAMS)}); apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def story(sqlite_desk: RunningDesk, outlet: Outlet) -> dict[str, Any]:
    """The event of a delivered story."""
    posted = {
        "id": "seen",
        "headline": HEADLINE,
        "body_html": "<p>-</p>",
        "language": "ur",
        "sections": ["world"],
    }
    answer: dict[str, Any] = sqlite_desk.post(posted).json()

    def delivered() -> dict[str, Any] | None:
        event: dict[str, Any] = sqlite_desk.get(f"/v1/events/{answer['event']}").json()
        return event if [each["state"] for each in event["deliveries"]] == ["delivered"] else None

    event = eventually(delivered, within=15, what="the story's delivery")
    assert event
    return event


class StatusReader:
    """A page with the browser's complaints about it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._add_message)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(f"not loaded: {request.url}"))

    def _add_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:  # a violation of the security policy is an error too
            self.complaints.append(f"{message.type}: {message.text}")


@pytest.fixture(params=["wide", "narrow", "dark"])
def reader(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[StatusReader]:
    context = chromium.new_context(
        viewport=NARROW if request.param == "narrow" else WIDE,  # type: ignore[arg-type]
        color_scheme="dark" if request.param == "dark" else "light",
        locale="en-GB",
    )
    yield StatusReader(context.new_page())
    context.close()


def brightness(page: Page, style: str) -> float:
    """The brightness of the body's colour or background colour, from 0 to 1."""
    drawn = f"""() => {{
        const context = document.createElement('canvas').getContext('2d');
        context.fillStyle = getComputedStyle(document.body)['{style}'];
        context.fillRect(0, 0, 1, 1);
        return Array.from(context.getImageData(0, 0, 1, 1).data.slice(0, 3));
    }}"""
    return sum(page.evaluate(drawn)) / (3 * 255)


def test_an_operator_logs_in_and_reads_which_outlet_got_which_version(
    reader: StatusReader, sqlite_desk: RunningDesk, story: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    page, kind = reader.page, request.node.callspec.params["reader"]
    page.goto(f"{sqlite_desk.url}/status?refresh=off")
    page.get_by_label("Operator token").fill(sqlite_desk.operator()["Authorization"].partition(" ")[2])
    page.get_by_role("button", name="Log in").click()
    assert page.url.startswith(f"{sqlite_desk.url}/status?refresh=off")
    page.get_by_role("link", name="Harbour Herald").first.wait_for()
    check_page(reader, kind)

    page.get_by_role("link", name=HEADLINE).first.click()
    assert page.locator("h1").inner_text() == HEADLINE
    assert page.locator("h1 [lang=ur]").evaluate("one => getComputedStyle(one).direction") == "rtl"
    assert page.get_by_text("Revision 1, the newest").is_visible()
    check_page(reader, kind)

    page.locator(f"a[href$='{story['deliveries'][0]['id']}']").first.click()
    assert page.get_by_role("heading", name="Attempt 1").is_visible()
    assert page.get_by_text(story["deliveries"][0]["id"], exact=True).is_visible()
    check_page(reader, kind)

    page.get_by_role("link", name="Harbour Herald").first.click()
    assert "Harbour Herald" in page.locator("h1").inner_text()
    check_page(reader, kind)
    page.get_by_role("button", name="Log out").click()
    assert page.get_by_label("Operator token").is_visible()
    assert reader.complaints == []


def check_page(reader: StatusReader, kind: str) -> None:
    """Checks the page: it fits, is styled, and is dark for a reader who wants it dark."""
    page = reader.page
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), page.url
    assert page.evaluate("() => document.styleSheets[0].cssRules.length > 20"), page.url
    ground, ink = brightness(page, "backgroundColor"), brightness(page, "color")
    assert ground < 0.25 < 0.6 < ink if kind == "dark" else ink < 0.4 < 0.8 < ground, (page.url, ground, ink)


def test_the_browser_refuses_a_script_and_reports_it(chromium: Browser, sqlite_desk: RunningDesk) -> None:
    reader = StatusReader(chromium.new_page())
    reader.page.goto(f"{sqlite_desk.url}/status/login")
    reader.page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'window.ran = true';"
        " document.head.append(one); }"
    )
    assert reader.page.evaluate("() => window.ran") is None
    assert "Content Security Policy" in "".join(reader.complaints)
    reader.page.close()
