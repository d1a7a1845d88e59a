"""An editor's work in WordPress's own screens; after each step the partner holds exactly what WordPress shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from playwright.sync_api import Locator

from tests.desk import eventually
from tests.systems.runner import Step
from tests.systems.wordpress_browser import NARROW_SCREEN, WpBrowser
from tests.systems.wordpress_journey import ARRIVES, WpJourney

OTHER_SECRET = f"whsec_{'A' * 43}="
CLASSIC = "<?php add_filter( 'use_block_editor_for_post', '__return_false' );"

# Three ways by which quick edit hides a story, each with the way back.
HIDING: tuple[tuple[Callable[[Locator], object], Callable[[Locator], object]], ...] = (
    (
        lambda form: form.locator("input[name=post_password]").fill("sesame"),
        lambda form: form.locator("input[name=post_password]").fill(""),
    ),
    (
        lambda form: form.locator("input[name=keep_private]").check(),
        lambda form: form.locator("input[name=keep_private]").uncheck(),
    ),
    (
        lambda form: form.locator("select[name=_status]").select_option("pending"),
        lambda form: form.locator("select[name=_status]").select_option("publish"),
    ),
)


@dataclass
class WpScreens:
    """The steps share the day's site, desk and partner; `posts` are the stories that they wrote."""

    day: WpJourney
    browser: WpBrowser
    posts: list[int] = field(default_factory=list)

    def steps(self) -> Iterator[Step]:
        yield "settings: a wrong secret is told at once, and the right one", self.settings
        yield "the block editor: its panel says that outlets have the story", self.write
        yield "the block editor: a refusal says why, beside the story", self.refused
        yield "the block editor: correct, embargo, kill, and back", self.fields
        yield "quick edit: headline, password, private, pending", self.quick_edit
        yield "bulk edit to drafts and back; bulk trash, and undo", self.bulk
        yield "trash, restore, empty the trash", self.trash
        yield "the classic editor's box", self.classic

    def settings(self) -> None:
        for wrong, words in ((OTHER_SECRET, "does not know this secret"), ("whsec_AAAA", "not copied whole")):
            told = self.browser.save_secret(wrong)
            assert words in told, told
        right = self.browser.save_secret(self.day.desk.source["secret"])
        assert right == "Saved. The desk answers, and knows this secret.", right
        width = self.browser.settings_width()
        assert width <= NARROW_SCREEN["width"], width

    def write(self) -> None:
        words = self.browser.publish("Lighthouse lit again", "World")
        assert words.startswith("with outlets\naccepted, revision 1"), words
        self.posts.append(self.browser.current_post())
        self.day.settle()

    def refused(self) -> None:
        words = self.browser.publish("Fog on the coast", "Uncategorized")
        self.posts.append(self.browser.current_post())
        assert words.startswith("refused"), words
        assert "'uncategorized'" in words, words
        assert "'uncategorized'" in self.browser.refusal()
        self.browser.choose("World")
        assert self.browser.update().startswith("with outlets")
        self.browser.await_no_refusal()
        self.day.settle()

    def fields(self) -> None:
        self.browser.fill("Correction", "An earlier version said rain.")
        self._await_event("corrected")
        until = self.browser.fill("Embargo for outlets until", "2099-01-31T18:00")
        assert until.startswith("at Dateline, under embargo"), until
        self._await_event("withheld")
        self.browser.fill("Embargo for outlets until", "")
        self.day.settle()
        assert self.browser.fill("Kill: the reason", "Another coast.").startswith("killed")
        self._await_event("killed")
        assert self.browser.fill("Kill: the reason", "").startswith("with outlets")
        self.browser.fill("Correction", "")
        self.day.settle()

    def _await_event(self, name: str) -> None:
        """Of the story that the editor has open."""
        query = f"/v1/articles?source=wire&external_id={self.browser.current_post()}"
        article = str(self.day.desk.get(query).json()["article"])
        eventually(
            lambda: self.day.partner.events(article)[-1] == name, within=ARRIVES, what=f"the push {name}"
        )

    def quick_edit(self) -> None:
        self._quick_edit(lambda form: form.locator("input[name=post_title]").fill("Lighthouse lit"))
        for hide, show in HIDING:
            self._quick_edit(hide, "taken back")
            self._quick_edit(show)

    def _quick_edit(self, change: Callable[[Locator], object], words: str = "with outlets") -> None:
        column = self.browser.quick_edit(self.posts[0], change)
        assert column == words, column
        self.day.settle()

    def bulk(self) -> None:
        for status in ("draft", "publish", "private", "publish"):
            self.browser.bulk(self.posts, "edit", status)
            self.day.settle()
        self.browser.bulk(self.posts, "trash")
        self.day.settle()
        self.browser.follow("#message a:has-text('Undo')")
        self.day.settle()

    def trash(self) -> None:
        first, second = self.posts
        self.browser.bulk([first, second], "trash")
        self.browser.list_posts("?post_status=trash")
        self.browser.page.hover(f"#post-{first}")
        self.browser.follow(f"#post-{first} .untrash a")
        self.day.settle()
        self.browser.list_posts("?post_status=trash")
        self.browser.follow("#delete_all")
        self.day.settle()
        self.browser.bulk([first], "edit", "publish")
        self.day.settle()

    def classic(self) -> None:
        self.day.site.add_code("classic", CLASSIC)
        words = self.browser.publish_classic("Written the old way")
        assert words.startswith("with outlets"), words
        self.day.settle()
