from __future__ import annotations

import errno
import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from service import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize("json", [True, False])
def test_traceback_shows_no_values_of_variables(json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", json=json)
    embargoed_headline = "Minister to resign " + "tomorrow"
    try:
        int(f"{len(embargoed_headline)} words")
    except ValueError:
        logs.get("test").exception("request.failed")
    told = capsys.readouterr().err
    assert "ValueError" in told
    assert "Minister to resign tomorrow" not in told


@pytest.mark.parametrize("name", ["api_key", "webhook_signature", "request_body", "operator_token"])
def test_what_must_not_be_seen_is_hidden(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", json=True)
    logs.get("test").info("event.accepted", **{name: "do-not-show"})
    assert "do-not-show" not in capsys.readouterr().err


def test_a_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.configure("info", json=True)
    tried = []

    class FullDisk(io.StringIO):
        def flush(self) -> None:
            tried.append(self.getvalue())
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sys.stderr", FullDisk())
    logs.get("test").warning("record.unavailable")
    assert len(tried) == 1
