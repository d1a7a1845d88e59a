"""A Directus of its own on loopback: npm's Directus on Node 22 with SQLite, and a collection of stories."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import requests

from tests.systems import install_cache
from tests.systems.install_cache import NodeTools
from tests.systems.ports import free_port
from tests.systems.processes import Programs

DIRECTUS_VERSION = "12.4.0"
COMMANDS_LIMIT = 180.0
EDITORS = {"email": "editor@example.org", "password": secrets.token_hex(12)}
_READABLE = ("articles", "sections", "articles_sections", "directus_files")


def installed() -> tuple[NodeTools, Path]:
    tools = install_cache.node_tools()
    return tools, install_cache.npm_packages("directus", [f"directus@{DIRECTUS_VERSION}"], tools)


class DirectusServer:
    """Starts in `programs`; asks its API as the administrator who has logged in."""

    def __init__(self, programs: Programs, tools: NodeTools, packages: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._headers: dict[str, str] = {}
        programs.environment |= self._config(programs.folder)
        command = [str(tools.node), str(packages / "node_modules" / "directus" / "cli.js")]
        status = programs.run("bootstrap", [*command, "bootstrap"], limit=COMMANDS_LIMIT)
        assert status == 0, programs.log("bootstrap")
        programs.start("directus", [*command, "start"])
        programs.until("directus", f"{self.url}/server/ping")
        token = self.api("POST", "auth/login", EDITORS)["access_token"]
        self._headers = {"Authorization": f"Bearer {token}"}

    def _config(self, folder: Path) -> dict[str, str]:
        return {
            "SECRET": secrets.token_hex(24),
            "ADMIN_EMAIL": EDITORS["email"],
            "ADMIN_PASSWORD": EDITORS["password"],
            "ACCESS_TOKEN_TTL": "2h",
            "DB_CLIENT": "sqlite3",
            "DB_FILENAME": str(folder / "directus.db"),
            "HOST": "127.0.0.1",
            "PORT": self.url.rpartition(":")[2],
            "PUBLIC_URL": self.url,
            "STORAGE_LOCATIONS": "local",
            "STORAGE_LOCAL_ROOT": str(folder / "uploads"),
            "TELEMETRY": "false",
            "PRESSURE_LIMITER_ENABLED": "false",  # the machine of the tests may be slow
            "LOG_LEVEL": "warn",
            "MAX_PAYLOAD_SIZE": "10mb",
            # Our page on Directus says so: Directus and Dateline are on one machine.
            "IMPORT_IP_DENY_LIST": "169.254.169.254",
        }

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """The API that Directus's own screens use; fails unless the answer is a success."""
        answer = requests.request(method, f"{self.url}/{path}", json=body, headers=self._headers, timeout=120)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json().get("data") if answer.content else None

    def add_collections(self) -> dict[str, int]:
        """Stories with their sections through a junction; returns the sections' ids by their title."""
        self._add_collection("sections", _text("title"), _text("slug"))
        self._add_collection(
            "articles",
            _text("status", "draft"), _text("title"), _text("summary"), _text("body"), _text("url"),
            _text("correction_note"), _field("publish_at", "timestamp"),
            _field("date_created", "timestamp", special=["date-created"]),
            _field("date_updated", "timestamp", special=["date-updated"]),
            {"field": "sections", "type": "alias", "meta": {"special": ["m2m"], "interface": "list-m2m"}},
        )  # fmt: skip
        self._add_collection(
            "articles_sections",
            {"field": "articles_id", "type": "integer"}, {"field": "sections_id", "type": "integer"},
        )  # fmt: skip
        for field, related, other, alias in (
            ("articles_id", "articles", "sections_id", "sections"),
            ("sections_id", "sections", "articles_id", None),
        ):
            self.api("POST", "relations", {
                "collection": "articles_sections", "field": field, "related_collection": related,
                "meta": {"one_field": alias, "junction_field": other},
                "schema": {"on_delete": "CASCADE"},
            })  # fmt: skip
        rows = [{"title": "World", "slug": "world"}, {"title": "Business & Money", "slug": "business-money"},
                {"title": "中国", "slug": "zhongguo"}]  # fmt: skip
        return {row["title"]: row["id"] for row in self.api("POST", "items/sections", rows)}

    def _add_collection(self, name: str, *fields: dict[str, Any]) -> None:
        key = {
            "field": "id",
            "type": "integer",
            "schema": {"is_primary_key": True, "has_auto_increment": True},
        }
        self.api(
            "POST", "collections", {"collection": name, "schema": {}, "meta": {}, "fields": [key, *fields]}
        )

    def add_reader(self) -> str:
        """Step 1 of our page: a user who may read stories and what they refer to; returns its static token."""
        policy = self.api("POST", "policies", {"name": "Dateline", "app_access": False})["id"]
        permissions = [{"policy": policy, "collection": each, "action": "read", "fields": ["*"], "permissions": {}}
                       for each in _READABLE]  # fmt: skip
        self.api("POST", "permissions", permissions)
        role = self.api("POST", "roles", {"name": "Dateline", "policies": {"create": [{"policy": policy}]}})[
            "id"
        ]
        token = secrets.token_hex(16)
        self.api("POST", "users", {"email": "dateline@example.org", "role": role, "token": token})
        return token

    def add_flow(self, target: str, secret: str) -> None:
        """Steps 3 and 4 of our page: a flow on the stories' events with one operation."""
        scope = ["items.create", "items.update", "items.delete"]
        options = {"type": "action", "scope": scope, "collections": ["articles"]}
        flow = self.api("POST", "flows", {
            "name": "Dateline", "status": "active", "trigger": "event", "accountability": "all", "options": options,
        })["id"]  # fmt: skip
        request = {
            "method": "POST", "url": target, "body": "{{$trigger}}",
            "headers": [{"header": "Authorization", "value": f"Bearer {secret}"}],
        }  # fmt: skip
        operation = self.api("POST", "operations", {
            "flow": flow, "key": "send", "name": "Send", "type": "request", "position_x": 19, "position_y": 1,
            "options": request,
        })["id"]  # fmt: skip
        self.api("PATCH", f"flows/{flow}", {"operation": operation})


def _field(name: str, kind: str, **meta: Any) -> dict[str, Any]:
    return {"field": name, "type": kind, "schema": {}, "meta": meta}


def _text(name: str, default: str | None = None) -> dict[str, Any]:
    return {
        "field": name,
        "type": "text",
        "schema": {"default_value": default},
        "meta": {"interface": "input"},
    }
