"""Articles are found by their public ids, and by the last part of them, however the desk was named at the time."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import event, update
from ulid import ULID

from service.store import names
from service.store.database.record import Record
from service.store.schema.articles import article
from tests.builders import NOW, a_desk, an_article, later, post


def find(record: Record, text: str) -> int | None:
    with record.reading() as connection:
        return names.find_article(connection, text)


def stories(record: Record, count: int) -> list[int]:
    source = a_desk(record)
    posts = [post(record, source, an_article(external_id=str(number))) for number in range(count)]
    found = [find(record, each.article) for each in posts]
    assert None not in found
    return [each for each in found if each is not None]


def rename(record: Record, number: int, public_id: str) -> None:
    with record.writing() as connection:
        connection.execute(update(article).where(article.c.id == number).values(public_id=public_id))


def an_id(authority: str, last: str, day: datetime = NOW) -> str:
    return f"tag:{authority},{day.date().isoformat()}:item/{last}"


def test_article_is_found_by_its_whole_id_and_by_its_last_part_in_either_case(record: Record) -> None:
    first, second = stories(record, 2)
    rename(record, second, an_id("news.example.org", last := str(ULID())))
    for text in (an_id("news.example.org", last), last, last.lower()):
        assert find(record, text) == second
    assert first != second


def test_whole_id_is_read_as_it_is_written(record: Record) -> None:
    (only,) = stories(record, 1)
    rename(record, only, name := an_id("news.example.org", str(ULID())))
    assert find(record, name) == only
    for text in (name.lower(), name.upper(), name[:-1], f"{name}0", name.replace("news", "n_ws")):
        assert find(record, text) is None


def test_id_of_500_characters_is_looked_for_and_a_longer_one_is_not(record: Record) -> None:
    (only,) = stories(record, 1)
    for length, found in ((499, only), (500, only), (501, None)):
        name = f"tag:{'a' * (length - 4)}"
        rename(record, only, name)
        assert find(record, name) == found


@pytest.mark.parametrize("text", ["tag:\0", "tag:\ud800", "", "%", "item/", "ſ" * 26, "0" * 25, "8" * 26])
def test_text_that_is_no_id_finds_nothing(record: Record, text: str) -> None:
    stories(record, 1)
    assert find(record, text) is None


def test_last_part_that_no_article_has_finds_nothing(record: Record) -> None:
    assert find(record, str(ULID())) is None
    stories(record, 2)
    assert find(record, str(ULID())) is None


def test_last_part_of_a_date_that_no_calendar_has_finds_nothing_and_its_article_if_there_is_one(
    record: Record,
) -> None:
    last = "7" + "Z" * 25
    assert find(record, last) is None
    (only,) = stories(record, 1)
    assert find(record, last) is None
    rename(record, only, an_id("news.example.org", last))
    assert find(record, last) == only


@pytest.mark.parametrize("days", [-1, 0, 1])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_index_of_ids_finds_an_article_named_within_a_day_of_its_number(
    record: Record, days: int, place: int
) -> None:
    """The authorities are those of the oldest and the newest article: the one between them has either's."""
    numbers = stories(record, 3)
    for number, authority in zip(
        numbers, ("old.example.org", "new.example.org", "new.example.org"), strict=True
    ):
        rename(record, number, an_id(authority, str(ULID())))
    last = str(ULID.from_datetime(NOW))
    authority = "new.example.org" if place else "old.example.org"
    rename(record, numbers[place], an_id(authority, last, NOW + timedelta(days=days)))
    assert (find(record, last), scans(record, last)) == (numbers[place], 0)


@pytest.mark.parametrize("days", [-2, 2])
def test_article_whose_day_and_number_are_further_apart_is_found_by_a_scan(record: Record, days: int) -> None:
    numbers = stories(record, 3)
    last = str(ULID.from_datetime(NOW))
    rename(record, numbers[1], an_id("news.example.org", last, NOW + timedelta(days=days)))
    assert (find(record, last), scans(record, last)) == (numbers[1], 1)


def test_article_of_a_desk_that_changed_its_name_twice_is_found_by_a_scan(record: Record) -> None:
    numbers = stories(record, 3)
    last = str(ULID.from_datetime(later(0)))
    rename(record, numbers[1], an_id("middle.example.org", last))
    assert (find(record, last), scans(record, last)) == (numbers[1], 1)


def scans(record: Record, text: str) -> int:
    """How often all articles are read to find this one."""
    seen: list[str] = []

    def listen(_: object, __: object, statement: str, *___: object) -> None:
        if "LIKE" in statement:
            seen.append(statement)

    event.listen(record.engine, "before_cursor_execute", listen)
    try:
        find(record, text)
    finally:
        event.remove(record.engine, "before_cursor_execute", listen)
    return len(seen)
