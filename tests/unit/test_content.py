from __future__ import annotations

from typing import Any

import pytest

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
