"""The pages about sources: each with its last post, what is held of it and why, and how its comparison goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flask import Blueprint, render_template

from service.console import words_sources
from service.store.database.record import Record
from service.store.views.pipeline import pipeline_now
from service.store.views.sources import held_hooks


def add_routes(pages: Blueprint, record: Record, clock: Callable[[], datetime]) -> None:
    """Adds /status/sources, and to every template the words of a source."""

    def sources() -> str:
        found = words_sources.gravest(pipeline_now(record).sources, clock())
        return render_template("status/sources.html", sources=found, held=held_hooks(record))

    pages.add_url_rule("/status/sources", "sources", sources)
    pages.context_processor(
        lambda: {
            "source_word": lambda each: words_sources.source_word(each, clock()),
            "source_remedy": words_sources.remedy,
        }
    )
