"""`python -m workers --name NAME [--tasks route,deliver]`: one worker process. `dateline worker` starts it."""

from __future__ import annotations

import argparse
import os
import sys

from service import logs, settings
from service.runtime import key_files
from service.runtime.celery_app import QUEUES, tasks_of
from service.store.errors import StoreError
from workers import process


def main() -> int:
    parser = argparse.ArgumentParser(prog="dateline worker")
    parser.add_argument("--name", default=f"w{os.getpid()}")
    parser.add_argument("--tasks", default=",".join(QUEUES.values()))
    arguments = parser.parse_args()
    name: str = arguments.name
    try:
        loaded = key_files.ensure_keys(settings.load())
        logs.configure(loaded.log_level, json=not sys.stderr.isatty())
        return process.run(loaded, name, tasks_of(arguments.tasks))
    except (settings.SettingsError, StoreError, ValueError) as error:
        print(f"dateline worker: {error}", file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
