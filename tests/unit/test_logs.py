from __future__ import annotations

import errno
import io
import json
import logging
from collections.abc import Iterator
from select import PIPE_BUF

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


@pytest.mark.parametrize("as_json", [True, False])
def test_traceback_shows_no_values_of_variables(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", json=as_json)
    embargoed_headline = "Minister to resign " + "tomorrow"
    try:
        int(f"{len(embargoed_headline)} words")
    except ValueError:
        logs.get("test").exception("request.failed")
    told = capsys.readouterr().err
    assert "ValueError" in told
    assert "Minister to resign tomorrow" not in told


@pytest.mark.parametrize("name", ["api_key", "webhook_signature", "request_body", "operator_token"])
def test_secrets_in_a_line_are_hidden(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", json=True)
    logs.get("test").info("event.accepted", **{name: "do-not-show"})
    assert "do-not-show" not in capsys.readouterr().err


def test_texts_of_others_move_no_cursor_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", json=False)
    logs.get("test").warning("hook.held", why="\x1b[2J\x9b31m", source="\u202epaper")
    line = capsys.readouterr().err
    assert "hook.held" in line
    assert line.rstrip("\n").isprintable()


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


@pytest.mark.parametrize("level", ["info", "warning"])
def test_lines_of_a_batch_are_the_same_as_lines_written_one_by_one(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(level, json=True)
    log = logs.get("test")
    rows = [{"delivery": "dlv_1", "token": "do-not-show"}, {"delivery": "dlv_2", "words": "answered 200 OK"}]
    logs.info_each(log, "delivery.attempted", rows)
    together = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for row in rows:
        log.info("delivery.attempted", **row)
    alone = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for line in (*together, *alone):
        assert line.pop("at").endswith("Z")
    assert together == alone
    assert len(alone) == (2 if level == "info" else 0)


def test_half_a_character_and_a_long_number_are_logged_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", json=True)
    logs.get("test").info("file.odd", name="caf\udce9", size=2**70)
    assert json.loads(capsys.readouterr().err)["size"] == 2**70


def test_lines_that_many_processes_write_to_one_pipe_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than PIPE_BUF bytes a pipe may let another process's line into the middle."""
    logs.configure("info", json=True)
    written: list[str] = []

    class Pipe(io.StringIO):
        def flush(self) -> None:
            written.append(self.getvalue())
            self.seek(0)
            self.truncate()

    monkeypatch.setattr("sys.stderr", Pipe())
    words = ["é" * length for length in (10, 300, 5_000, 1, 1, 700, 900, 1_200)] * 4
    logs.info_each(logs.get("test"), "delivery.attempted", ({"words": each} for each in words))
    assert [json.loads(line)["words"] for line in "".join(written).splitlines()] == words
    assert all(len(each.encode()) <= PIPE_BUF for each in written if each.count("\n") > 1)
    assert len(written) < len(words)


def test_a_loggers_own_facts_are_in_each_line_of_a_batch(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", json=True)
    log = logs.get("test").bind(desk="night")
    logs.info_each(log, "delivery.attempted", [{"delivery": "dlv_1"}])
    assert json.loads(capsys.readouterr().err)["desk"] == "night"


def test_a_logger_used_before_logs_are_configured_anew_follows_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = logs.get("test")
    logs.configure("info", json=False)
    log.info("worker.started")
    logs.configure("info", json=True)
    capsys.readouterr()
    log.info("worker.started")
    assert json.loads(capsys.readouterr().err)["event"] == "worker.started"
    with structlog.testing.capture_logs() as told:
        log.info("worker.ended")
    assert [line["event"] for line in told] == ["worker.ended"]


def test_lines_of_a_batch_are_written_without_configuration_too() -> None:
    with structlog.testing.capture_logs() as told:
        logs.info_each(logs.get("test"), "delivery.attempted", [{"delivery": "dlv_1"}, {"delivery": "dlv_2"}])
    assert [line["delivery"] for line in told] == ["dlv_1", "dlv_2"]
