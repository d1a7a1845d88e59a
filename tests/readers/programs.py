"""The programs that read our feeds with the libraries of Go, Rust and Java: how each is built and run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


@dataclass(frozen=True)
class ReaderProgram:
    """A program named after its library. `build` takes a folder, and returns the command that takes the files."""

    name: str
    formats: tuple[str, ...]
    tools: tuple[str, ...]
    build: Callable[[Path], list[str]]

    @property
    def missing(self) -> list[str]:
        """The tools that are not installed here."""
        return [tool for tool in self.tools if not shutil.which(tool)]


def _go(folder: Path) -> list[str]:
    program = folder / "reader"
    # With another toolchain than the one that is there, go would fetch it.
    _run(["go", "build", "-o", str(program), "."], HERE / "go", GOTOOLCHAIN="local")
    return [str(program)]


def _rust(folder: Path) -> list[str]:
    """Cargo's lock file must name the registry, and ours does not: cargo says how it calls it."""
    work = folder / "work"
    shutil.copytree(HERE / "rust", work, dirs_exist_ok=True)
    lock = work / "Cargo.lock"
    pins = lock.read_text()
    lock.unlink()
    _run(["cargo", "generate-lockfile", "--quiet"], work)
    source = next(line for line in lock.read_text().splitlines() if line.startswith("source = "))
    lock.write_text(pins.replace("\nchecksum = ", f"\n{source}\nchecksum = "))
    target = folder / "target"
    _run(["cargo", "build", "--quiet", "--locked", "--jobs", "1"], work, CARGO_TARGET_DIR=str(target))
    return [str(target / "debug" / "reader")]


def _java(folder: Path) -> list[str]:
    """Maven has no lock file: the sums of the jars are kept beside the program."""
    jars, classes = folder / "jars", folder / "classes"
    shutil.rmtree(jars, ignore_errors=True)
    _run(["mvn", "--quiet", "--batch-mode", COPY_JARS, f"-DoutputDirectory={jars}"], HERE / "java")
    sums = "".join(
        f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in sorted(jars.iterdir())
    )
    if sums != (HERE / "java" / "SHA256SUMS").read_text():
        raise RuntimeError(f"the jars are not those of tests/readers/java/SHA256SUMS:\n{sums}")
    path = f"{jars}/*"
    _run(["javac", "-cp", path, "-d", str(classes), "Reader.java"], HERE / "java")
    return ["java", "-cp", f"{classes}{os.pathsep}{path}", "Reader"]


def _run(command: list[str], folder: Path, **environment: str) -> None:
    ran = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise RuntimeError(f"{command[0]} ended with {ran.returncode}:\n{(ran.stdout + ran.stderr)[-2000:]}")


PROGRAMS = (
    ReaderProgram("gofeed", ("rss", "atom", "json"), ("go",), _go),
    ReaderProgram("feed-rs", ("rss", "atom", "json"), ("cargo",), _rust),
    ReaderProgram("rome", ("rss", "atom"), ("mvn", "javac", "java"), _java),
)
