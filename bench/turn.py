"""One turn of a comparison: one round of a row, measured by the bench of the tree in which this file lies.

`python -m bench.turn NAME [--quick] [--database KIND] [--json FILE]`. It is laid into trees of any age: of their bench
it uses nothing but `bench.__main__.main` and the number of rounds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import service
from bench import __main__ as whole
from bench import run
from bench.signals import end_in_order

TREE = Path(__file__).resolve().parents[1]


def main() -> int:
    end_in_order()
    measured = Path(str(service.__file__)).resolve().parents[1]
    if measured != TREE:
        sys.exit(f"this is the bench of {TREE}, but it would measure {measured}")
    run.ROUNDS = 1
    return whole.main()


if __name__ == "__main__":
    sys.exit(main())
