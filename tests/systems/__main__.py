"""`make test-systems`: real content systems on loopback, against a running desk with a real partner.

A system that cannot be installed is skipped, and the output says so. `SYSTEMS="wordpress ghost"` takes some of them
only. SIGTERM and Ctrl-C end it with all that it has started.
"""

from __future__ import annotations

import os
import sys

from tests.systems import runner
from tests.systems.directus_day import DIRECTUS
from tests.systems.ghost_day import GHOST
from tests.systems.payload_day import PAYLOAD
from tests.systems.strapi_day import STRAPI
from tests.systems.wagtail_day import WAGTAIL
from tests.systems.wordpress import WORDPRESS

SYSTEMS = (WORDPRESS, GHOST, WAGTAIL, DIRECTUS, STRAPI, PAYLOAD)

if __name__ == "__main__":
    sys.exit(runner.run(SYSTEMS, os.environ.get("SYSTEMS", "").split()))
