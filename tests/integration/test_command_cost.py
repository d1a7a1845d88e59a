"""A command costs the processor what it needs, and no more: help and version come at once."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = 5
# Of the time that Python itself takes to start and do nothing.
MOST_TIMES = 15.0
DATELINE = ["-P", "-m", "service.cli.main"]


def cpu_seconds(*words: str, folder: Path) -> float:
    """The median of the processor's seconds, the system's included, that Python takes with these words."""
    return statistics.median(one_run(words, folder) for _ in range(RUNS))


def one_run(words: tuple[str, ...], folder: Path) -> float:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_help_and_version_cost_a_few_times_what_python_itself_does(word: str, tmp_path: Path) -> None:
    nothing = cpu_seconds("-c", "pass", folder=tmp_path)
    assert cpu_seconds(*DATELINE, word, folder=tmp_path) <= MOST_TIMES * max(nothing, 0.01)


def test_help_loads_nothing_that_only_commands_need(tmp_path: Path) -> None:
    heavy = {"sqlalchemy", "celery", "flask", "pydantic", "cryptography", "structlog"}
    program = (
        "import sys\nfrom service.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"sys.exit(sorted({heavy!r} & set(sys.modules)) or 0)"
    )
    one_run(("-c", program), tmp_path)
