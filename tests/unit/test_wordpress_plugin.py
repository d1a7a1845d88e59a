"""The plug-in for WordPress is PHP that PHP can read; `make test-systems` runs it in a real WordPress."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "integrations" / "wordpress"
FILES = sorted(PLUGIN.rglob("*.php"))


@pytest.mark.parametrize("file", FILES, ids=lambda each: each.name)
def test_php_reads_the_plug_in(file: Path) -> None:
    php = shutil.which("php")
    if php is None:
        pytest.skip("no PHP is installed; apt-get install php-cli")
    read = subprocess.run([php, "-l", str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert read.returncode == 0, read.stdout + read.stderr


def test_the_plug_in_has_a_file_of_php() -> None:
    assert [each.name for each in FILES] == ["dateline.php"]
