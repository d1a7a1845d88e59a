"""WordPress, connected by our plug-in as docs/connect/wordpress-plugin.md says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.desk import RunningDesk
from tests.outlet import Outlet
from tests.systems import wordpress_browser, wordpress_site
from tests.systems.partner_view import PartnerView
from tests.systems.runner import Step, TestedSystem
from tests.systems.wordpress_journey import WpJourney
from tests.systems.wordpress_screens import WpScreens
from tests.systems.wordpress_site import WpSite


@contextlib.contextmanager
def journey(folder: Path) -> Iterator[tuple[str, Iterator[Step]]]:
    """The plug-in is installed as a source of Dateline's own JSON."""
    (folder / "desk").mkdir()
    (folder / "site").mkdir()
    with Outlet() as outlet, RunningDesk(folder / "desk") as desk:
        desk.furnish(outlet, "/hook")
        desk.dateline("section", "add", "business", "--title", "Business", "--language", "en")
        desk.dateline("source", "set", "wire", "--map", "中国=china")
        desk.dateline("section", "add", "china", "--title", "中国", "--language", "zh-Hans")
        with WpSite(folder / "site", desk.source) as site:
            yield site.versions, _steps(WpJourney(site, desk, PartnerView(outlet)))


def _steps(day: WpJourney) -> Iterator[Step]:
    yield from day.steps()
    if wordpress_browser.browser_program() is None:
        print("wordpress: the steps in a browser are skipped, not installed: chromium", flush=True)
        return
    with wordpress_browser.opened(day.site) as browser:
        yield from WpScreens(day, browser).steps()


WORDPRESS = TestedSystem("wordpress", wordpress_site.missing_parts, journey, limit=600)
