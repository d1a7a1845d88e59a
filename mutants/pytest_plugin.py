"""How pytest runs on a mutant, as its plugin: the same each time, and done with the first fault that it finds."""

from __future__ import annotations

from hypothesis import Phase, settings

settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),  # a counterexample need not be a small one
)


def pytest_collection_finish() -> None:
    settings.load_profile("mutants")  # after conftest.py, which loads its own
