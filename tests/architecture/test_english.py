"""Docstrings and tests' names are sentences in the usual order: subject, verb, object."""

from __future__ import annotations

import ast
import re

from tests.architecture.sources import ALL, docstrings, modules, name_of, tree

INVERTED = re.compile(r"(what|who|whose|whom|whoever|whatever|whichever)\b", re.IGNORECASE)


def test_docstrings_begin_with_their_subject() -> None:
    found = {
        f"{name_of(path)}: {name}: {text.splitlines()[0]}"
        for path in modules(*ALL)
        for name, text in docstrings(path)
        if INVERTED.match(text)
    }
    assert found == set()


def test_names_of_tests_begin_with_their_subject() -> None:
    found = {
        f"{name_of(path)}: {node.name}"
        for path in modules("tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef)
        and INVERTED.match(node.name.removeprefix("test_").replace("_", " "))
        if node.name.startswith("test_")
    }
    assert found == set()
