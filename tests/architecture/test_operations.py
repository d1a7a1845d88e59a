"""Every act of an operator is in one place, with its line in the audit; commands, API and pages call it there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service"
STORE = SERVICE / "store"

# Besides `operations`, which writes down what an operator did.
WRITE_THE_AUDIT = {
    "articles/accept.py": "a source posted what is older than the revision held: nobody did anything, it was refused",
    "deliveries/health.py": "an endpoint was switched off, or its circuit opened, by the deliveries themselves",
    "feeds/renewal.py": "all feeds are written in another style since a worker was started: no operator did that here",
}


def calls(file: Path, method: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
            yield node


def test_only_operations_write_into_the_audit() -> None:
    writers = {
        str(file.relative_to(STORE))
        for file in SERVICE.rglob("*.py")
        for call in calls(file, "note")
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "audit"
    }
    assert writers == {"operations/audit_line.py", *WRITE_THE_AUDIT}


@pytest.mark.parametrize("part", ["api", "cli", "console", "demo", "http", "intake", "serving", "webhooks"])
def test_no_part_outside_the_store_opens_a_writing_transaction(part: str) -> None:
    """Else an act could be done without its line in the audit: the modules of the nouns want a transaction."""
    writers = [str(file) for file in (SERVICE / part).rglob("*.py") if any(calls(file, "writing"))]
    assert writers == []


def test_every_operation_names_who_acts_and_when() -> None:
    public = [
        node
        for file in (STORE / "operations").glob("*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    lacking = {node.name for node in public if {"actor", "now"} - {each.arg for each in node.args.kwonlyargs}}
    assert len(public) > 15
    assert lacking == set()
