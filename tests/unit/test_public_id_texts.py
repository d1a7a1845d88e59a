"""Public ids are made and read as the first lines of service/store/names.py lay down."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from service.store import names
from service.store.names import DeliveryName

NOW = datetime(2026, 5, 3, 23, 59, tzinfo=UTC)
ULID = "01KDYH8H7ZJ4T0M4YQ2W9S5E6C"


def test_articles_id_has_the_desks_name_the_day_and_a_number_of_its_own() -> None:
    found = names.new_article_id("news.example.org", NOW)
    assert re.fullmatch(r"tag:news\.example\.org,2026-05-03:item/[0-9A-HJKMNP-TV-Z]{26}", found)
    assert names.new_article_id("news.example.org", NOW) != found


def test_events_and_notices_have_numbers_of_their_own() -> None:
    assert re.fullmatch(r"evt_[0-9A-HJKMNP-TV-Z]{26}", names.new_event_id())
    assert re.fullmatch(r"ntc_[0-9A-HJKMNP-TV-Z]{26}", names.new_notice_id())
    assert names.new_event_id() != names.new_event_id()


def test_new_events_id_is_read_as_one() -> None:
    found = names.new_event_id()
    assert names.read_event_id(found) == found


@pytest.mark.parametrize("text", ["", ULID, f"evt_{ULID}x", f"evt_{ULID[1:]}", f" evt_{ULID}", f"EVT_{ULID}"])
def test_any_other_text_is_no_events_id(text: str) -> None:
    assert names.read_event_id(text) is None


def test_deliverys_id_names_its_event_its_endpoint_and_its_replay() -> None:
    assert names.delivery_id(f"evt_{ULID}", 7, 0) == f"dlv_{ULID}_7"
    assert names.delivery_id(f"evt_{ULID}", 7, 1) == f"dlv_{ULID}_7_1"
    assert names.delivery_id(f"evt_{ULID}", 7, 2) == f"dlv_{ULID}_7_2"


def test_deliverys_id_is_read_as_it_was_made() -> None:
    assert names.read_delivery_id(f"dlv_{ULID}_7") == DeliveryName(f"evt_{ULID}", 7, 0)
    assert names.read_delivery_id(f"dlv_{ULID}_71_23") == DeliveryName(f"evt_{ULID}", 71, 23)
    assert names.read_delivery_id(f"dlv_{ULID}_1") == DeliveryName(f"evt_{ULID}", 1, 0)


@pytest.mark.parametrize("number", ["0", "07", "-1", "1e3", "x", "", "1" * 19])
def test_number_that_no_delivery_has_makes_it_no_deliverys_id(number: str) -> None:
    assert names.read_delivery_id(f"dlv_{ULID}_{number}") is None
    assert names.read_delivery_id(f"dlv_{ULID}_7_{number}") is None


def test_last_part_of_an_articles_id_is_its_number() -> None:
    assert names.last_part(f"tag:news.example.org,2026-05-03:item/{ULID}") == ULID
    assert names.last_part(f"tag:odd/name,2026-05-03:item/{ULID}") == ULID
    assert names.last_part(ULID) == ULID


@pytest.mark.parametrize(
    ("number", "possible"), [(-1, False), (0, False), (1, True), (2, True), (2**63 - 1, True), (2**63, False)]
)
def test_row_has_a_number_from_1_to_the_greatest_of_64_bits(number: int, possible: bool) -> None:
    assert names.is_row(number) is possible


def test_greatest_number_is_the_one_that_both_databases_hold() -> None:
    assert names.ROW_MAX == 9_223_372_036_854_775_807


@pytest.mark.parametrize("text", ["", "plain", "\x01", chr(0xD7FF), chr(0xE000), "中文 🚢"])
def test_text_of_whole_characters_can_be_stored(text: str) -> None:
    assert names.is_storable(text)


@pytest.mark.parametrize("code", [0, 0xD800, 0xD9AB, 0xDBFF, 0xDFFF])
def test_text_with_nul_or_half_a_character_cannot_be_stored(code: int) -> None:
    assert not names.is_storable(chr(code))
    assert not names.is_storable(f"a{chr(code)}z")
