"""A source with its sections, and the feeds made of what it posts. Modules that need another have their own."""

from __future__ import annotations

import pytest

from service.store.articles.sources import Source
from service.store.database.record import Record
from tests.builders import a_desk
from tests.feed_desk import FeedDesk


@pytest.fixture
def source(record: Record) -> Source:
    return a_desk(record)


@pytest.fixture
def desk(record: Record, source: Source) -> FeedDesk:
    return FeedDesk(record)
