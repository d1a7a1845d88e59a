"""A day of an editor at any content system; after each step the partner holds exactly what the system's readers see."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Thread

from tests.desk import RunningDesk, eventually
from tests.systems.news_system import PARAGRAPH, EditedStory, NewsSystem
from tests.systems.partner_view import PartnerView, difference
from tests.systems.runner import Step

ARRIVES = 40.0
HEALS = 960.0  # changes come within a minute; an unpublication that moves no time, with the next sweep of ids
QUIET = 2.0  # long enough for a push that should not come
LARGE = 1_000_000
CHINESE = EditedStory("港口在风暴后重新开放", ["第一班渡轮在黎明启航。"], "china", "zh-Hans")
URDU = EditedStory("طوفان کے بعد بندرگاہ دوبارہ کھل گئی", ["پہلی کشتی فجر کے وقت روانہ ہوئی۔"], "world", "ur")


@dataclass
class NewsroomDay:
    """The steps share the system, the desk and the partner, and run in their order."""

    system: NewsSystem
    desk: RunningDesk
    partner: PartnerView
    scheduled: str = ""
    due: datetime = field(default_factory=lambda: datetime.now(UTC))

    def steps(self) -> Iterator[Step]:
        """The name of each step, and the step; those that the system has no act for say so."""
        for name, step in self._all_steps():
            lacks = self.system.lacks.get(name)
            yield (f"{name}: not here, {lacks}", lambda: None) if lacks else (name, step)
        for name, act in self.system.own_steps():
            yield name, lambda act=act: (act(), self.settle())[0]
        yield "the scheduled story comes due", self.comes_due

    def _all_steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "schedule", self.schedule
        yield "publish", self.publish
        yield "edit twice within 200 ms", self.edit_twice
        yield "correct", self.correct
        yield "change the slug", self.change_slug
        yield "move the section", self.move_section
        yield "trash before time", self.trash_before_time
        yield "unpublish, restore", self.unpublish_and_restore
        yield "trash, restore", self.trash_and_restore
        yield "delete", self.delete
        yield "Chinese and Urdu", self.other_scripts
        yield "a story of 1 MB", self.large_story
        yield "bulk unpublish", self.bulk_unpublish
        yield "publish, edit and unpublish while the desk is down", self.desk_down

    def settle(self, within: float = ARRIVES) -> None:
        """Waits until the partner holds exactly what is public."""
        last = ""

        def same() -> bool:
            nonlocal last
            time.sleep(0.2)
            theirs = {each.headline: each for each in self.system.public()}
            last = difference(theirs, self.partner.shown_by_headline())
            return not last

        try:
            eventually(same, within=within, what="the partner holds what the system shows")
        except AssertionError as error:
            held = self.desk.dateline("source", "held", self.system.source)
            shown = self.desk.dateline("source", "show", self.system.source)
            raise AssertionError(f"{error}: {last}; held: {held}; source: {shown}") from None

    def add(self, title: str, section: str = "world") -> str:
        story = self.system.publish(EditedStory(title, section=section))
        self.settle()
        return story

    def article(self, story: str) -> str:
        """By the desk's answer, for a takedown's push has no address."""
        query = f"source={self.system.source}&external_id={self.system.external_id(story)}"
        answer = self.desk.get(f"/v1/articles?{query}")
        assert answer.ok, answer.text
        return str(answer.json()["article"])

    def last_event(self, story: str) -> str:
        return self.partner.events(self.article(story))[-1]

    def status(self, story: str) -> str:
        return str(self.partner.newest()[self.article(story)]["status"])

    def publish(self) -> None:
        title = "Harbour “reopens” & ferries sail: 5 < 6"
        story = self.add(title)
        assert self.partner.newest()[self.article(story)]["headline"] == title
        assert self.last_event(story) == "published"

    def edit_twice(self) -> None:
        story = self.add("Bank holds its rate")
        first = Thread(target=self.system.retitle, args=(story, "Bank raises its rate"))
        first.start()
        time.sleep(0.15)
        self.system.retitle(story, "Bank raises its rate to four per cent")
        first.join()
        self.settle()

    def correct(self) -> None:
        story = self.add("Minister resigns")
        note = "An earlier version named the wrong minister."
        self.system.correct(story, "Deputy minister resigns", note)
        self.settle()
        assert self.last_event(story) == "corrected"
        assert self.partner.newest()[self.article(story)]["correction_note"] == note

    def change_slug(self) -> None:
        story = self.add("Storm nears the coast")
        article = self.article(story)
        before = self.partner.newest()[article].get("url")
        address = self.system.rename(story, "storm-passes")
        assert address != before
        eventually(
            lambda: self.partner.newest()[article].get("url") == address,
            within=ARRIVES,
            what=f"the address {address}",
        )

    def move_section(self) -> None:
        story = self.add("Port authority sells shares")
        article = self.article(story)
        self.system.move(story, "business")
        eventually(
            lambda: self.partner.newest()[article].get("sections") == ["business"],
            within=ARRIVES,
            what="the section business",
        )
        self.settle()

    def schedule(self) -> None:
        self.due = datetime.now(UTC) + timedelta(seconds=self.system.ahead)
        self.scheduled = self.system.schedule(EditedStory("Results at noon"), self.due)

    def trash_before_time(self) -> None:
        at = datetime.now(UTC) + timedelta(hours=1)
        story = self.system.schedule(EditedStory("Never to be read"), at)
        self.system.trash(story)
        time.sleep(QUIET)
        assert "Never to be read" not in self.partner.shown_by_headline()
        self.settle()

    def unpublish_and_restore(self) -> None:
        story = self.add("Council meets in private")
        self.system.unpublish(story)
        self.settle()
        assert self.status(story) == "unpublished"
        self.system.publish_again(story)
        self.settle()
        assert self.status(story) == "usable"

    def trash_and_restore(self) -> None:
        story = self.add("Mayor opens bridge")
        self.system.trash(story)
        self.settle()
        assert self.status(story) == "unpublished"
        self.system.restore(story)
        self.settle()
        assert self.status(story) == "usable"

    def delete(self) -> None:
        story = self.add("Theatre closes")
        article = self.article(story)
        self.system.delete(story)
        self.settle()
        assert self.partner.events(article) == ["published", "unpublished"]

    def other_scripts(self) -> None:
        for story in (CHINESE, URDU):
            name = self.system.publish(story)
            self.settle()
            assert self.partner.newest()[self.article(name)]["sections"] == [story.section]

    def large_story(self) -> None:
        paragraph = " ".join([PARAGRAPH] * 20)
        self.system.publish(EditedStory("The whole report", [paragraph] * (LARGE // len(paragraph))))
        self.settle()

    def bulk_unpublish(self) -> None:
        stories = [self.system.publish(EditedStory(f"Bulletin {number}")) for number in range(1, 5)]
        self.settle()
        self.system.bulk_unpublish(stories)
        assert not [each for each in self.system.public() if each.headline.startswith("Bulletin")]
        self.settle()

    def desk_down(self) -> None:
        """Its hooks reach nobody, and no system tries them again for long."""
        edited, unpublished = self.add("Museum opens late"), self.add("Match is off")
        with self.desk.down():
            self.system.publish(EditedStory("Printed while the desk was down"))
            self.system.retitle(edited, "Museum opens on Monday")
            self.system.unpublish(unpublished)
            time.sleep(QUIET)
        self.settle(HEALS)

    def comes_due(self) -> None:
        if not self.scheduled:
            return
        left = max(0.0, (self.due - datetime.now(UTC)).total_seconds())
        if left:
            assert "Results at noon" not in self.partner.shown_by_headline()
        eventually(
            self._shows_results, within=left + ARRIVES, what="the system publishes the scheduled story"
        )
        self.settle()
        assert "Results at noon" in self.partner.shown_by_headline()

    def _shows_results(self) -> bool:
        time.sleep(0.5)
        if datetime.now(UTC) > self.due:
            self.system.come_due()
        return any(each.headline == "Results at noon" for each in self.system.public())
