"""`python -m workers --name NAME`: one worker process. `dateline worker` starts it."""

from __future__ import annotations

import argparse
import os
import sys

from service import logs, settings
from service.store.errors import StoreError
from workers import app


def main() -> int:
    parser = argparse.ArgumentParser(prog="dateline worker")
    parser.add_argument("--name", default=f"w{os.getpid()}")
    name: str = parser.parse_args().name
    try:
        loaded = settings.ensure_keys(settings.load())
        logs.configure(loaded.log_level, json=not sys.stderr.isatty())
        return app.run(loaded, name)
    except (settings.SettingsError, StoreError, ValueError) as error:
        print(f"dateline worker: {error}", file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
