from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.content import canonical, glance, read


@pytest.mark.parametrize(
    "content", [{}, {"headline": "“Ärger” 🚢", "sections": ["world"], "n": [1, None, 0.5]}]
)
def test_a_glance_sees_what_reading_does(content: dict[str, Any]) -> None:
    assert glance(canonical(content)) == read(canonical(content)) == content


@pytest.mark.parametrize("odd", [2**70, float("inf")])
def test_a_glance_at_what_is_beyond_the_standard_fails_nothing(odd: float) -> None:
    content = {"headline": "Harbour reopens", "odd": odd}
    assert glance(canonical(content))["headline"] == "Harbour reopens"
    assert read(canonical(content)) == content


_TEXT = st.text(st.characters(exclude_categories=()))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
    max_leaves=12,
)


@given(st.dictionaries(_TEXT, _VALUES))
def test_a_story_has_the_fingerprint_that_every_version_before_gave_it(content: dict[str, Any]) -> None:
    assert canonical(content) == json.dumps(
        content, ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )


def test_every_character_is_written_as_every_version_before_wrote_it() -> None:
    every = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF)
    content = {"b": every, "\U0001f6a2": "the order of names", "\uffff": [], "a": 1}
    assert canonical(content) == json.dumps(
        content, ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
