"""A Strapi of its own on loopback: npm's Strapi on Node 22 with SQLite, and types of stories and sections."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import requests

from tests.systems import install_cache
from tests.systems.install_cache import NodeTools
from tests.systems.ports import free_port
from tests.systems.processes import Programs

STRAPI_VERSION = "5.54.0"
NPM_PACKAGES = [
    f"@strapi/strapi@{STRAPI_VERSION}", "better-sqlite3@13.2.0", "react@18", "react-dom@18", "react-router-dom@6",
    "styled-components@6",
]  # fmt: skip
STORIES = "api::article.article"
_EVENTS = ["entry.create", "entry.update", "entry.delete", "entry.publish", "entry.unpublish"]
_TYPES: dict[str, tuple[bool, dict[str, Any]]] = {
    "article": (
        True,
        {
            "title": {"type": "string"},
            "body": {"type": "richtext"},
            "correctionNote": {"type": "text"},
            "canonicalUrl": {"type": "string"},
            "sections": {"type": "relation", "relation": "manyToMany", "target": "api::section.section"},
        },
    ),
    "section": (False, {"title": {"type": "string"}, "slug": {"type": "string"}}),
}
_CONFIG = {
    "server": "{ host: '127.0.0.1', port: env.int('PORT'), app: { keys: ['made', 'up'] } }",
    "admin": "{ auth: { secret: 'made-up' }, apiToken: { salt: 'made-up' }, transfer: { token: { salt: 'made-up' } },"
    " secrets: { encryptionKey: '0123456789abcdef0123456789abcdef' }, serveAdminPanel: false }",
    "database": "{ connection: { client: 'sqlite', connection: { filename: env('DATABASE') },"
    " useNullAsDefault: true } }",
    "api": "{ rest: { defaultLimit: 25, maxLimit: 100, withCount: true } }",
    "plugins": "{}",
    "middlewares": "['strapi::logger', 'strapi::errors', 'strapi::security', 'strapi::cors', 'strapi::poweredBy',"
    " 'strapi::query', { name: 'strapi::body', config: { jsonLimit: '8mb' } }, 'strapi::session', 'strapi::favicon',"
    " 'strapi::public']",
}


def installed() -> tuple[NodeTools, Path]:
    tools = install_cache.node_tools()
    return tools, install_cache.npm_packages("strapi", NPM_PACKAGES, tools)


class StrapiServer:
    """Starts in `programs`; asks its API as the administrator who has logged in."""

    def __init__(self, programs: Programs, tools: NodeTools, packages: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._headers: dict[str, str] = {}
        folder = programs.folder
        _lay_out(folder, packages)
        programs.environment |= {
            "NODE_ENV": "development", "PORT": self.url.rpartition(":")[2], "DATABASE": str(folder / "strapi.db"),
            "STRAPI_TELEMETRY_DISABLED": "true", "JWT_SECRET": "made-up",
        }  # fmt: skip
        strapi = packages / "node_modules" / "@strapi" / "strapi" / "bin" / "strapi.js"
        programs.start("strapi", [str(tools.node), str(strapi), "start"])
        programs.until("strapi", f"{self.url}/_health", lambda answer: answer.ok)
        person = {"firstname": "Editor", "lastname": "Editor", "email": "editor@example.org",
                  "password": f"Aa1{secrets.token_hex(12)}"}  # fmt: skip
        token = self.api("POST", "admin/register-admin", person)["data"]["token"]
        self._headers = {"Authorization": f"Bearer {token}"}

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """The API that Strapi's own screens use; fails unless the answer is a success."""
        answer = requests.request(method, f"{self.url}/{path}", json=body, headers=self._headers, timeout=120)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def manage(self, method: str, path: str, body: Any = None) -> Any:
        """One act upon the collection of stories in the content manager."""
        return self.api(method, f"content-manager/collection-types/{STORIES}{path}", body)

    def add_section(self, title: str, slug: str) -> dict[str, Any]:
        path = "content-manager/collection-types/api::section.section"
        added: dict[str, Any] = self.api("POST", path, {"title": title, "slug": slug})["data"]
        return added

    def add_token(self) -> str:
        """Step 1 of our page."""
        wanted = {"name": "Dateline", "description": "", "type": "read-only", "lifespan": None}
        return str(self.api("POST", "admin/api-tokens", wanted)["data"]["accessKey"])

    def add_webhook(self, target: str, secret: str) -> None:
        """Step 3 of our page."""
        headers = {"Authorization": f"Bearer {secret}"}
        webhook = {"name": "Dateline", "url": target, "headers": headers, "events": _EVENTS}
        self.api("POST", "admin/webhooks", webhook)


def _lay_out(folder: Path, packages: Path) -> None:
    """An application as Strapi's own generator makes it, in JavaScript, without its administration's screens."""
    (folder / "node_modules").symlink_to(packages / "node_modules")
    (folder / "public" / "uploads").mkdir(parents=True)
    project = {"name": "harbour", "version": "1.0.0", "private": True, "strapi": {"uuid": False},
               "dependencies": {"@strapi/strapi": STRAPI_VERSION}}  # fmt: skip
    _write(folder / "package.json", json.dumps(project))
    _write(folder / "src" / "index.js", "module.exports = { register() {}, bootstrap() {} };")
    for name, text in _CONFIG.items():
        _write(folder / "config" / f"{name}.js", f"module.exports = ({{ env }}) => ({text});")
    for name, (drafts, attributes) in _TYPES.items():
        schema = {
            "kind": "collectionType", "collectionName": f"{name}s", "options": {"draftAndPublish": drafts},
            "info": {"singularName": name, "pluralName": f"{name}s", "displayName": name.title()},
            "attributes": attributes,
        }  # fmt: skip
        _write(folder / "src" / "api" / name / "content-types" / name / "schema.json", json.dumps(schema))
        for part, factory in (("controllers", "Controller"), ("routes", "Router"), ("services", "Service")):
            text = f"module.exports = require('@strapi/strapi').factories.createCore{factory}('api::{name}.{name}');"
            _write(folder / "src" / "api" / name / part / f"{name}.js", text)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
