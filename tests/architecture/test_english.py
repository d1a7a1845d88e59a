"""Docstrings are sentences in the usual order: subject, verb, object."""

from __future__ import annotations

import re

from tests.architecture.sources import ALL, docstrings, modules, name_of

INVERTED = re.compile(r"(what|who|whose|whom|whoever|whatever|whichever)\b", re.IGNORECASE)


def test_docstrings_begin_with_their_subject() -> None:
    found = {
        f"{name_of(path)}: {name}: {text.splitlines()[0]}"
        for path in modules(*ALL)
        for name, text in docstrings(path)
        if INVERTED.match(text)
    }
    assert found == set()
