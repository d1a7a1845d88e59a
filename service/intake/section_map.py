"""The sections of a system's stories as the desk's own: by the source's map, by name, or by the source's rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from service.intake import text
from service.intake.adapters.native import Invalid, Reading
from service.intake.adapters.posted_fields import Note
from service.intake.article import TAKEDOWN_STATUSES
from service.store.articles.source_settings import HOLD, SourceOptions
from service.store.feeds import slugs

SectionNames = str | Sequence[str]
"""A section of theirs: its name, or all the names that it has there (its title, its slug)."""


@dataclass(frozen=True)
class KnownSections:
    """Every name of a section of the desk, its titles too, folded → a slug that it may be posted under."""

    slugs: frozenset[str]
    by_name: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, titles: Mapping[str, tuple[str, str]]) -> KnownSections:
        """From `sections.titles`. A slug comes before a title of the same words."""
        by_title = {slugs.fold(title): slug for slug, title in titles.values()}
        return cls(frozenset(titles), by_title | _folded(titles))

    @classmethod
    def of_slugs(cls, names: Iterable[str]) -> KnownSections:
        """Without titles: what a source names in Dateline's own JSON is a slug."""
        known = frozenset(names)
        return cls(known, _folded(known))


def _folded(names: Iterable[str]) -> dict[str, str]:
    return {slugs.fold(name): name for name in names}


@dataclass(frozen=True)
class MappedSections:
    """The sections of a story, a warning for each that was left out (by its place), and why it must wait."""

    sections: tuple[str, ...]
    warnings: tuple[tuple[int | None, str], ...] = ()
    refusal: str | None = None
    refused: tuple[str, ...] = ()


def map_sections(
    theirs: Sequence[SectionNames], options: SourceOptions, known: KnownSections
) -> MappedSections:
    """The desk's sections for the system's, in their order. Unknown ones are left out with a warning while some are
    known; with none the default section is taken, if there is one."""
    found: list[str] = []
    unknown: list[tuple[int, str]] = []
    for place, each in enumerate(theirs):
        its_names = [each] if isinstance(each, str) else list(each)
        if not its_names:
            continue
        ours = _ours(its_names, options.section_map, known)
        if ours is None:
            unknown.append((place, its_names[0]))
        elif ours and ours not in found:
            found.append(ours)
    names = tuple(name for _, name in unknown)
    if unknown and options.unknown_sections == HOLD:
        return MappedSections(tuple(found), (), _words(names), names)
    if not found and options.default_section:
        default = _ours([options.default_section], {}, known)
        if default is None:
            words = f"the source's default section {options.default_section!r} is no section of this desk"
            return MappedSections((), (), words, names)
        words = f"{_none_known(names)}: the source's default section {default!r} was taken"
        return MappedSections((default,), ((None, words),))
    if not found:
        return MappedSections((), (), _words(names), names)
    left_out = [(place, f"there is no section {_shown(name)!r}: it was left out") for place, name in unknown]
    return MappedSections(tuple(found), tuple(left_out))


def map_reading(reading: Reading, options: SourceOptions, known: KnownSections) -> Reading:
    """An article in Dateline's own JSON with its sections mapped. Raises Invalid, but never for a takedown: one whose
    sections nobody knows is taken without its content."""
    posted = reading.posted
    if posted.content is None:
        return reading
    mapped = map_sections(posted.sections, options, known)
    places = reading.section_places
    if mapped.refusal and posted.status in TAKEDOWN_STATUSES:
        note = Note("/sections", f"taken down without its content: {mapped.refusal}")
        return replace(
            reading, posted=replace(posted, content=None, sections=()), warnings=(*reading.warnings, note)
        )
    if mapped.refusal:
        at = [f"/sections/{places[each]}" for each in mapped.refused] or ["/sections"]
        raise Invalid(tuple(Note(each, mapped.refusal) for each in at))
    notes = [
        Note("/sections" if place is None else f"/sections/{places[posted.sections[place]]}", words)
        for place, words in mapped.warnings
    ]
    content = {**posted.content, "sections": list(mapped.sections)}
    return Reading(
        posted=replace(posted, content=content, sections=mapped.sections),
        warnings=(*reading.warnings, *notes),
        section_places=dict.fromkeys(mapped.sections, 0),
    )


def _ours(names: Sequence[str], section_map: Mapping[str, str], known: KnownSections) -> str | None:
    """Our section for the names of one of theirs; empty if the map leaves it out, None if nobody knows it. What the
    map says of any of the names comes before what the desk calls its own."""
    for name in names:
        if (mapped := _mapped(name, section_map)) is not None:
            return mapped and _known(mapped, known)
    found = (_known(name.strip(), known) for name in names)
    return next((each for each in found if each is not None), None)


def _mapped(name: str, section_map: Mapping[str, str]) -> str | None:
    bare = name.strip()
    mapped = section_map.get(name, section_map.get(bare))
    if mapped is None:
        folded = slugs.fold(bare)
        mapped = next((ours for theirs, ours in section_map.items() if slugs.fold(theirs) == folded), None)
    return mapped


def _known(wanted: str, known: KnownSections) -> str | None:
    """In any of its forms: decomposed, in capitals, or percent-encoded, as WordPress has a slug of another script."""
    if wanted in known.slugs:
        return wanted
    found = known.by_name.get(slugs.fold(wanted))
    return known.by_name.get(slugs.fold(unquote(wanted))) if found is None and "%" in wanted else found


def _none_known(names: Sequence[str]) -> str:
    return f"none of its sections is known here ({_list(names)})" if names else "it names no section"


def _words(names: Sequence[str]) -> str:
    if not names:
        return "it names no section; give the source one: dateline source set SLUG --default-section S"
    word = "section is" if len(names) == 1 else "sections are"
    return (
        f"no section here is its {_list(names)}: {len(names)} {word} unknown; add it (dateline section add),"
        " or map it (dateline source set SLUG --map THEIRS=OURS)"
    )


def _list(names: Iterable[str]) -> str:
    shown = [repr(_shown(each)) for each in names]
    more = len(shown) - 5
    return ", ".join(shown[:5]) + (f" and {more} more" if more > 0 else "")


def _shown(name: str) -> str:
    return text.shown(name)
