"""The demo's words say where to look, and give no secret to a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.demo.newsroom import where_to_look
from service.settings import Settings

TOKEN = "a-token-that-no-log-may-have"


@pytest.mark.parametrize("in_a_file", [True, False])
def test_demo_writes_the_place_of_the_token_into_a_log_and_not_the_token(
    tmp_path: Path, in_a_file: bool
) -> None:
    if in_a_file:
        (tmp_path / "operator-token").write_text(TOKEN)
    words = "\n".join(where_to_look(Settings(operator_token=TOKEN, data_dir=tmp_path)))
    assert TOKEN not in words
    place = str(tmp_path / "operator-token") if in_a_file else "DATELINE_OPERATOR_TOKEN"
    assert f"log in with  {'the token in ' if in_a_file else ''}{place}" in words
