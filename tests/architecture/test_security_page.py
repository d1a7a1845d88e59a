"""docs/security.md is true: each test that it names is there, and SECURITY.md leads to it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def named_tests() -> list[tuple[str, str]]:
    return sorted(set(NAMED.findall(PAGE.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(("path", "test"), named_tests())
def test_each_test_that_the_page_names_is_there(path: str, test: str) -> None:
    functions = {
        node.name for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }  # fmt: skip
    assert not test or test in functions


def test_every_line_of_defence_names_a_test() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Stories before")[2].partition("## Not defended")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| defended")]
    assert len(rows) > 20
    assert [row for row in rows if "::test_" not in row] == []


def test_the_front_door_leads_to_the_page() -> None:
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "docs/security.md" in (ROOT / "README.md").read_text(encoding="utf-8")
