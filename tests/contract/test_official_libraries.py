"""The libraries that partners use verify our pushes: standardwebhooks for JavaScript, run by node.

That for Python is in tests/unit/test_signatures.py. Both know `v1` only, and must not stumble over `v1a` beside it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.webhooks import signatures

FOLDER = Path(__file__).parent / "javascript"
SECRET, OTHER = signatures.new_secret(), signatures.new_secret()
PAIR = signatures.new_key_pair()
BODY = json.dumps(
    {"type": "article.published", "data": {"headline": "雨 بارش\u2028"}}, ensure_ascii=False
).encode()

Verify = Callable[[Sequence[dict[str, object]]], list[str]]


def unavailable(words: str) -> None:
    if os.environ.get("CI") == "true" and shutil.which("node"):
        pytest.fail(words)
    pytest.skip(words)


@pytest.fixture(scope="module")
def verify(tmp_path_factory: pytest.TempPathFactory) -> Verify:
    """Verifies messages with the official JavaScript library, installed as the lock file says."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        unavailable("node and npm are not installed")
    folder = tmp_path_factory.mktemp("javascript")
    for path in FOLDER.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    install = [str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        unavailable(f"the official JavaScript library cannot be installed: {done.stderr[-300:]}")

    def run(messages: Sequence[dict[str, object]]) -> list[str]:
        lines = "".join(json.dumps(each) + "\n" for each in messages)
        ran = subprocess.run(
            [str(node), "verify.mjs"],
            cwd=folder, input=lines, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        return ran.stdout.splitlines()

    return run


def a_message(keys: Sequence[str], *, secret: str = SECRET, body: bytes = BODY) -> dict[str, object]:
    timestamp = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "dlv_01K0ABCD_7",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures.sign(keys, "dlv_01K0ABCD_7", timestamp, BODY),
    }
    return {"secret": secret, "headers": headers, "body": base64.b64encode(body).decode()}


def test_the_official_javascript_library_verifies_what_we_sign_and_nothing_else(verify: Verify) -> None:
    good = [
        [SECRET],
        [OTHER, SECRET],
        [PAIR.secret, SECRET],
        [SECRET, PAIR.secret],
        [OTHER, PAIR.secret, SECRET],
    ]
    bad = [a_message([OTHER]), a_message([PAIR.secret]), a_message([SECRET], body=BODY + b" ")]
    answers = verify([*map(a_message, good), *bad])
    assert answers[: len(good)] == ["verified"] * len(good)
    assert all(each.startswith("refused") for each in answers[len(good) :])
    assert len(answers) == len(good) + len(bad)


def test_the_lock_file_pins_by_hash_and_names_no_registry() -> None:
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    pinned = [each for name, each in packages.items() if name]
    assert pinned
    assert all(each["integrity"].startswith("sha512-") and "resolved" not in each for each in pinned)
