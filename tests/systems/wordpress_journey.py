"""A day of an editor at WordPress, step by step; after each step the partner holds exactly what WordPress shows."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

from tests.desk import RunningDesk, eventually
from tests.systems.partner_view import PartnerView, ShownStory, difference
from tests.systems.runner import Step
from tests.systems.wordpress_admin import WpAdmin
from tests.systems.wordpress_site import WpSite

ARRIVES = 30.0
QUIET = 1.5  # long enough for a push that should not come
AHEAD = 70  # WordPress publishes at once for a time less than a minute ahead
PARAGRAPH = "<p>The ferry left the harbour at dawn, and nobody on board looked back.</p>\n"


@dataclass
class WpJourney:
    """The steps share the site, the desk and the partner, and run in their order."""

    site: WpSite
    desk: RunningDesk
    partner: PartnerView
    scheduled: dict[str, Any] = field(default_factory=dict)

    def steps(self) -> Iterator[Step]:
        """The name of each step, and the step."""
        yield "schedule, for a minute later", self.schedule
        yield "publish, with entities in the headline", self.publish
        yield "edit twice within 200 ms", self.edit_twice
        yield "correct", self.correct
        yield "change the slug", self.change_slug
        yield "move to another section, and delete a section", self.move_section
        yield "trash a scheduled story before its time", self.trash_before_time
        yield "protect by a password, make private, unpublish, restore", self.unpublish_and_restore
        yield "trash, restore, delete", self.trash_and_delete
        yield "kill with a reason, and take the kill back", self.kill_and_restore
        yield "embargo for outlets, then lift it", self.embargo
        yield "Chinese and Urdu", self.other_scripts
        yield "a story of 1 MB", self.large_story
        yield "bulk unpublish, in the list of posts", self.bulk_unpublish
        yield "an unknown section is refused, shown, and sent again by the button", self.unknown_section
        yield "the desk hangs: sent again by WP-Cron", self.desk_hangs
        yield "the scheduled story comes due", self.comes_due

    def settle(self) -> None:
        """Waits until the partner holds exactly what is public."""
        last = ""

        def same() -> bool:
            nonlocal last
            last = difference(self.public(), self.partner.shown())
            return not last

        try:
            eventually(same, within=ARRIVES, what="the partner holds what WordPress shows")
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}; WordPress waits with: {self.site.waiting()}") from None

    def public(self) -> dict[str, ShownStory]:
        return {
            post["link"]: ShownStory.of(post["title"]["rendered"], post["content"]["rendered"])
            for post in self.site.public_posts()
            if not post["content"]["protected"]  # it is listed, without its text
        }

    def add(
        self, title: str, *, section: str = "world", body: str = PARAGRAPH, **fields: Any
    ) -> dict[str, Any]:
        post: dict[str, Any] = self.site.rest(
            "POST",
            "posts",
            **{
                "title": title,
                "content": body,
                "status": "publish",
                "categories": [self.site.facts["categories"][section]],
                **fields,
            },
        )
        return post

    def change(self, post: dict[str, Any], **fields: Any) -> dict[str, Any]:
        changed: dict[str, Any] = self.site.rest("POST", f"posts/{post['id']}", **fields)
        return changed

    def article(self, post: dict[str, Any]) -> str:
        return eventually(
            lambda: self.partner.article_at(post["link"]), within=ARRIVES, what="the first push"
        )

    def last_event(self, post: dict[str, Any]) -> str:
        return self.partner.events(self.article(post))[-1]

    def publish(self) -> None:
        post = self.add("Harbour “reopens” & ferries sail")
        self.settle()
        held = self.partner.newest()[self.article(post)]
        assert held["headline"] == "Harbour “reopens” & ferries sail"
        assert self.last_event(post) == "published"

    def edit_twice(self) -> None:
        post = self.add("Bank holds its rate")
        self.settle()
        first = Thread(target=self.change, args=(post,), kwargs={"title": "Bank raises its rate"})
        first.start()
        time.sleep(0.15)
        self.change(post, title="Bank raises its rate to four per cent")
        first.join()
        self.settle()

    def correct(self) -> None:
        post = self.add("Minister resigns")
        self.settle()
        note = "An earlier version named the wrong minister."
        self.change(post, title="Deputy minister resigns", meta={"_dateline_correction_note": note})
        self.settle()
        assert self.last_event(post) == "corrected"
        assert self.partner.newest()[self.article(post)]["correction_note"] == note

    def change_slug(self) -> None:
        post = self.add("Storm nears the coast")
        self.settle()
        article = self.article(post)
        moved = self.change(post, slug="storm-passes")
        assert moved["link"] != post["link"]
        self.settle()
        assert self.partner.newest()[article]["url"] == moved["link"]

    def move_section(self) -> None:
        post = self.add("Port authority sells shares")
        self.settle()
        self.change(post, categories=[self.site.facts["categories"]["business"]])
        self._await_sections(post, ["business"])
        added = self.site.rest("POST", "categories", name="Shipping")
        self.desk.dateline("section", "add", "shipping", "--title", "Shipping", "--language", "en")
        self.change(post, categories=[self.site.facts["categories"]["world"], added["id"]])
        self._await_sections(post, ["shipping", "world"])
        self.site.rest("DELETE", f"categories/{added['id']}?force=true")
        self._await_sections(post, ["world"])
        self.settle()

    def _await_sections(self, post: dict[str, Any], slugs: list[str]) -> None:
        article = self.article(post)
        eventually(
            lambda: sorted(self.partner.newest()[article]["sections"]) == slugs,
            within=ARRIVES,
            what=f"the sections {slugs}",
        )

    def schedule(self) -> None:
        at = datetime.now(UTC) + timedelta(seconds=AHEAD)
        self.scheduled = self.add("Results at noon", status="future", date_gmt=f"{at:%Y-%m-%dT%H:%M:%S}")
        assert self.scheduled["status"] == "future"

    def trash_before_time(self) -> None:
        at = datetime.now(UTC) + timedelta(hours=1)
        post = self.add("Never to be read", status="future", date_gmt=f"{at:%Y-%m-%dT%H:%M:%S}")
        self.site.rest("DELETE", f"posts/{post['id']}")
        self.stays_away(post)

    def stays_away(self, post: dict[str, Any]) -> None:
        """No push of it comes, nor is any change of it left to send."""
        self.site.run_cron()
        time.sleep(QUIET)
        assert post["title"]["raw"] not in {each.headline for each in self.partner.shown().values()}
        self.settle()

    def unpublish_and_restore(self) -> None:
        post = self.add("Council meets in private")
        self.settle()
        for hidden in ({"password": "sesame"}, {"password": "", "status": "private"}, {"status": "draft"}):
            self.change(post, **hidden)
            self.settle()
            assert self.last_status(post) == "unpublished"
            self.change(post, status="publish", password="")
            self.settle()
            assert self.last_status(post) == "usable"

    def last_status(self, post: dict[str, Any]) -> str:
        return str(self.partner.newest()[self._article_of(post)]["status"])

    def _article_of(self, post: dict[str, Any]) -> str:
        """By the desk's answer, for a takedown's push has no address."""
        answer = self.desk.get(f"/v1/articles?source=wire&external_id={post['id']}")
        assert answer.ok, answer.text
        return str(answer.json()["article"])

    def trash_and_delete(self) -> None:
        post = self.add("Mayor opens bridge")
        self.settle()
        self.site.rest("DELETE", f"posts/{post['id']}")
        self.settle()
        assert self.last_status(post) == "unpublished"
        self.change(post, status="publish", slug="mayor-opens-bridge")
        self.settle()
        assert self.last_status(post) == "usable"
        article = self._article_of(post)
        self.site.rest("DELETE", f"posts/{post['id']}?force=true")
        self.settle()
        assert self.partner.events(article) == ["published", "unpublished", "restored", "unpublished"]

    def kill_and_restore(self) -> None:
        post = self.add("Banker arrested")
        self.settle()
        self.change(post, status="draft", meta={"_dateline_kill_reason": "He is another man."})
        self.settle()
        assert self.last_status(post) == "killed"
        self.change(post, status="publish", meta={"_dateline_kill_reason": ""})
        self.settle()
        assert self.last_status(post) == "usable"

    def embargo(self) -> None:
        until = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d %H:%M}"
        post = self.add("Report under embargo", meta={"_dateline_embargo_until": until})
        time.sleep(QUIET)
        assert self.partner.article_at(post["link"]) == ""
        self.change(post, meta={"_dateline_embargo_until": ""})
        self.settle()

    def other_scripts(self) -> None:
        for title, body, section, language in (
            ("港口在风暴后重新开放", "<p>第一班渡轮在黎明启航。</p>", "中国", "zh-Hans"),
            ("طوفان کے بعد بندرگاہ دوبارہ کھل گئی", "<p>پہلی کشتی فجر کے وقت روانہ ہوئی۔</p>", "world", "ur"),
        ):
            post = self.add(title, body=body, section=section, meta={"_dateline_language": language})
            self.settle()
            assert self.partner.newest()[self.article(post)]["language"] == language

    def large_story(self) -> None:
        self.add("The whole report", body=PARAGRAPH * (1_000_000 // len(PARAGRAPH)))
        self.settle()

    def bulk_unpublish(self) -> None:
        posts = [self.add(f"Bulletin {number}") for number in range(1, 5)]
        self.settle()
        admin = WpAdmin(self.site)
        assert "with outlets" in admin.list_of_posts()
        admin.unpublish([post["id"] for post in posts])
        assert not {post["link"] for post in posts} & set(self.public())
        self.settle()

    def unknown_section(self) -> None:
        self.site.rest("POST", "categories", name="Weather")
        found = self.site.rest("GET", "categories?slug=weather")[0]
        post = self.add("Rain tomorrow", categories=[found["id"]])
        admin = WpAdmin(self.site)
        listed = admin.list_of_posts()
        assert "refused" in listed
        assert "weather" in listed
        self.desk.dateline("section", "add", "weather", "--title", "Weather", "--language", "en")
        assert "posts are sent in the next minutes" in admin.send_all_again()
        self.site.run_cron()
        self.settle()
        assert self.last_event(post) == "published"

    def desk_hangs(self) -> None:
        self.desk.kill("web", signal.SIGSTOP)
        try:
            post = self.add("Printed while the desk hung")
        finally:
            self.desk.kill("web", signal.SIGCONT)
        code = "<?php require __DIR__ . '/wp-load.php'; echo Dateline\\row(%d)->state;"
        assert self.site.run_php(code % post["id"]) == "waiting"
        self.hurry()
        self.site.run_cron()
        self.settle()
        assert self.partner.events(self.article(post)) == ["published"]

    def hurry(self) -> None:
        """All that waits for its next try is due now."""
        self.site.run_php(
            "<?php require __DIR__ . '/wp-load.php';"
            " $wpdb->query( 'UPDATE ' . Dateline\\table() . ' SET due = 1 WHERE due IS NOT NULL' );"
            " wp_clear_scheduled_hook( Dateline\\CRON );"
            " wp_schedule_event( time() - 1, 'dateline_minute', Dateline\\CRON );"
        )

    def comes_due(self) -> None:
        def due() -> bool:
            self.site.run_cron()
            return self.scheduled["title"]["raw"] in {each.headline for each in self.public().values()}

        assert self.scheduled["title"]["raw"] not in {each.headline for each in self.partner.shown().values()}
        eventually(due, within=AHEAD + ARRIVES, what="WordPress publishes the scheduled story")
        self.settle()
