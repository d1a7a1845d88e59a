"""The version before, from this repository's history: its commit, its files, its web and workers as processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.desk import COMMANDS
from tests.outlet import Outlet

ROOT = Path(__file__).parents[2]
NEWEST_MIGRATION = "0006"  # of the version before: its last commit is the one that runs
MIGRATIONS = "service/store/migrations/versions/"
COMMAND_SECONDS = 90.0
# Its application behind a server that each installation of this version has. Granian, which it used, is not needed now.
_WEB = """
from werkzeug.serving import run_simple
from service import app, logs, settings
from service.runtime import celery_app, embedded_redis, key_files
from service.serving.document_cache import DocumentCache
from service.store import migrations
from service.store.database.record import open_record
from service.store.errors import SchemaBehind

config = key_files.ensure_keys(settings.load())
logs.configure(config.log_level, json=True)
record = open_record(config.database_url, config.secret_key)
try:
    migrations.require_schema(record)
except SchemaBehind as error:
    raise SystemExit(str(error))
waker = celery_app.Waker(embedded_redis.redis_url_of(config))
documents = DocumentCache(record, config.public_url)
documents.watch()
web = app.create_app(config, record, waker.wake, documents=documents)
run_simple(config.host, config.port, web.wsgi_app, threaded=True)
"""
WEB, WORKER = ("-c", _WEB), ("-m", "workers", "--name", "before")


def commit() -> str:
    """The last commit whose newest migration is NEWEST_MIGRATION. Skips the test where the history is not at hand."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed: the version before cannot be run")
    if _git("rev-parse", "--is-inside-work-tree").strip() != "true":
        pytest.skip("this is no clone of the repository: the version before cannot be run")
    if _git("rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("this clone is shallow: fetch the whole history to run the version before")
    for after in _git("rev-list", "--first-parent", "HEAD", "--", MIGRATIONS).split():
        names = _git("ls-tree", "--name-only", f"{after}^1", MIGRATIONS).split()
        numbers = [Path(name).name[:4] for name in names if Path(name).name[:4].isdigit()]
        if numbers and max(numbers) == NEWEST_MIGRATION:
            return _git("rev-parse", f"{after}^1").strip()
    if os.environ.get("CI") == "true":
        pytest.fail(f"the history has no commit whose newest migration is {NEWEST_MIGRATION}")
    pytest.skip(f"the history has no commit whose newest migration is {NEWEST_MIGRATION}")


def _git(*words: str) -> str:
    """Git's answer; nothing where it fails, as it does where there is no repository."""
    ran = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return ran.stdout if ran.returncode == 0 else ""


def export(to: Path) -> Path:
    """Puts the version before's files into the folder."""
    packed = to / "version-before.tar"
    subprocess.run(["git", "-C", str(ROOT), "archive", "-o", str(packed), commit()], check=True)
    folder = to / "version-before"
    shutil.unpack_archive(packed, folder, filter="data")
    return folder


@dataclass
class TwoVersions:
    """One desk that both versions use. `parts`: what runs; each has a log of its name."""

    folder: Path
    before: Path  # the earlier version's files
    port: int
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("DATELINE_")},
            "DATELINE_DATA_DIR": str(self.folder / "desk"),
            "DATELINE_ALLOW_NETWORKS": "127.0.0.0/8",
            "DATELINE_ALLOW_HTTP": "true",
            "DATELINE_REDIS_URL": "redis://127.0.0.1:1/0",  # nobody there: it carries hints alone
            "DATELINE_LISTEN": f"127.0.0.1:{self.port}",
            "DATELINE_PUBLIC_URL": self.url,
        }

    def start(self, name: str, *words: str, earlier: bool = False) -> subprocess.Popen[bytes]:
        """Starts a part as `python WORDS`, by this version's files or the earlier one's."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.parts[name] = subprocess.Popen(
                [sys.executable, *(() if earlier else ("-P",)), *words],
                cwd=self.before if earlier else self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        return self.parts[name]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def dateline(self, *words: str, earlier: bool = False) -> tuple[int, dict[str, Any]]:
        """Runs `dateline WORDS --json`; its status and its answer."""
        status, [answer] = self._answers("-m", "service.cli.main", *words, "--json", earlier=earlier)
        return status, answer

    def _answers(self, *words: str, earlier: bool) -> tuple[int, list[dict[str, Any]]]:
        """The status of `python WORDS`, and the lines of JSON that it printed."""
        ran = subprocess.run(
            [sys.executable, *(() if earlier else ("-P",)), *words],
            cwd=self.before if earlier else self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert ran.stdout, f"{words}: {ran.stderr}"
        return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()]

    def furnish(self, outlet: Outlet, path: str) -> dict[str, Any]:
        """Makes the record and a desk with one outlet by the earlier version; returns the source's keys."""
        asked = (
            ("migrate",),
            ("section", "add", "world", "--title", "World", "--language", "en"),
            ("partner", "add", "harbour", "--name", "Harbour Herald"),
            ("endpoint", "add", "harbour", outlet.url(path)),
            ("source", "add", "wire", "--name", "Wire Service"),
        )
        answers = self._answers("-c", COMMANDS, json.dumps(asked), earlier=True)[1]
        outlet.secrets[path] = answers[3]["secret"]
        return answers[4]

    def end(self) -> None:
        for part in self.parts.values():
            part.terminate()
        for part in self.parts.values():
            try:
                part.wait(20)
            except subprocess.TimeoutExpired:
                part.kill()
                part.wait()
