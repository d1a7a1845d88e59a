"""How documents lie in the record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.feeds.packing import pack, unpack


@given(st.binary(max_size=2000))
def test_a_packed_document_comes_back(body: bytes) -> None:
    assert unpack(pack(body)) == body


def test_a_feed_takes_a_fraction_of_its_size() -> None:
    story = "<entry><title>The harbour council votes on the ferry</title><p>{}</p></entry>"
    body = "".join(story.format(f"Paragraph {n}. " * 30) for n in range(60)).encode()
    assert len(pack(body)) < len(body) / 4


@pytest.mark.parametrize("body", [b'<?xml version="1.0"?><rss/>', b'{"version": 1}', b"<!doctype html>", b""])
def test_a_document_written_before_packing_is_read_as_it_is(body: bytes) -> None:
    assert unpack(body) == body
