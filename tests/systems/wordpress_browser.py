"""An editor at WordPress's own screens, in Chromium: the settings, the panel beside a story, the list of posts."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence

from playwright.sync_api import Locator, Page, Response, sync_playwright

from tests.e2e.test_status_page import FLAGS, PROGRAMS
from tests.systems.wordpress_site import ZONE, WpSite

PATIENCE_MS = 20_000.0
NARROW_SCREEN = {"width": 390, "height": 844}


def browser_program() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextlib.contextmanager
def opened(site: WpSite) -> Iterator[WpBrowser]:
    """A browser that has logged in. WordPress compares its site's times with those of the browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_program(), args=list(FLAGS))
        page = browser.new_page(timezone_id=ZONE, viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        # WordPress asks before a page with changes is left.
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"{site.url}/wp-login.php")
        page.fill("#user_login", "editor")
        page.fill("#user_pass", site.password)
        page.click("#wp-submit")
        page.wait_for_url("**/wp-admin/**")
        try:
            yield WpBrowser(site.url, page)
        finally:
            browser.close()


class WpBrowser:
    """Does what an editor does, and reads what the screens say then."""

    def __init__(self, url: str, page: Page) -> None:
        self._admin = f"{url}/wp-admin"
        self.page = page

    def save_secret(self, secret: str) -> str:
        """Saves it on the settings page, and returns the notices of the page that follows."""
        self.page.goto(f"{self._admin}/plugins.php")
        self.follow("tr[data-slug=dateline] a:has-text('Settings')")
        self.page.get_by_label("Signing secret").fill(secret)
        with self.page.expect_navigation():
            self.page.get_by_role("button", name="Save and test the connection").click()
        return " ".join(each.inner_text() for each in self.page.locator(".wrap .notice").all())

    def settings_width(self) -> int:
        """How wide the settings page is on a narrow screen."""
        size = self.page.viewport_size
        self.page.set_viewport_size(NARROW_SCREEN)
        self.page.goto(f"{self._admin}/options-general.php?page=dateline")
        width = int(self.page.evaluate("document.documentElement.scrollWidth"))
        if size:
            self.page.set_viewport_size(size)
        return width

    def publish(self, title: str, category: str) -> str:
        """Writes a story in the block editor, and returns the words of the panel once the story is out."""
        self.page.goto(f"{self._admin}/post-new.php")
        self.page.wait_for_function("wp.data.select('core/editor').getCurrentPostId() > 0")
        welcome = self.page.locator(".components-modal__header button")
        with contextlib.suppress(Exception):
            welcome.click(timeout=1500)
        # Newer ones have the text in a frame of its own, and tabs that say that they are tabs.
        frame = "iframe[name=editor-canvas]"
        self.page.wait_for_selector(f"{frame}, .editor-post-title")
        framed = self.page.locator(frame).count() > 0
        canvas = self.page.frame_locator(frame) if framed else self.page
        headline = canvas.get_by_label("Add title")
        headline.fill(title)
        headline.press("Enter")
        self.page.keyboard.type("Typed by an editor.")
        tab = self.page.get_by_role("tab", name="Post", exact=True)
        tab.or_(self.page.locator(".edit-post-sidebar__panel-tab")).first.click()
        self._open("Categories")
        self._open("Dateline")
        self.choose(category)
        self.page.locator(".editor-post-publish-panel__toggle").click()
        return self._words_after(
            self.page.locator(".editor-post-publish-panel .editor-post-publish-button").click
        )

    def _open(self, panel: str) -> None:
        title = self.page.get_by_role("button", name=panel, exact=True)
        if title.get_attribute("aria-expanded") != "true":
            title.click()

    def choose(self, category: str) -> None:
        self.page.get_by_label(category, exact=True).check()

    def fill(self, field: str, value: str) -> str:
        """Fills a field of the panel, saves the story, and returns the words of the panel then."""
        self.page.get_by_label(field, exact=True).fill(value)
        return self.update()

    def update(self) -> str:
        return self._words_after(self.page.locator(".editor-post-publish-button").click)

    def _words_after(self, act: Callable[[], None]) -> str:
        """The panel asks the plug-in after each save; the last answer says that nothing is on its way."""
        with self.page.expect_response(_says_the_state) as answer:
            act()
        close = self.page.locator(".editor-post-publish-panel__header button")
        if close.count():
            close.click()
        words = str(answer.value.json()["words"])
        shown = "words => document.querySelector( '.dateline-state' )?.innerText === words"
        self.page.wait_for_function(shown, arg=words)
        return words

    def refusal(self) -> str:
        """The notice above the story."""
        return self.page.locator(".components-notice.is-error").inner_text()

    def await_no_refusal(self) -> None:
        self.page.locator(".components-notice.is-error").wait_for(state="detached")

    def current_post(self) -> int:
        return int(self.page.evaluate("wp.data.select('core/editor').getCurrentPostId()"))

    def publish_classic(self, title: str) -> str:
        """The same in the classic editor; the words are those of its box."""
        self.page.goto(f"{self._admin}/post-new.php")
        self.page.fill("#title", title)
        self.page.locator("#categorychecklist").get_by_label("World", exact=True).check()
        self.page.click("#content-html")
        self.page.fill("#content", "Typed in the classic editor.")
        self.page.fill("#_dateline_language", "ur")
        # While the draft saves itself, after the headline, the button does nothing.
        self.page.wait_for_selector("#sample-permalink")
        self.page.click("#publish:not(.disabled)")
        self.page.wait_for_selector("#message")
        self.page.wait_for_function("! document.querySelector( '#dateline .dateline-pending' )")
        return self.page.locator("#dateline .inside span").first.inner_text()

    def list_posts(self, query: str = "") -> None:
        self.page.goto(f"{self._admin}/edit.php{query}")

    def quick_edit(self, post: int, change: Callable[[Locator], object]) -> str:
        """Returns the column's words, as they become without a new page."""
        self.list_posts()
        self.page.hover(f"#post-{post}")
        self.page.click(f"#post-{post} button.editinline")
        form = self.page.locator(f"#edit-{post}")
        change(form)
        form.locator(".save").click()
        form.wait_for(state="detached")
        self.page.wait_for_function(f"! document.querySelector( '#post-{post} .dateline-pending' )")
        return self.page.locator(f"#post-{post} td.dateline").inner_text()

    def bulk(self, posts: Sequence[int], action: str, status: str = "") -> None:
        """An action of the list of posts; with a status, that of bulk edit."""
        self.list_posts()
        for post in posts:
            self.page.check(f"#cb-select-{post}")
        self.page.select_option("#bulk-action-selector-top", action)
        if not status:
            with self.page.expect_navigation():
                self.page.click("#doaction")
            return
        self.page.click("#doaction")
        self.page.locator("#bulk-edit select[name=_status]").select_option(status)
        with self.page.expect_navigation():
            self.page.click("#bulk_edit")

    def follow(self, selector: str) -> None:
        with self.page.expect_navigation():
            self.page.locator(selector).first.click()


def _says_the_state(answer: Response) -> bool:
    return "/dateline/v1/posts/" in answer.url and not answer.json()["pending"]
