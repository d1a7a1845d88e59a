"""A landed migration stands by itself and stays as it is: records that exist were made by its very text."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest

VERSIONS = Path(__file__).parents[2] / "service/store/migrations/versions"
# The SHA-256 of each file. A migration that lands adds its own; none of them ever changes.
LANDED = {
    "0001_the_record.py": "7cfa8a4830bc08a6f7ccaa54314ebfb85fec0e96f9d4200283760c4600025dd9",
    "0002_limits_and_notices.py": "ca3820deeb05987fc4358e11cc828c774a4c4e98fad004459461d2ba28fbfb01",
    "0003_kinds_of_feeds.py": "ef01914716a21eb848c8ede92e47b3b90586cbb76d8d9bc9b0c78cdcb79b57c3",
    "0004_partner_feeds.py": "9c8c25ae86998568289f8f7192e06babaf1e00bc0601011b071b88c29b5d3e6b",
    "0005_notices_for_their_time.py": "94c1f25fd958783c53f9c2bf9766d62cbbdc8a32689223309509ced03a1d9ec8",
    "0006_less_to_write.py": "290c51f812525f6930c173e36dad06e1a05d379791710f32b2ecdaffca98cc5d",
    "0009_feeds_that_stay_true.py": "3adc6e5ab54c86560479984f84312bb104c3940c419bd57282f3503e7a70a9d9",
}
LIVING = {"service", "workers", "feeds"}


def migrations() -> list[Path]:
    return sorted(path for path in VERSIONS.glob("*.py") if path.name != "__init__.py")


def test_every_landed_migration_is_unchanged() -> None:
    """To change the schema, add a migration."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in migrations()}
    assert found == LANDED


@pytest.mark.parametrize("path", migrations(), ids=lambda path: path.name)
def test_a_migration_imports_nothing_that_lives(path: Path) -> None:
    """What it calls may not change after it landed, so it carries its own copy."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import reaches living code"
            imported.add((node.module or "").partition(".")[0])
    assert imported & LIVING == set()
