"""A source that posts Dateline's own JSON may have a map of its sections too."""

from __future__ import annotations

from typing import Any

from service import times
from service.store import operations
from service.store.articles.source_settings import SourceOptions
from service.store.operations.sources import SourceChange
from tests.web import OPERATOR, WebDesk, pointers, the_article, the_problem


def give(desk: WebDesk, **options: Any) -> None:
    change = SourceChange(lambda _: SourceOptions(**options))
    operations.change_source(desk.record, desk.wire.slug, change, actor="operator", now=times.now())


def sections_of(desk: WebDesk, answer: Any) -> list[str]:
    assert answer.status_code == 202, answer.text
    content: dict[str, Any] = desk.get(f"/v1/articles/{answer.json['article']}", OPERATOR).json["content"]
    return list(content["sections"])


def test_a_mapped_section_is_ours(desk: WebDesk) -> None:
    give(desk, section_map={"Wirtschaft": "business"})
    answer = desk.post(the_article(sections=["Wirtschaft", "World"]))
    assert sections_of(desk, answer) == ["business", "world"]
    assert "warnings" not in answer.json


def test_an_unknown_section_among_known_ones_is_a_warning(desk: WebDesk) -> None:
    give(desk, language="en")
    answer = desk.post(the_article(sections=["sport", "world"]))
    assert sections_of(desk, answer) == ["world"]
    assert [each["pointer"] for each in answer.json["warnings"]] == ["/sections/0"]


def test_a_source_that_holds_unknown_sections_is_refused_with_their_places(desk: WebDesk) -> None:
    give(desk, unknown_sections="hold")
    problem = the_problem(desk.post(the_article(sections=["world", "sport"])), 422)
    assert pointers(problem) == ["/sections/1"]


def test_the_default_section_takes_a_story_that_has_no_other(desk: WebDesk) -> None:
    give(desk, default_section="world")
    assert sections_of(desk, desk.post(the_article(sections=["sport"]))) == ["world"]


def test_a_takedown_with_unknown_sections_takes_the_story_down(desk: WebDesk) -> None:
    give(desk, unknown_sections="hold")
    assert desk.post().status_code == 202
    answer = desk.post(the_article(status="killed", sections=["renamed since"]))
    assert answer.json["type"] == "article.killed"
    assert answer.json["warnings"]
