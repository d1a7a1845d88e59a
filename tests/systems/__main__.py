"""`make test-systems`: real content systems on loopback, against a running desk with a real partner.

A system that is not installed is skipped, and the output says so. `SYSTEMS="wordpress"` takes some of them only.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.desk import RunningDesk
from tests.outlet import Outlet
from tests.systems import wordpress_site
from tests.systems.partner_view import PartnerView
from tests.systems.wordpress_journey import WpJourney
from tests.systems.wordpress_site import WpSite

SYSTEM_LIMIT = 420  # seconds for one system, from its installation to its end


@dataclass(frozen=True)
class TestedSystem:
    """A content system: the parts of it that are not installed here, and the journey through it."""

    name: str
    missing: Callable[[], list[str]]
    run: Callable[[Path], int]


def main(names: list[str]) -> int:
    """Returns 1 if a system failed."""
    failures, skipped, passed = 0, 0, 0
    for system in SYSTEMS:
        if names and system.name not in names:
            continue
        if lacking := system.missing():
            skipped += 1
            print(f"{system.name}: skipped, not installed: {', '.join(lacking)}", flush=True)
            continue
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(SYSTEM_LIMIT)
        try:
            with tempfile.TemporaryDirectory(prefix="dateline-systems-") as folder:
                failed = system.run(Path(folder))
        finally:
            signal.alarm(0)
        failures += failed
        passed += not failed
    print(f"systems: {passed} passed, {failures} failed, {skipped} skipped", flush=True)
    return 1 if failures else 0


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"a system took longer than {SYSTEM_LIMIT} s")


def run_wordpress(folder: Path) -> int:
    """From the installation to the last step, or to the first that fails: the later ones compare the whole."""
    (folder / "desk").mkdir()
    (folder / "site").mkdir()
    with Outlet() as outlet, RunningDesk(folder / "desk") as desk:
        desk.furnish(outlet, "/hook")
        desk.dateline("section", "add", "business", "--title", "Business", "--language", "en")
        desk.dateline("source", "set", "wire", "--map", "中国=china")
        desk.dateline("section", "add", "china", "--title", "中国", "--language", "zh-Hans")
        with WpSite(folder / "site", desk.source) as site:
            print(f"wordpress: {site.versions}", flush=True)
            journey = WpJourney(site, desk, PartnerView(outlet))
            return 0 if all(_passes("wordpress", name, step) for name, step in journey.steps()) else 1


def _passes(system: str, name: str, step: Callable[[], None]) -> bool:
    began = time.monotonic()
    try:
        step()
    except (AssertionError, OSError) as fault:
        print(f"{system}: FAILED {name}: {fault}", flush=True)
        return False
    print(f"{system}: {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


SYSTEMS = (TestedSystem("wordpress", wordpress_site.missing_parts, run_wordpress),)

if __name__ == "__main__":
    sys.exit(main(os.environ.get("SYSTEMS", "").split()))
