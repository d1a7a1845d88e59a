"""A partner whose name leads to an allowed address when it is looked at, and into our own network afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

APART = ["unshare", "--map-root-user", "--mount", "--net"]


def apart() -> bool:
    """Whether this machine lets us have namespaces of our own."""
    try:
        return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_a_name_that_leads_inside_the_second_time_is_blocked_as_it_is_called() -> None:
    if not apart():
        pytest.skip("needs user namespaces, to be its own name server")
    ran = subprocess.run(
        [*APART, sys.executable, "-m", "tests.rebinding"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    first, second = told["pushes"]
    assert first == ["delivered", "answered 200 OK", "127.0.0.1"]
    assert second[0] == "blocked"
    assert "10.0.0.1" in second[1]
    assert told["requests"][0][0] == 200
    assert told["requests"][1][0] is None
    assert "10.0.0.1" in told["requests"][1][1]
    assert told["connections"] == 2
