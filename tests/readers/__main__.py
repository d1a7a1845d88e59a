"""`make readers`: Go, Rust and Java read the golden feeds, and their findings go to tests/golden/readers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.readers.programs import PROGRAMS, ReaderProgram

ROOT = Path(__file__).parents[2]
FEEDS = ROOT / "tests" / "golden"
FINDINGS = FEEDS / "readers"
BUILD = ROOT / "build" / "readers"


def main() -> int:
    """Goes on without a language that is missing, and after one that fails; a failure alone is an error."""
    FINDINGS.mkdir(exist_ok=True)
    failures = 0
    for program in PROGRAMS:
        if program.missing:
            print(f"{program.name}: left as it is, not installed: {', '.join(program.missing)}")
            continue
        try:
            print(f"{program.name}: {write(program)} documents read")
        except (OSError, RuntimeError, ValueError, subprocess.CalledProcessError) as failure:
            failures += 1
            print(f"{program.name}: left as it is: {failure}", file=sys.stderr)
    return 1 if failures else 0


def write(program: ReaderProgram) -> int:
    """Writes the program's findings, a file for each document, and returns their number."""
    folder = BUILD / program.name
    folder.mkdir(parents=True, exist_ok=True)
    documents = sorted(str(path) for fmt in program.formats for path in FEEDS.glob(f"*.{fmt}"))
    ran = subprocess.run([*program.build(folder), *documents], stdout=subprocess.PIPE, check=True)
    findings = json.loads(ran.stdout)
    for path in FINDINGS.glob(f"{program.name}-*.json"):
        path.unlink()
    for document, finding in findings.items():
        text = json.dumps(finding, ensure_ascii=False, indent=1, sort_keys=True)
        (FINDINGS / f"{program.name}-{document}.json").write_text(f"{text}\n", encoding="utf-8")
    return len(findings)


if __name__ == "__main__":
    sys.exit(main())
