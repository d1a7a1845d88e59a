"""Each table of the record has one module that writes it: a rule about its rows has one home."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

STORE = Path(__file__).parents[2] / "service/store"
# `endpoint`, and the tables of deliveries, have a writer for each of their parts: docs/architecture.md, "Glossary".
WRITERS = {
    "answer": "articles/idempotency.py",
    "archive": "feeds/archives.py",
    "article": "articles/revisions.py",
    "audit": "audit.py",
    "document": "feeds/documents.py",
    "entry": "feeds/entries.py",
    "event": "events.py",
    "feed": "feeds/feeds.py",
    "feed_fetch": "feeds/fetches.py",
    "feed_shown": "feeds/fetches.py",
    "feed_token": "feeds/partner_feeds.py",
    "lease": "coordination/leases.py",
    "moved": "feeds/sections.py",
    "notice": "notices.py",
    "partner": "partners/partners.py",
    "partner_feed": "feeds/partner_feeds.py",
    "partner_feed_section": "feeds/partner_feeds.py",
    "placement": "feeds/placements.py",
    "revision": "articles/revisions.py",
    "section": "feeds/sections.py",
    "source": "articles/sources.py",
    "subscription": "partners/endpoints.py",
    "worker": "coordination/heartbeats.py",
}
WRITES = re.compile(r"\b(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)")


def written(path: Path) -> Iterator[str]:
    """The tables that a module writes, by hand-written SQL or by SQLAlchemy's and our own constructs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tables = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("service.store.schema")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from WRITES.findall(node.value)
        elif isinstance(node, ast.Call):
            named = node.args[:1] if isinstance(node.func, ast.Name) else []
            verb = node.func.id if isinstance(node.func, ast.Name) else ""
            if isinstance(node.func, ast.Attribute) and node.func.attr in {"insert", "update", "delete"}:
                named, verb = [node.func.value], node.func.attr
            if verb in {"insert", "update", "delete", "Rows"}:
                yield from (
                    tables[each.id] for each in named if isinstance(each, ast.Name) and each.id in tables
                )


def writers() -> dict[str, set[str]]:
    found = defaultdict(set)
    for path in STORE.rglob("*.py"):
        if not {"migrations", "schema"} & set(path.parts):
            for table in written(path):
                found[table].add(path.relative_to(STORE).as_posix())
    return found


@pytest.mark.parametrize(("table", "writer"), sorted(WRITERS.items()))
def test_a_table_is_written_by_the_module_of_its_noun(table: str, writer: str) -> None:
    assert writers()[table] == {writer}


def test_every_table_has_a_writer_or_a_reason() -> None:
    tables = set(re.findall(r'= Table\(\s*"(\w+)"', "".join(map(Path.read_text, STORE.glob("schema/*.py")))))
    assert tables - set(WRITERS) == {"attempt", "backfill", "delivery", "endpoint", "receipt"}


@pytest.mark.parametrize(
    "text",
    [
        'Statement("UPDATE lease SET until = 1")',
        "from service.store.schema.operations import lease as table\nupdate(table).values(until=1)",
        "from service.store.schema.operations import lease\nlease.insert()",
    ],
)
def test_a_write_is_seen_in_every_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "module.py").write_text(text)
    assert set(written(tmp_path / "module.py")) == {"lease"}
