"""The commands about sources: what an adapter needs, settings, held hooks, retry, and the comparison."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from service import settings, times
from service.cli import main, source_work
from service.intake.adapters.adapter import HookRequest
from service.intake.hook_intake import HookIntake
from service.intake.story_intake import StoryIntake
from service.runtime import key_files
from service.store.articles import hooks, sources, standings
from service.store.database.record import Record, open_record
from tests import paper_system
from tests.paper_server import Paper
from tests.paper_system import PAPER, PAPER_TOKEN, a_story


@dataclass(frozen=True)
class Output:
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


Run = Callable[..., Output]


@pytest.fixture
def dateline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `dateline WORDS` on a desk of its own, with the section world and without Redis."""
    for name in list(os.environ):
        if name.startswith("DATELINE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATELINE_DATA_DIR", str(tmp_path / "desk"))
    monkeypatch.setenv("DATELINE_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("DATELINE_ALLOW_NETWORKS", "127.0.0.0/8")
    paper_system.install(monkeypatch)

    def run(*words: str) -> Output:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main(words)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Output(int(ended.value.code or 0), out, err)

    run("section", "add", "world", "--title", "World")
    return run


@pytest.fixture
def desk_record(dateline: Run) -> Iterator[Record]:
    """The record of the commands' desk."""
    loaded = key_files.ensure_keys(settings.load())
    record = open_record(loaded.database_url, loaded.secret_key)
    yield record
    record.close()


ADD = ("source", "add", "paper", "--adapter", "paper", "--base-url", "https://paper.example")


def receive(record: Record, hook: dict[str, Any]) -> hooks.HookResult:
    intake = HookIntake(StoryIntake(record, authority="news.example.org", clock=times.now))
    body = json.dumps(hook).encode()
    return intake.receive(
        sources.by_slug(record, "paper"), PAPER, HookRequest("POST", "/v1/hooks/paper", {}, body), []
    )[1]


def test_the_adapters_are_listed_with_what_each_needs(dateline: Run) -> None:
    listed = {each["adapter"]: each for each in dateline("source", "adapters", "--json").json["adapters"]}
    assert listed["native"]["needs"] == []
    assert listed["paper"] == {
        "adapter": "paper",
        "title": "Paper",
        "needs": ["secret", "base-url", "api-token"],
        "wants": [],
        "compares": True,
    }
    assert "needs: secret, base-url, api-token" in dateline("source", "adapters").out


def test_a_source_says_what_its_adapter_still_needs(dateline: Run) -> None:
    wrong = dateline(*ADD)
    assert wrong.status == 2
    assert "--api-token" in wrong.err
    assert "--base-url" not in wrong.err


def test_a_source_prints_what_to_paste_where_in_its_system(dateline: Run) -> None:
    added = dateline(*ADD, "--api-token", PAPER_TOKEN, "--secret", "a secret of Paper's own", "--json").json
    assert added["intake_url"].endswith("/v1/hooks/paper")
    assert added["secret"] == "a secret of Paper's own"
    assert added["setup"] == (
        f"In Paper, under Webhooks, paste {added['intake_url']} and the secret a secret of Paper's own."
    )


def test_the_settings_of_a_source_are_changed_one_by_one_and_shown_without_the_token(dateline: Run) -> None:
    dateline(*ADD, "--api-token", PAPER_TOKEN)
    changed = dateline(
        "source", "set", "paper", "--map", "Wirtschaft=business", "--map", "Front=", "--default-section", "world",
        "--unknown-sections", "hold", "--language", "de", "--field", "body_html=/body:markdown",
        "--takedown-limit", "5", "--json",
    ).json["changed"]  # fmt: skip
    assert changed["section_map"] == {"Wirtschaft": "business", "Front": ""}
    shown = dateline("source", "show", "paper", "--json").json
    assert shown["settings"]["fields"] == {"body_html": ["/body", "markdown"]}
    assert shown["settings"]["api_token"] == "set"
    assert PAPER_TOKEN not in dateline("source", "show", "paper").out
    dateline("source", "set", "paper", "--unmap", "Front", "--default-section", "")
    shown = dateline("source", "show", "paper", "--json").json["settings"]
    assert shown["section_map"] == {"Wirtschaft": "business"}
    assert shown["default_section"] is None


MISTAKES = (
    (("--map", "nothing"), "THEIRS=OURS"),
    (("--field", "body_html"), "NAME=/pointer"),
    (("--field", "colour=/x"), "no field of an article"),
    (("--field", "body_html=/x:docx"), "no converter; they are html, text, markdown"),
    (("--base-url", "ftp://x"), "not a web address"),
    (("--base-url", "https://10.0.0.1"), "DATELINE_ALLOW_NETWORKS"),
    ((), "say what to change"),
)


def test_mistakes_about_settings_are_named_in_words(dateline: Run) -> None:
    dateline(*ADD, "--api-token", PAPER_TOKEN)
    for words, told in MISTAKES:
        wrong = dateline("source", "set", "paper", *words)
        assert wrong.status in (1, 2)
        assert told in wrong.err


def test_a_held_hook_is_shown_and_goes_through_once_its_section_is_there(
    dateline: Run, desk_record: Record
) -> None:
    dateline(*ADD, "--api-token", PAPER_TOKEN)
    assert "Nothing of paper is held" in dateline("source", "held", "paper").out
    receive(desk_record, {"stories": [a_story(sections=["sport"])]})
    [held] = dateline("source", "held", "paper", "--json").json["held"]
    assert "sport" in held["why"]
    one = dateline("source", "held", "paper", "--id", str(held["id"]))
    assert '"sport"' in one.out
    again = dateline("source", "retry", "paper")
    assert (again.status, "held" in again.out) == (1, True)
    dateline("source", "set", "paper", "--map", "sport=world")
    done = dateline("source", "retry", "paper", "--id", str(held["id"]), "--json")
    assert done.status == 0
    assert done.json["hooks"][0]["outcome"] == "accepted"
    assert dateline("source", "held", "paper", "--json").json["held"] == []
    assert dateline("source", "retry", "paper", "--id", "77").status == 1


def test_more_held_hooks_than_are_claimed_at_once_are_tried_again_each_once(
    dateline: Run, desk_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "CLAIMED_HELD", 2)
    dateline(*ADD, "--api-token", PAPER_TOKEN)
    for number in range(5):
        receive(desk_record, {"stories": [a_story(id=str(number), sections=[f"sport-{number % 2}"])]})
    dateline("source", "set", "paper", "--map", "sport-0=world")
    tried = dateline("source", "retry", "paper", "--json").json["hooks"]
    assert [each["outcome"] for each in tried] == ["accepted", "held", "accepted", "held", "accepted"]
    assert dateline("source", "held", "paper", "--json").json["held_count"] == 2


@pytest.mark.parametrize("number", ["0", "-1", "9" * 25])
def test_a_number_that_no_hook_has_tries_none_again(dateline: Run, desk_record: Record, number: str) -> None:
    dateline(*ADD, "--api-token", PAPER_TOKEN)
    receive(desk_record, {"stories": [a_story(sections=["sport"])]})
    for command in ("retry", "held"):
        refused = dateline("source", command, "paper", "--id", number)
        assert (refused.status, "there is no held hook" in refused.err) == (1, True)


def test_a_held_hook_beyond_those_that_are_listed_is_shown_by_its_number(
    dateline: Run, desk_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_work, "HELD_SHOWN", 2)
    dateline(*ADD, "--api-token", PAPER_TOKEN)
    for number in range(3):
        receive(desk_record, {"stories": [a_story(id=str(number), sections=[f"sport-{number}"])]})
    listed = dateline("source", "held", "paper")
    assert "the 2 oldest of 3" in listed.out
    last = max(each.claim.id for each in hooks.held(desk_record, "paper"))
    assert '"sport-2"' in dateline("source", "held", "paper", "--id", str(last)).out


def test_words_of_a_system_are_printed_without_what_moves_the_cursor(
    dateline: Run, desk_record: Record
) -> None:
    dateline(*ADD, "--api-token", PAPER_TOKEN)
    receive(desk_record, {"stories": [a_story(sections=["\x9b2Jsport"])]})
    [held] = dateline("source", "held", "paper", "--json").json["held"]
    for words in (
        dateline("source", "held", "paper").out,
        dateline("source", "held", "paper", "--id", str(held["id"])).out,
        dateline("source", "retry", "paper").out,
    ):
        assert "sport" in words
        assert words.replace("\n", "").isprintable()


def test_a_source_of_our_own_json_cannot_be_compared(dateline: Run) -> None:
    dateline("source", "add", "wire")
    assert "cannot compare" in dateline("source", "sync", "wire").err


def test_rotating_takes_the_secret_that_the_system_gave(dateline: Run) -> None:
    dateline(*ADD, "--api-token", PAPER_TOKEN)
    rotated = dateline("source", "rotate", "paper", "--secret", "another of Paper's", "--json").json
    assert rotated["secret"] == "another of Paper's"


def test_a_comparison_runs_in_a_process_of_its_own_and_says_what_it_did(
    dateline: Run, desk_record: Record, paper: Paper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dateline(
        "source", "add", "paper", "--adapter", "paper", "--base-url", paper.url, "--api-token", PAPER_TOKEN
    )
    paper.publish("7", at=times.to_iso(times.now()))
    # The process must know Paper too: a start of Python that registers it before anything else.
    start = tmp_path / "sitecustomize.py"
    start.write_text(
        "from service.intake.adapters import registry\n"
        "from tests.paper_system import PAPER\n"
        "registry.ADAPTERS['paper'] = PAPER\n"
    )
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    told = dateline("source", "sync", "paper", "--dry-run", "--json")
    assert [(each["id"], each["does"]) for each in told.json["stories"]] == [("7", "publish")]
    source = sources.by_slug(desk_record, "paper")
    assert standings.standings(desk_record, source.id, times.now()) == []
    assert "1 changed" in dateline("source", "sync", "paper").out
    [story] = standings.standings(desk_record, source.id, times.now())
    assert (story.external_id, story.status) == ("7", "usable")
    paper.fails = 500
    failed = dateline("source", "sync", "paper")
    assert failed.status == 1
    assert "500" in failed.out


def test_an_adapter_that_is_not_in_this_version_is_named(
    dateline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dateline("source", "add", "x", "--adapter", "frobnicate")
    assert wrong.status == 2
    assert "it has: native, " in wrong.err
    assert ", paper" in wrong.err
    paper_system.install(monkeypatch, replace(PAPER, needs=("field",)))
    assert "--field" in dateline("source", "add", "y", "--adapter", "paper").err
