"""The examples of docs/api.md and docs/operations.md work exactly as they are written there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography.fernet import Fernet
from werkzeug.serving import make_server

from service import settings
from service.app import create_app
from service.http import credentials
from service.store import operations
from service.store.articles import sources
from service.store.database.record import Record, open_record
from service.store.feeds import sections
from service.webhooks import signatures
from tests import builders

DOCS = Path(__file__).parents[2] / "docs"
SECRET = signatures.new_secret()
KEY = Fernet.generate_key().decode()
TOKEN = "operator-operator-operator"


@dataclass(frozen=True)
class DocsWebInThread:
    """A running web with the source `newsroom` and the section `world`."""

    url: str
    api_key: str

    @property
    def environment(self) -> dict[str, str]:
        mine = {"BASE": self.url, "API_KEY": self.api_key, "SECRET": SECRET, "OPERATOR_TOKEN": TOKEN}
        return {**os.environ, **mine}


@pytest.fixture
def web(sqlite_record: Record, tmp_path: Path) -> Iterator[DocsWebInThread]:
    key = credentials.new_api_key()
    operations.add_section(sqlite_record, "world", "World", "en", actor="operator", now=builders.NOW)
    operations.add_source(
        sqlite_record,
        sources.NewSource(
            "newsroom", "Newsroom", "native", key_id=key.key_id, key_hash=key.hash, secret=SECRET
        ),
        actor="operator",
        now=builders.NOW,
    )
    chosen = settings.load(env_file=None, data_dir=tmp_path, operator_token=TOKEN, secret_key=KEY)
    server = make_server("127.0.0.1", 0, create_app(chosen, sqlite_record, lambda: None), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield DocsWebInThread(f"http://127.0.0.1:{server.port}", key.text)
    server.shutdown()
    thread.join()
    server.server_close()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def run(words: list[str], web: DocsWebInThread) -> dict[str, Any]:
    ran = subprocess.run(words, env=web.environment, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def curl(text: str, web: DocsWebInThread) -> dict[str, Any]:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    return run(["sh", "-c", text.replace("curl ", "curl -s ", 1)], web)


def test_signed_example_in_python_is_accepted(web: DocsWebInThread) -> None:
    (example,) = blocks("api.md", "python")
    first = run([sys.executable, "-c", example], web)
    assert (first["type"], first["outcome"]) == ("article.published", "accepted")
    assert run([sys.executable, "-c", example], web)["outcome"] == "repeat"


def test_curl_examples_do_as_documented(web: DocsWebInThread) -> None:
    # The import reads a file of the reader's own: contract/test_article_door.py posts such batches.
    shown = [block for block in blocks("api.md", "sh") if "curl" in block and "ndjson" not in block]
    first, keyed, by_id, event = shown
    posted = curl(first.partition("API_KEY=dateline_…\n")[2], web)
    assert posted["type"] == "article.published"
    taken_back = curl(keyed, web)
    assert (taken_back["type"], taken_back["revision"]) == ("article.withheld", 2)
    assert curl(keyed, web) == taken_back, "the same key gets the same answer"
    by_own_id, by_last_part = by_id.strip().splitlines()
    last_part = posted["article"].rpartition("/")[2]
    article = curl(by_own_id, web)
    assert article["status"] == "withheld"
    assert curl(re.sub(r"articles/\w+", f"articles/{last_part}", by_last_part), web) == article
    assert curl(re.sub(r"evt_\w+", posted["event"], event), web)["type"] == "article.published"


def test_backup_taken_at_work_is_a_whole_record(
    web: DocsWebInThread, tmp_path: Path, sqlite_record: Record
) -> None:
    (backup,) = [block for block in blocks("operations.md", "sh") if "dateline backup" in block]
    line = backup.splitlines()[0].replace("dateline", f"{sys.executable} -P -m service.cli.main", 1)
    desk = {
        "DATELINE_DATA_DIR": str(tmp_path),
        "DATELINE_DATABASE_URL": str(sqlite_record.engine.url),
        "DATELINE_OPERATOR_TOKEN": TOKEN,
        "DATELINE_SECRET_KEY": KEY,
    }
    with sqlite_record.writing():  # somebody writes meanwhile
        subprocess.run(["sh", "-c", line], cwd=tmp_path, env={**os.environ, **desk}, check=True, timeout=60)
    copy = open_record(f"sqlite:///{tmp_path / 'backup.db'}", KEY)
    assert sections.all_sections(copy) == sections.all_sections(sqlite_record)
    copy.close()
