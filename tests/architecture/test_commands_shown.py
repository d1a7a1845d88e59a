"""Every command that the pages, the doctor, notices and refusals show to operators is one that exists and parses."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.architecture.commands_shown import shown_commands
from tests.architecture.test_docs import parse


def test_every_command_shown_to_operators_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("{}")
    found = shown_commands()
    assert len(found) > 60
    wrong = []
    for file, words, to_run in found:
        try:
            parse(list(words), whole=to_run)
        except click.exceptions.Exit:
            pass
        except click.ClickException as error:
            wrong.append(f"{file}: dateline {' '.join(words)}: {error.format_message()}")
    assert wrong == []


def test_commands_are_found_in_each_place_that_shows_them() -> None:
    files = {each.file for each in shown_commands() if each.to_run}
    for part in (
        "service/templates/status/partner.html",
        "service/console/words_desk.py",
        "service/console/words_delivery.py",
        "service/console/probes.py",
        "service/cli/record_checks.py",
        "service/cli/endpoints.py",
        "service/store/deadlines.py",
        "service/store/migrations/__init__.py",
    ):
        assert part in files, part
