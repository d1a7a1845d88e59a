"""The sections of a system's stories become the desk's own: by the map, by name or title, or by the source's rule."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pytest

from service.intake.section_map import KnownSections, MappedSections, SectionNames, map_sections
from service.store.articles.source_settings import SourceOptions

KNOWN = KnownSections.of(
    {
        "world": ("world", "World"),
        "china": ("china", "中国"),
        "foreign": ("world", "World"),
        "中文": ("中文", "Chinese"),
        "ελλάδα": ("ελλάδα", "Greece"),
        "money": ("money", "100%"),
    }
)


def mapped(theirs: Sequence[SectionNames], **options: object) -> MappedSections:
    return map_sections(theirs, SourceOptions(**options), KNOWN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (["world"], ("world",)),
        (["World", " china "], ("world", "china")),
        (["中国"], ("china",)),
        (["中文"], ("中文",)),
        (["foreign"], ("foreign",)),
        (["CHINESE"], ("中文",)),
        (["%e4%b8%ad%e6%96%87"], ("中文",)),
        (["ΕΛΛΆΔΑ", unicodedata.normalize("NFD", "Ελλάδα")], ("ελλάδα",)),
        (["100%"], ("money",)),
        (["world", "World"], ("world",)),
    ],
)
def test_a_section_is_found_by_its_slug_a_former_one_or_its_title(
    theirs: list[str], ours: tuple[str, ...]
) -> None:
    assert mapped(theirs) == MappedSections(ours)


def test_the_map_comes_before_names_in_any_case_and_script() -> None:
    found = mapped(
        ["Ausland", "世界", "world"], section_map={"ausland": "world", "世界": "World", "world": "china"}
    )
    assert found == MappedSections(("world", "china"))


def test_a_section_that_is_mapped_to_nothing_is_left_out_without_a_warning() -> None:
    assert mapped(["Front page", "world"], section_map={"Front page": ""}) == MappedSections(("world",))


def test_an_unknown_section_among_known_ones_is_left_out_with_a_warning() -> None:
    found = mapped(["world", "sport"])
    assert found.sections == ("world",)
    [(place, words)] = found.warnings
    assert place == 1
    assert "sport" in words


def test_a_source_may_hold_every_story_with_an_unknown_section() -> None:
    found = mapped(["world", "sport"], unknown_sections="hold")
    assert found.refused == ("sport",)
    assert "dateline section add" in str(found.refusal)


def test_a_story_with_no_known_section_gets_the_default_one() -> None:
    found = mapped(["sport"], default_section="world")
    assert found.sections == ("world",)
    assert found.refusal is None
    assert found.warnings


def test_a_section_is_found_by_any_of_its_names_and_by_the_map_first() -> None:
    assert mapped([["World", "welt"]]).sections == ("world",)
    assert mapped([["Welt", "world"]]).sections == ("world",)
    assert mapped([["World", "welt"]], section_map={"welt": "china"}).sections == ("china",)
    left_out = mapped([["World", "welt"]], section_map={"Welt": ""}, default_section="china")
    assert left_out.sections == ("china",)
    assert mapped([[], ["Sport", "sport-1"], "world"]).warnings == (
        (1, "there is no section 'Sport': it was left out"),
    )


def test_a_story_without_sections_gets_the_default_one() -> None:
    assert mapped([], default_section="World").sections == ("world",)


@pytest.mark.parametrize("theirs", [["sport", "\ud800"], []])
def test_a_story_with_no_known_section_and_no_default_waits(theirs: list[str]) -> None:
    found = mapped(theirs)
    assert found.sections == ()
    assert found.refusal
    found.refusal.encode()


def test_a_default_section_that_is_none_of_the_desk_is_said() -> None:
    assert "default section 'gone'" in str(mapped(["sport"], default_section="gone").refusal)
