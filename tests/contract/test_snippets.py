"""The snippets for Wagtail and Django: what those systems sent when it was captured becomes what readers see."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.captured_hooks import captured
from tests.web import OPERATOR, WebDesk, some_sections

SNIPPETS = Path(__file__).parents[2] / "docs" / "examples"
CONNECT_PAGES = Path(__file__).parents[2] / "docs" / "connect"
SEVEN, SIX = 'The first ferry left "at seven" & it\'s calm.', 'The first ferry left "at six" & it\'s calm.'

# By hand, from the captures: the page, its status afterwards, its sections, and how its text begins.
WAGTAIL_EXPECTED: dict[str, tuple[int, str, tuple[str, ...], str]] = {
    "13": (9, "usable", ("world",), 'The first ferry left "at dawn"'),
    "14": (9, "usable", ("world",), SIX),
    "16": (9, "usable", ("world",), SEVEN),
    "17": (9, "usable", ("world",), SEVEN),
    "18": (9, "usable", ("world",), SEVEN),
    "21": (9, "unpublished", (), ""),
    "22": (9, "usable", ("world", "harbour"), SEVEN),
    "24": (9, "usable", ("world", "harbour"), SEVEN),
    "25": (9, "unpublished", (), ""),
    "26": (9, "unpublished", (), ""),
    "28": (12, "usable", ("world",), "پہلی فیری"),
    "29": (13, "none", (), ""),  # scheduled: the signal says published
    "30": (13, "usable", ("world",), "3.25%"),
    "32": (11, "none", (), ""),  # private
    "33": (16, "usable", ("world",), "پہلی فیری"),
}


def snippet(name: str) -> Any:
    return runpy.run_path(str(SNIPPETS / f"dateline_{name}.py"))["article"]


def held(desk: WebDesk, external_id: str) -> tuple[str, dict[str, Any]]:
    answer = desk.get(f"/v1/articles?source=wire&external_id={external_id}", OPERATOR)
    return (answer.json["status"], answer.json) if answer.status_code == 200 else ("none", {})


@pytest.mark.parametrize("name", ["wagtail", "django"])
def test_the_page_of_a_snippet_shows_the_code_that_the_tests_run(name: str) -> None:
    page = CONNECT_PAGES.joinpath(f"{name}.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert shown == [SNIPPETS.joinpath(f"dateline_{name}.py").read_text(encoding="utf-8")]


def test_pages_of_wagtail_are_here_as_everybody_may_read_them(sqlite_desk: WebDesk) -> None:
    some_sections(sqlite_desk.record, "harbour")
    article = snippet("wagtail")
    for second, (number, (page_id, status, sections, text)) in enumerate(WAGTAIL_EXPECTED.items()):
        hook = json.loads(captured("wagtail", f"{number}-").body)
        gone = hook["event"] in ("page_unpublished", "page_deleted")  # then the snippet finds no public page
        page = {"id": hook["page"]["id"]} if gone else hook["page"]
        answer = sqlite_desk.post(article(page, f"2026-11-28T17:07:{second:02}+00:00"))
        now_status, facts = held(sqlite_desk, f"page-{page_id}")
        assert (number, now_status) == (number, status)
        if status != "none":
            assert answer.status_code == 202
        if sections:
            assert tuple(facts["content"]["sections"]) == sections
            assert facts["content"]["body_text"].startswith(text)


def test_a_correction_in_wagtail_and_a_page_in_chinese_keep_what_they_say(sqlite_desk: WebDesk) -> None:
    some_sections(sqlite_desk.record, "harbour")
    article = snippet("wagtail")
    for number in ("14", "16"):
        page = json.loads(captured("wagtail", f"{number}-").body)["page"]
        answer = sqlite_desk.post(article(page, f"2026-11-28T17:{number}:00+00:00"))
    assert answer.json["type"] == "article.corrected"
    chinese = json.loads(captured("wagtail", "33-").body)["page"]
    assert article(chinese, "2026-11-28T17:20:00+00:00")["language"] == "zh-hans"
    sqlite_desk.post(article(chinese, "2026-11-28T17:20:00+00:00"))
    assert held(sqlite_desk, "page-16")[1]["content"]["language"] == "zh-Hans"


@pytest.mark.parametrize(
    ("numbers", "status"),
    [
        (("01",), "none"),
        (("01", "02"), "usable"),
        (("01", "02", "03"), "usable"),
        (("02", "04"), "unpublished"),
    ],
)
def test_records_of_django_are_here_while_they_are_published(
    sqlite_desk: WebDesk, numbers: tuple[str, ...], status: str
) -> None:
    article = snippet("django")
    for number in numbers:
        hook = json.loads(captured("django", f"{number}-").body)
        record = {**hook["object"], "sections": ["world"]}
        fields = {"id": record["id"]} if hook["topic"].endswith("/delete") else record
        sqlite_desk.post(article(fields, f"2026-11-28T17:08:{number}+00:00"))
    now_status, facts = held(sqlite_desk, "1")
    assert now_status == status
    if status == "usable":
        assert facts["content"]["headline"] == 'Harbour reopens: "calm" & safe 🚢'
        assert facts["content"]["body_text"] == "港口"


def test_a_record_of_django_that_is_to_appear_later_is_under_embargo(sqlite_desk: WebDesk) -> None:
    record = {**json.loads(captured("django", "02-").body)["object"], "sections": ["world"]}
    later = {**record, "publish_at": "2099-01-01T05:00:00+05:00"}
    sqlite_desk.post(snippet("django")(later, "2026-11-28T17:08:00+00:00"))
    assert held(sqlite_desk, "1")[1]["embargo_until"] == "2099-01-01T00:00:00Z"
