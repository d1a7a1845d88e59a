"""Content systems' requests as they were captured (tests/captures), and an adapter's reading of them in a few words."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from service.intake.adapters.adapter import (
    Adapter,
    Event,
    Gone,
    Hint,
    HookRequest,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.hook_reading import settings_of
from service.intake.section_map import KnownSections
from service.intake.story_intake import StorySource, Unusable, read_story
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import Source

CAPTURES = Path(__file__).parent / "captures"


def captured(system: str, name: str) -> HookRequest:
    """The request in a file, by its name or the number that it begins with."""
    return _request(next(CAPTURES.joinpath(system).glob(f"{name}*.json")))


def all_captured(system: str) -> dict[str, HookRequest]:
    """Every request of a system, by the number of its file."""
    files = CAPTURES.joinpath(system).glob("*.json")
    return {each.name.partition("-")[0]: _request(each) for each in files}


def _request(file: Path) -> HookRequest:
    facts = json.loads(file.read_text(encoding="utf-8"))
    body = base64.b64decode(facts["body_base64"]) if "body_base64" in facts else facts["body"].encode()
    headers = {name.lower(): value for name, value in facts["headers"]}
    return HookRequest(facts["method"], facts["path"], headers, body)


@dataclass(frozen=True)
class CaptureOutcome:
    """The outcome of a captured request: `kind` is story, gone, held, hint, bell (a sweep) or ignored.

    Of a story: the desk's sections for it, and how its text begins.
    """

    kind: str
    id: str = ""
    sections: tuple[str, ...] = ()
    text: str = ""


def outcomes(
    adapter: Adapter, request: HookRequest, known: KnownSections, **options: Any
) -> list[CaptureOutcome]:
    """The outcomes of a request's events on a desk that has these sections."""
    chosen = SourceOptions(**options)
    events = adapter.read(request, settings_of(chosen))
    source = Source(1, "cms", "CMS", adapter.name, key_id="", key_hash="", secret="")
    return [_outcome(each, StorySource(source, chosen, known)) for each in events]


def _outcome(event: Event, of: StorySource) -> CaptureOutcome:
    match event:
        case StoryRead():
            try:
                posted = read_story(event.fields, of).posted
            except Unusable:
                return CaptureOutcome("held", str(event.fields["id"]))
            assert posted.content is not None
            return CaptureOutcome("story", posted.external_id, posted.sections, posted.content["body_text"])
        case Gone():
            return CaptureOutcome("gone", event.id)
        case Hint():
            return CaptureOutcome("bell" if event.sweep else "hint", " ".join(event.ids))
        case _:
            return CaptureOutcome("ignored")


def agrees(found: CaptureOutcome, wanted: CaptureOutcome) -> bool:
    """Whether a capture has the outcome that is written down for it; of a text, its first words are."""
    return found.text.startswith(wanted.text) and replace(found, text=wanted.text) == wanted


def any_json() -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )


@st.composite
def spoiled(draw: st.DrawFn, values: Sequence[Any]) -> Any:
    """One of the values with something else in one of its places, or something else altogether."""
    value = copy.deepcopy(draw(st.sampled_from(list(values))))
    at = value
    for _ in range(draw(st.integers(0, 5))):
        steps = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
        if not steps:
            break
        step = draw(st.sampled_from(steps))
        if draw(st.booleans()) or not isinstance(at[step], dict | list):
            at[step] = draw(any_json())
            return value
        at = at[step]
    return value if draw(st.booleans()) else draw(any_json())


def reads_or_says_why(adapter: Adapter, request: HookRequest, value: Any) -> None:
    """An adapter reads any JSON that comes, or says why not; nothing else is raised."""
    try:
        body = json.dumps(value).encode()
        for base_url in ("", "https://cms.example"):
            events = adapter.read(replace(request, body=body), SourceSettings(base_url=base_url))
            for each in events:
                assert isinstance(each, Event)
                assert not isinstance(each, Gone) or isinstance(each.id, str)
    except Unreadable:
        pass


def with_one_letter_changed(text: str) -> str:
    """Another text: its middle letter is another one."""
    middle = len(text) // 2
    return text[:middle] + ("a" if text[middle] != "a" else "b") + text[middle + 1 :]
