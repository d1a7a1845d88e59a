"""Procfile, compose file, Dockerfile, settings and their documentation agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from service.cli.main import dateline
from service.cli.up import processes
from service.runtime.celery_app import QUEUES, tasks_of
from service.settings import FEEDS_LISTEN, PREFIX, Settings
from tests.architecture.sources import subcommands

ROOT = Path(__file__).parents[2]
# Pages that show settings of programs that are not ours: of partners, and of sites that post to us.
OTHER_PROGRAMS = {"partners.md", "arcxp.md", "django.md", "wagtail.md", "wordpress-plugin.md"}
SETTING = re.compile(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b")
KNOWN = {PREFIX + name.upper() for name in Settings.model_fields}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(read("docker-compose.yml"))
    return loaded


def procfile() -> dict[str, list[str]]:
    lines = (line.partition(":") for line in read("Procfile").splitlines() if line.strip())
    return {name: command.split() for name, _, command in lines}


def commands() -> list[list[str]]:
    """Every `dateline` command that the deployment files run."""
    services = compose()["services"].values()
    run = [service["command"] for service in services if service.get("command", [""])[0] == "dateline"]
    baked = re.findall(r'^CMD \["dateline", "(\w+)"\]', read("Dockerfile"), re.MULTILINE)
    return [*procfile().values(), *run, *(["dateline", word] for word in baked)]


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    table = re.findall(rf"^\| `({PREFIX}[A-Z_]+)` \|", read("docs/configuration.md"), re.MULTILINE)
    assert set(table) == KNOWN
    assert len(table) == len(set(table))


@pytest.mark.parametrize("name", ["Dockerfile", "docker-compose.yml", "Procfile", "README.md", "Makefile"])
def test_file_names_no_setting_that_does_not_exist(name: str) -> None:
    assert set(SETTING.findall(read(name))) <= KNOWN


def test_documentation_names_no_setting_that_does_not_exist() -> None:
    # Partners' receivers and sites that post to us have settings of their own.
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path.name not in OTHER_PROGRAMS]
    assert {setting for path in pages for setting in SETTING.findall(path.read_text())} <= KNOWN


def test_every_command_of_a_deployment_exists() -> None:
    assert len(commands()) >= 6
    for name, *words in commands():
        assert name == "dateline"
        command: click.Command = dateline
        while isinstance(command, click.Group):
            command = subcommands(command)[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_procfile_and_compose_run_the_same_processes() -> None:
    assert set(procfile()) == {"web", "feeds", "worker", "publisher", "fetcher", "release"}
    services = compose()["services"]
    assert procfile()["release"] == services["migrate"]["command"]
    assert procfile()["web"][:2] == services["web"]["command"][:2]
    assert procfile()["feeds"][:3] == services["feeds"]["command"][:3]
    for name in ("worker", "publisher", "fetcher"):
        assert procfile()[name] == services[name]["command"]


def test_every_queue_is_consumed_by_one_kind_of_worker() -> None:
    tasks_by_process = [tasks_of(procfile()[name][-1]) for name in ("worker", "publisher", "fetcher")]
    assert sorted(task for tasks in tasks_by_process for task in tasks) == sorted(QUEUES)
    assert {tasks for _, tasks in processes(Settings())} == {
        procfile()[name][-1] for name in ("worker", "publisher", "fetcher")
    }
    assert set(QUEUES) == set(re.findall(r"dateline\.\w+", read("service/runtime/celery_app.py"))) & set(
        QUEUES
    )
    assert len(set(QUEUES.values())) == len(QUEUES)


def test_migrations_run_before_web_and_worker_start() -> None:
    services = compose()["services"]
    for name in ("web", "worker", "publisher", "fetcher"):
        needed = services[name]["depends_on"]
        assert needed["migrate"] == {"condition": "service_completed_successfully"}
        assert needed["redis"] == {"condition": "service_healthy"}
    # The feeds server only reads the record: it needs no Redis.
    assert services["feeds"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert services["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


def test_every_server_has_a_health_check() -> None:
    services = compose()["services"]
    assert all("test" in services[name]["healthcheck"] for name in ("redis", "postgres", "feeds"))
    assert "HEALTHCHECK" in read("Dockerfile")
    assert "/healthz" in read("Dockerfile")


def test_redis_evicts_nothing() -> None:
    words = compose()["services"]["redis"]["command"]
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"


def test_secrets_come_from_the_environment_only() -> None:
    environment = compose()["services"]["web"]["environment"]
    for name in ("DATELINE_OPERATOR_TOKEN", "DATELINE_SECRET_KEY"):
        assert environment[name].startswith("${")
    assert "${POSTGRES_PASSWORD" in environment["DATELINE_DATABASE_URL"]


def test_image_does_not_run_as_root_and_keeps_its_data_in_a_volume() -> None:
    last_stage = read("Dockerfile").rpartition("\nFROM ")[2]
    assert re.search(r"^USER dateline$", last_stage, re.MULTILINE)
    assert re.search(r"^VOLUME /data$", last_stage, re.MULTILINE)
    assert "--require-hashes" in read("Dockerfile")


def test_port_is_the_same_everywhere() -> None:
    port = Settings.model_fields["listen"].default.rpartition(":")[2]
    assert compose()["services"]["web"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"EXPOSE {port}" in read("Dockerfile")
    assert f"${{PORT:-{port}}}" in read("Procfile")
    port = FEEDS_LISTEN.rpartition(":")[2]
    assert compose()["services"]["feeds"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"127.0.0.1:{port}/healthz" in compose()["services"]["feeds"]["healthcheck"]["test"][-1]
    assert f"${{FEEDS_PORT:-{port}}}" in read("Procfile")


def walk(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        return [found for name, child in subcommands(command).items() for found in walk(child, (*path, name))]
    return [(path, command)]


def test_every_command_answers_in_json_and_says_what_it_does() -> None:
    for path, command in walk(dateline):
        assert any("--json" in parameter.opts for parameter in command.params), path
        assert command.help, path


@pytest.mark.parametrize(
    "words",
    ["up", "web", "worker", "migrate", "doctor", "section add", "section list", "section rename",
     "section close", "package add", "feeds export", "feeds serve", "source add", "partner add",
     "endpoint add", "endpoint list", "endpoint pause", "endpoint resume", "endpoint rotate-secret",
     "publish", "kill", "restore", "replay", "receive"],
)  # fmt: skip
def test_promised_command_exists(words: str) -> None:
    assert tuple(words.split()) in [path for path, _ in walk(dateline)]
