"""A Payload of its own on loopback: npm's Payload on Node 22 with SQLite, and the hooks of docs/connect/payload.md."""

from __future__ import annotations

import re
import secrets
import shutil
import uuid
from pathlib import Path
from typing import Any

import requests

from tests.systems import install_cache
from tests.systems.install_cache import NodeTools
from tests.systems.ports import free_port
from tests.systems.processes import Programs

PAYLOAD_VERSION = "3.90.2"
_PARTS = ("payload", "@payloadcms/db-sqlite", "@payloadcms/richtext-lexical", "@payloadcms/next")
PAYLOAD_PACKAGES = [
    *(f"{each}@{PAYLOAD_VERSION}" for each in _PARTS), "next@16", "react@19", "react-dom@19", "graphql@16",
]  # fmt: skip
_PAGE = Path(__file__).parents[2] / "docs" / "connect" / "payload.md"
_APP = Path(__file__).with_name("payload_app.mjs")


def installed() -> tuple[NodeTools, Path]:
    tools = install_cache.node_tools()
    return tools, install_cache.npm_packages("payload", PAYLOAD_PACKAGES, tools)


def hooks_of_the_page() -> str:
    """The file that docs/connect/payload.md gives."""
    found = re.search(r"```ts\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{_PAGE} has no hooks"
    return found.group(1)


class PayloadServer:
    """Starts in `programs`; asks its REST API as the editor who has logged in."""

    def __init__(self, programs: Programs, tools: NodeTools, packages: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._headers: dict[str, str] = {}
        self._programs = programs
        self._command = [str(tools.node), str(programs.folder / _APP.name)]
        folder = programs.folder
        (folder / "node_modules").symlink_to(packages / "node_modules")
        shutil.copy(_APP, folder)
        (folder / "dateline-hooks.ts").write_text(hooks_of_the_page(), encoding="utf-8")
        programs.environment |= {
            "NODE_ENV": "development", "PORT": self.url.rpartition(":")[2], "DATABASE": f"file:{folder}/payload.db",
            "PAYLOAD_SECRET": secrets.token_hex(24), "PAYLOAD_DISABLE_ADMIN": "true",
        }  # fmt: skip
        self._start()
        self._login = {"email": "editor@example.org", "password": secrets.token_hex(12)}
        self.api("POST", "users/first-register", self._login)
        self._log_in()

    def _start(self) -> None:
        self._programs.start("payload", self._command)
        self._programs.until("payload", f"{self.url}/api/access", lambda answer: answer.ok)

    def _log_in(self) -> None:
        self._headers = {}
        self._headers = {"Authorization": f"JWT {self.api('POST', 'users/login', self._login)['token']}"}

    def api(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """The API that Payload's own screens use; fails unless the answer is a success."""
        answer = requests.request(
            method, f"{self.url}/api/{path}", json=body, params=query, headers=self._headers, timeout=120
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        found = answer.json()
        assert not (isinstance(found, dict) and found.get("errors")), f"{method} {path}: {answer.text[:500]}"
        return found

    def add_section(self, title: str, slug: str) -> int:
        return int(self.api("POST", "sections", {"title": title, "slug": slug})["doc"]["id"])

    def add_reader(self) -> str:
        """Step 1 of our page: a user with an API key."""
        key = str(uuid.uuid4())
        person = {"email": "dateline@example.org", "password": secrets.token_hex(12)}
        self.api("POST", "users", {**person, "enableAPIKey": True, "apiKey": key})
        return key

    def set_hook(self, target: str, secret: str) -> None:
        """Step 3 of our page: both go into Payload's environment, and it starts anew."""
        self._programs.end()
        self._programs.environment |= {"STORY_HOOK_URL": target, "STORY_HOOK_SECRET": secret}
        self._start()
        self._log_in()
