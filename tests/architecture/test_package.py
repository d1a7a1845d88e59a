"""The wheel has all that it needs, takes no name from others, and holds nothing of this machine."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"service", "workers", "feeds"}
# They are spelt so that this file does not contain them.
REGISTRIES = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org", "npmjs" + ".com")
MACHINE = ("/work" + "/", "/root" + "/", "/home" + "/")
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".yml",
    ".yaml",
    ".json",
    ".html",
    ".css",
    ".js",
    ".ini",
    ".cfg",
    ".mako",
    "",
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not in a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def project() -> dict[str, object]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        loaded: dict[str, object] = tomllib.load(file)["project"]
    return loaded


def test_no_dependency_ships_a_package_of_our_names() -> None:
    taken = {
        (name, distribution)
        for name, distributions in metadata.packages_distributions().items()
        if name in OURS
        for distribution in distributions
        if distribution != "dateline"
    }
    assert taken == set()


def test_version_is_the_same_everywhere() -> None:
    version = str(project()["version"])
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == version
    assert metadata.version("dateline") == version


@pytest.mark.parametrize("path", tracked(), ids=lambda path: str(path.relative_to(ROOT)))
def test_file_names_no_registry_and_no_path_of_this_machine(path: Path) -> None:
    if path.suffix not in TEXT or not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    assert [name for name in (*REGISTRIES, *MACHINE) if name in text] == []


def test_locked_requirements_are_all_pinned_with_hashes() -> None:
    for name in ("run.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text()
        pins = re.findall(r"^[A-Za-z0-9._-]+(?:\[[^\]]*\])?==", text, re.MULTILINE)
        blocks = [block for block in re.split(r"\n(?=[A-Za-z0-9])", text) if "==" in block.split("\n")[0]]
        assert len(pins) == len(blocks) > 20
        assert all("--hash=sha256:" in block for block in blocks)


def test_the_same_versions_are_locked_for_running_and_for_developing() -> None:
    pins = [
        set(re.findall(r"^([A-Za-z0-9._-]+==\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("run.txt", "dev.txt")
    ]
    assert pins[0] <= pins[1]


@pytest.mark.slow
def test_wheel_contains_all_that_runs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps",
         "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("dateline-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())
        entry_points = archive.read(
            next(name for name in shipped if name.endswith("entry_points.txt"))
        ).decode()
    ours = [path.relative_to(ROOT) for path in tracked() if path.relative_to(ROOT).parts[0] in OURS]
    missing = [str(path) for path in ours if path.as_posix() not in shipped]
    assert missing == []
    assert {name.split("/")[0] for name in shipped if ".dist-info/" not in name} == OURS
    assert "dateline = service.cli.main:main" in entry_points
    for folder in (
        "service/templates/",
        "service/static/",
        "service/store/migrations/versions/",
        "service/demo/stories/",
    ):
        assert any(name.startswith(folder) for name in shipped), folder
