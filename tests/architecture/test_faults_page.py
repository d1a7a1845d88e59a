"""docs/faults.md: every test that it names is there."""

from __future__ import annotations

import re

from tests.architecture.sources import ROOT

_PAGE = ROOT / "docs" / "faults.md"
_NAMED = re.compile(
    r"(?P<file>(?:unit|integration|contract|chaos|e2e|architecture)/test_\w+)?(?:::(?P<test>\w+))?"
)


def named_tests() -> list[tuple[str, str]]:
    """(file below tests/, function without `test_`; empty for the whole file) in the order of the page."""
    found = []
    for line in _PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| #"):
            file = ""
            for each in re.split(r"[,;] ", line.removesuffix(" |").rsplit(" | ", 1)[1]):
                match = _NAMED.fullmatch(each)
                if match and any(match.groups()):
                    file = match["file"] or file
                    found.append((file, match["test"] or ""))
                else:
                    assert each.startswith("bench `"), f"{each!r} names no test"
    return found


def test_every_test_that_the_page_of_faults_names_is_there() -> None:
    found = named_tests()
    assert len(found) > 150
    missing = []
    for file, name in found:
        path = ROOT / "tests" / f"{file}.py"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if not text or (name and f"\ndef test_{name}(" not in text):
            missing.append(f"{file}::{name}")
    assert missing == []
