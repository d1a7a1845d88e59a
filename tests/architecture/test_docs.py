"""README and docs/ are true: links lead somewhere, commands parse; files, routes, metrics, fields and words exist."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException

from service import app, settings
from service.cli.main import dateline
from service.console import status_json
from service.console import words as wording
from service.http import problems
from service.intake.adapters import native
from service.intake.article import Article
from service.store import notices
from service.store.database.record import Record
from service.store.views import partners, pipeline
from service.store.views.events import latest_events
from tests import seeded
from tests.architecture.sources import subcommands

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TOKEN = "operator-operator-operator"

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
ROUTE = re.compile(r"(?<![\w./-])/(?:v1|feeds|status|healthz|readyz|metrics|docs|openapi)\b[\w./-]*")
FILE = re.compile(r"(?<![\w/])(?:service|workers|feeds|bench|tests)/[\w./-]*\.py\b")
METRIC = re.compile(r"\bdateline_[a-z_]+\b")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def code_of(page: Path) -> Iterator[str]:
    """Every line of the shell blocks, and every piece of code within a sentence."""
    text = text_of(page)
    for language, block in FENCE.findall(text):
        if language in {"", "sh"}:
            yield from block.replace("\\\n", " ").splitlines()
    yield from CODE.findall(FENCE.sub("", text))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = set(FILE.findall(text_of(page)))
    assert [name for name in named if not (ROOT / name).is_file()] == []


def commands() -> list[tuple[str, str]]:
    """(page, command line) of every command shown: `dateline …` without a pipe, a redirection or a comment."""
    found = []
    for page in PAGES:
        for line in code_of(page):
            shown = re.search(r"(?:^|[\s/])dateline ((?:-h\b|--\w|[a-z]).*)", line.partition(" #")[0])
            if shown and not re.match(r"\w+:|docker (?:build|run)\b", line):
                found.append((name_of(page), re.split(r"\s[&|>;]|, ", shown[1])[0].strip()))
    return found


def parse(words: list[str], *, whole: bool = False) -> None:
    """Parses the words as click does, and runs nothing. A placeholder in capitals stands for any value.

    Without `whole` a command may be only named, as in "see `dateline replay`".
    """
    command: click.Command = dateline
    context: click.Context | None = None
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        context = click.Context(command, parent=context, info_name=words[0])
        _, command, words = command.resolve_command(context, words)  # type: ignore[assignment]
    with click.Context(command, parent=context, info_name=command.name) as inner:
        if not words and not whole:
            return
        command.parse_args(inner, list(words))


def test_every_command_shown_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("story.json").write_text("{}")
    Path("FILE").write_text("{}")
    assert len(commands()) > 60
    wrong = []
    for page, line in commands():
        words = [word for word in shlex.split(line.replace("ID", "1")) if word not in {"…", "&"}]
        try:
            parse(words)
        except click.exceptions.Exit:
            pass  # --help, --version
        except click.ClickException as error:
            wrong.append(f"{page}: dateline {line}: {error.format_message()}")
    assert wrong == []


def test_every_command_is_explained_to_operators() -> None:
    shown = text_of(ROOT / "docs" / "operations.md")
    for path in leaves(dateline):
        assert f"| `dateline {' '.join(path)}" in shown, path


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    for name, child in subcommands(command).items():
        yield from leaves(child, (*path, name))


@pytest.fixture
def desk(sqlite_record: Record, tmp_path: Path) -> Flask:
    chosen = settings.load(env_file=None, data_dir=tmp_path, operator_token=TOKEN, secret_key="A" * 43 + "=")
    return app.create_app(chosen, sqlite_record, lambda: None)


@pytest.fixture
def client(desk: Flask) -> FlaskClient:
    return desk.test_client()


def test_every_route_shown_exists(desk: Flask) -> None:
    adapter = desk.url_map.bind("localhost")
    wrong = []
    for page in PAGES:
        for route in set(ROUTE.findall(" ".join(code_of(page)) + text_of(page))):
            path = route.rstrip(".")
            if not any(known(adapter, path, method) for method in ("GET", "POST")):
                wrong.append(f"{name_of(page)}: {path}")
    assert wrong == []


def known(adapter: Any, path: str, method: str) -> bool:
    if path.endswith("/"):
        return any(str(rule).startswith(path) for rule in adapter.map.iter_rules())
    try:
        adapter.match(path, method=method)
    except HTTPException:
        return False
    return True


def json_blocks() -> list[dict[str, Any]]:
    blocks = [json.loads(block) for language, block in FENCE.findall(text_of(API)) if language == "json"]
    posted = re.findall(r"-d '\s*(\{.*?\})'", text_of(API), re.DOTALL)
    return [*blocks, *map(json.loads, posted)]


API = ROOT / "docs" / "api.md"
OPERATIONS = ROOT / "docs" / "operations.md"


def test_every_article_shown_is_accepted_without_a_warning() -> None:
    articles = [block for block in json_blocks() if "id" in block]
    assert len(articles) >= 6
    for each in articles:
        assert native.read(json.dumps(each).encode()).warnings == ()


def test_example_of_an_article_has_every_field_that_is_content() -> None:
    shown = {name for block in json_blocks() if "id" in block for name in block}
    assert set(Article.model_fields) - shown == {"reason", "ednote"}


def rows(page: Path) -> dict[str, str]:
    """The rows of a page's tables, by the first piece of code in each."""
    return {
        first: line for line in text_of(page).splitlines() for first in re.findall(r"^\| `([^`]+)`", line)
    }


