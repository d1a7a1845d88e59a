"""Names say what a thing is, by the field's own word, and each name means one thing."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from tests.architecture.sources import ALL, PRODUCT, ROOT, classes, constants, modules, name_of, words_of

METAPHORS = {
    "agenda", "bell", "cabinet", "courier", "door", "errand", "errands", "front", "gate", "hands", "herald", "letter",
    "letters", "lookout", "manners", "press", "pulse", "shelf", "tenure", "tray",
}  # fmt: skip
REGULAR = re.compile(r"[A-Z][a-z]*[^e]ed")  # one word alone: `NotModified` is HTTP's
IRREGULAR = {
    "Begun", "Done", "Found", "Given", "Gone", "Held", "Hidden", "Kept", "Known", "Laid", "Left", "Lost", "Made", "Put",
    "Said", "Seen", "Sent", "Shown", "Taken", "Told", "Written",
}  # fmt: skip
NOUNS = {"Gone", "Queued"}  # a story that is gone from its system; an entry of the send queue


def test_every_class_name_is_of_one_class() -> None:
    files = defaultdict(list)
    for each in classes(*ALL):
        files[each.name].append(each.file)
    twice = {name: where for name, where in files.items() if len(where) > 1}
    assert twice == {}


def test_every_public_constant_has_one_meaning() -> None:
    """A private one is seen by its own module alone, so two modules may each have theirs."""
    files = defaultdict(list)
    for path in modules(*PRODUCT):
        for name in set(constants(path)):
            files[name].append(name_of(path))
    twice = {name: where for name, where in files.items() if len(where) > 1 and not name.startswith("_")}
    adapters = twice.pop("ADAPTER", [])  # each system's own, which the registry lists
    assert all(each.startswith("service/intake/adapters/") for each in adapters)
    assert twice == {}


def test_no_module_is_named_by_a_metaphor() -> None:
    assert [name_of(path) for path in modules(*PRODUCT) if words_of(path.stem) & METAPHORS] == []


def test_no_class_is_named_by_a_metaphor() -> None:
    """A bare `Desk` does not say which: the running one, the web's, the benchmark's."""
    named = {each.name for each in classes(*ALL) if each.name == "Desk" or words_of(each.name) & METAPHORS}
    assert named == set()


def test_no_event_of_the_logs_is_named_by_a_metaphor() -> None:
    found = set()
    for path in modules("service", "workers"):
        found |= set(re.findall(r'"([a-z_]+\.[a-z_]+)"', path.read_text(encoding="utf-8")))
    assert {each for each in found if words_of(each) & METAPHORS} == set()


def test_no_process_is_named_by_a_metaphor() -> None:
    names = re.findall(r"^(\w+):", (ROOT / "Procfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) >= 5
    assert [name for name in names if words_of(name) & METAPHORS] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SendQueue", {"send", "queue"}),
        ("_URLReader", {"url", "reader"}),
        ("x.record_back", {"x", "record", "back"}),
    ],
)
def test_a_name_is_read_word_by_word(name: str, words: set[str]) -> None:
    assert words_of(name) == words


def test_no_class_is_a_participle() -> None:
    """Errors are: `Refused` says what happened, which reads best where it is caught."""
    named = {each.name for each in classes(*ALL) if not each.is_error and is_participle(each.name)}
    assert named == set()


def is_participle(name: str) -> bool:
    return name not in NOUNS and (name in IRREGULAR or re.fullmatch(REGULAR, name) is not None)
