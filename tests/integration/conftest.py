"""A source with its sections, and the feeds made of what it posts. Modules that need another have their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.store.articles.sources import Source
from service.store.database.record import Record
from tests import paper_system
from tests.builders import a_desk
from tests.feed_desk import FeedDesk
from tests.paper_newsroom import PaperNewsroom
from tests.paper_server import Paper, a_paper_server


@pytest.fixture
def source(record: Record) -> Source:
    return a_desk(record)


@pytest.fixture
def desk(record: Record, source: Source) -> FeedDesk:
    return FeedDesk(record)


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Paper]:
    """A content system with an API, whose adapter is there for the test."""
    paper_system.install(monkeypatch)
    with a_paper_server() as server:
        yield server


@pytest.fixture
def newsroom(record: Record, paper: Paper) -> PaperNewsroom:
    """A newsroom whose first comparison, of an empty system, is over."""
    made = PaperNewsroom(record, paper)
    made.work()
    assert made.state().swept_at is not None
    return made
