"""A Ghost of its own on loopback: npm's Ghost on Node 22 with SQLite, as `ghost install local` sets it up."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path
from typing import Any

import requests

from tests.systems import install_cache
from tests.systems.install_cache import NodeTools
from tests.systems.ports import free_port
from tests.systems.processes import Programs

GHOST_VERSION = "6.65.0"
PACKAGE = f"ghost@{GHOST_VERSION}"
EDITOR = {"email": "editor@example.org", "password": secrets.token_hex(12)}
PAGE = Path(__file__).parents[2] / "docs" / "connect" / "ghost.md"
# The names that Ghost 6 shows in the list of a webhook's events.
EVENTS = {
    "Post published": "post.published",
    "Published post updated": "post.published.edited",
    "Post unpublished": "post.unpublished",
    "Post deleted": "post.deleted",
    "Tag added to post": "post.tag.attached",
    "Tag removed from post": "post.tag.detached",
    "Site changed (rebuild)": "site.changed",
}


def installed() -> tuple[NodeTools, Path]:
    """Ghost's packages name files of its own archive, which npm itself does not find: pnpm installs them within it, by
    the versions that Ghost has locked."""
    tools = install_cache.node_tools()
    pnpm = install_cache.npm_packages("pnpm", ["pnpm@12"], tools)

    def fill(folder: Path) -> None:
        install_cache.run_or_skip(folder, "npm pack", ["npm", "pack", PACKAGE], tools.environment)
        archive = next(folder.glob("ghost-*.tgz"))
        shutil.unpack_archive(archive, folder)
        archive.unlink()
        command = [
            str(pnpm / "node_modules" / ".bin" / "pnpm"), f"--dir={folder / 'package'}", "install",
            "--prod", "--frozen-lockfile", "--store-dir", str(folder / "store"),
        ]  # fmt: skip
        install_cache.run_or_skip(folder, "pnpm install in ghost", command, tools.environment)

    return tools, install_cache.cached("ghost", [PACKAGE], fill) / "package"


class GhostServer:
    """Starts in `programs`; `browser` is an editor who has logged in."""

    def __init__(self, programs: Programs, tools: NodeTools, package: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.browser = requests.Session()
        self.browser.headers["Origin"] = self.url
        folder = programs.folder
        shutil.copytree(package / "content", folder / "content", symlinks=True)
        programs.environment |= {"NODE_ENV": "development", **self._config(folder)}
        programs.start("ghost", [str(tools.node), "index.js"], package)
        programs.until("ghost", f"{self.url}/ghost/api/admin/site/", lambda answer: answer.ok)
        self._set_up()
        for each in self.admin("GET", "posts")[
            "posts"
        ]:  # a new Ghost has one, "Coming soon", as our page says
            self.admin("DELETE", f"posts/{each['id']}")
        self.version = str(self.admin("GET", "config")["config"]["version"])

    def _config(self, folder: Path) -> dict[str, str]:
        """By the environment: Ghost runs in the folder of its program, which several runs share."""
        return {
            "url": self.url,
            "server__port": self.url.rpartition(":")[2],
            "database__client": "better-sqlite3",
            "database__connection__filename": str(folder / "content" / "data" / "ghost.db"),
            "paths__contentPath": str(folder / "content"),
            "privacy__useUpdateCheck": "false",
            "privacy__useGravatar": "false",
            "logging__level": "warn",
            # Our page on Ghost says so: Ghost and Dateline are on one machine.
            "security__allowWebhookInternalIPs": "true",
        }

    def _set_up(self) -> None:
        facts = {**EDITOR, "name": "Editor", "blogTitle": "The Harbour Post"}
        self.admin("POST", "authentication/setup", {"setup": [facts]})
        login = {"username": EDITOR["email"], "password": EDITOR["password"]}
        entered = self.browser.post(f"{self.url}/ghost/api/admin/session/", json=login, timeout=60)
        assert entered.ok, entered.text[:500]

    def admin(self, method: str, route: str, body: Any = None, **query: str) -> Any:
        """The API that Ghost's own screens use; fails unless the answer is a success."""
        path, _, rest = route.partition("?")
        answer = self.browser.request(
            method,
            f"{self.url}/ghost/api/admin/{path}/{f'?{rest}' if rest else ''}",
            params=query,
            json=body,
            timeout=120,
        )
        assert answer.ok, f"{method} {route}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else {}

    def add_integration(self) -> tuple[str, str]:
        """Step 1 of our page: the integration's id, and its Content API key."""
        added = self.admin("POST", "integrations?include=api_keys", {"integrations": [{"name": "Dateline"}]})
        integration = added["integrations"][0]
        keys = {each["type"]: each["secret"] for each in integration["api_keys"]}
        return integration["id"], keys["content"]

    def add_webhooks(self, integration: str, target: str, secret: str) -> None:
        """Step 3 of our page: one webhook for each event that it names."""
        for name in events_of_the_page():
            webhook = {"name": name, "event": EVENTS[name], "target_url": target, "secret": secret}
            self.admin("POST", "webhooks", {"webhooks": [{**webhook, "integration_id": integration}]})


def events_of_the_page() -> list[str]:
    """The events' names, as the third step of docs/connect/ghost.md has them."""
    step = re.search(r"^3\. (.*?)^4\. ", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert step, f"{PAGE} has no third step"
    names = [each for each in re.findall(r"\*([^*]+)\*", step.group(1).replace("**", "")) if each in EVENTS]
    assert len(names) == len(EVENTS), f"{PAGE} names other events than Ghost: {names}"
    return names