def test_every_field_of_an_article_is_explained_with_its_limit() -> None:
    table: dict[str, str] = {}
    for row in re.findall(r"^\| `.*", text_of(API), re.MULTILINE):
        for name in re.findall(r"`(\w+)`", row.split("|")[1]):
            table.setdefault(name, row)
    for name, field in Article.model_json_schema()["properties"].items():
        assert name in table, name
        assert field["description"], name
        for kind in (field, *field.get("anyOf", ())):
            if most := kind.get("maxLength", kind.get("maxItems")):
                assert f"{most:,}" in table[name], name


def test_every_refusal_is_explained() -> None:
    for code, kind, _ in problems.PROBLEMS:
        assert re.search(rf"^\| {code} \| `{kind}` \|", text_of(API), re.MULTILINE), (code, kind)


def test_every_event_outcome_and_status_is_named_to_developers() -> None:
    for word in (*wording.EVENT_WORDS, *wording.STATUS_WORDS, "accepted", "repeat", "stale"):
        assert re.search(rf"[`\"]{word}\b", text_of(API)), word


def test_metrics_shown_are_those_there_are(client: FlaskClient) -> None:
    exposed = set(
        re.findall(
            r"^# TYPE (\w+)",
            client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text,
            re.MULTILINE,
        )
    )
    assert set(METRIC.findall(text_of(OPERATIONS))) == exposed


def test_every_state_word_of_the_pages_is_explained() -> None:
    shown = text_of(OPERATIONS)
    words = [word.word for table in (wording.DELIVERY_WORDS, wording.STATUS_WORDS) for word in table.values()]
    words += [*wording.EVENT_WORDS.values(), wording.SCHEDULED.word, *desk_words()]
    assert len(words) > 35
    assert [word for word in words if word not in shown] == []


def desk_words() -> list[str]:
    """The words of `service/console/words_desk.py`: the third part of each Word, without its figures."""
    found = []
    for node in ast.walk(ast.parse((ROOT / "service" / "console" / "words_desk.py").read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Word":
            for part in ast.walk(node.args[2]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.strip(" ,"):
                    found.append(part.value.removeprefix(" of ").strip())
    return [word for word in found if word not in {",", "for"}]


def test_every_check_is_named_to_operators(client: FlaskClient) -> None:
    shown = text_of(OPERATIONS)
    (doctor,) = [line for line in shown.splitlines() if line.startswith("| `dateline doctor` ")]
    names = {
        str(node.args[0].value)
        for module in ("checks.py", "record_checks.py")
        for node in ast.walk(ast.parse((ROOT / "service" / "cli" / module).read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
        if isinstance(node.args[0], ast.Constant)
    }
    assert len(names) >= 12
    assert [name for name in names if name not in doctor] == []
    for check in client.get("/readyz").json["checks"]:  # type: ignore[index]
        assert f"`{check['check']}`" in rows(OPERATIONS)["/readyz"]


def test_every_key_of_the_status_as_json_is_explained(sqlite_record: Record) -> None:
    seeded.a_desk_at_work(sqlite_record, NOW)
    facts = status_json.facts(
        partners.partners_now(sqlite_record, NOW),
        pipeline.pipeline_now(sqlite_record),
        latest_events(sqlite_record, NOW),
        notices.latest(sqlite_record),
        NOW,
    )
    section = text_of(OPERATIONS).partition("### Status as JSON")[2].partition("### ")[0]
    events = [{**each, "deliveries": None} for each in facts["events"]]  # their keys are states
    assert [key for key in keys({**facts, "events": events}) if f"`{key}`" not in section] == []


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield name
            yield from keys(part)
    elif isinstance(value, list):
        for part in value:
            yield from keys(part)


def test_every_event_of_the_logs_is_explained() -> None:
    code = "\n".join(
        path.read_text() for part in ("service", "workers") for path in (ROOT / part).rglob("*.py")
    )
    logged = set(
        re.findall(
            r'\b(?:log\.(?:info|warning|error|exception)\(|info_each\(log,)\s*"([a-z_]+\.[a-z_]+)"', code
        )
    )
    assert len(logged) > 8
    shown = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", text_of(OPERATIONS).partition("### Logs")[2]))
    assert logged == shown
