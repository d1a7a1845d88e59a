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
    "0007_embargoes.py": "59bf7bc7739c40362a70b948a0187717f9fbe319a5cdd1c9893a1e475554ab9d",
    "0008_feeds_that_stay_true.py": "dd5718aad8752f165ef72ad7e06236d0712fb9ecdd53cbfcd05c1f16490cdec5",
    "0009_keys_and_sessions.py": "810145ca0520750ee34fd2a048a7fa194520aa81b1930f5da91e4fba766f9c6a",
    "0010_refused_articles.py": "6ca1d802a9847ee5a0da4ecdd7ba7df5014a739c8edcb3648853259d2a6b9f19",
    "0011_search.py": "3f1e60609abcf6816506d6a1be31b1994aa92a75a1ff230bf98bb86df68ee47a",
    "0012_refusals_of_intake.py": "9a71744aecba22fba147d535acf16633a4456366e843fb7b5a3c120fc07e7ef9",
    "0013_adapters.py": "06f1aab59742960faf10d869f20d18c5d33e75cf3e4675955a6d924f25b64316",
    "0014_early_takedowns.py": "a28c799fe2a1fbc56ad6c766ae4ba5953432809cd2852648bc7b2f1d568e6947",
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
    """The code that it calls may not change after it landed, so it carries its own copy."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import reaches living code"
            imported.add((node.module or "").partition(".")[0])
    assert imported & LIVING == set()


TAKING_AWAY = {"drop_table", "drop_column", "rename_table"}


@pytest.mark.parametrize(
    "path", [each for each in migrations() if "0006" < each.name < "1"], ids=lambda path: path.name
)
def test_a_migration_takes_nothing_from_the_version_before(path: Path) -> None:
    """One that does is named 1000 or more: older programs then refuse its record instead of failing in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    upgrade = next(each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == "upgrade")
    called = {each.attr for each in ast.walk(upgrade) if isinstance(each, ast.Attribute)}
    assert called & TAKING_AWAY == set()
