"""INSERTs that are one statement on PostgreSQL write the same as one after the other."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError

from service.store.database import joint_writes
from service.store.database.joint_writes import ID_OF_FIRST, Write
from service.store.database.record import Record
from service.store.database.sql import Statement

STORY = Statement("INSERT INTO story (headline) VALUES (:headline) RETURNING id")
LINE = Statement("INSERT INTO line (story, words) VALUES (:story, :words)")


@pytest.fixture
def record(record: Record) -> Record:
    return with_tables(record)


def with_tables(record: Record) -> Record:
    number = "INTEGER PRIMARY KEY" if record.is_sqlite else "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    with record.writing() as connection:
        connection.exec_driver_sql(f"CREATE TABLE story (id {number}, headline text NOT NULL UNIQUE)")
        connection.exec_driver_sql("CREATE TABLE line (story bigint NOT NULL REFERENCES story, words text)")
    return record


def lines(connection: Connection) -> list[tuple[int, str]]:
    return [(int(story), words) for story, words in connection.execute(text("SELECT story, words FROM line"))]


def test_a_new_row_and_those_that_belong_to_it_are_written(record: Record) -> None:
    with record.writing() as connection:
        for headline in ("Storm", "Ferry"):  # the second has the statement from the first
            made = joint_writes.run(
                connection,
                [
                    Write(STORY, {"headline": headline}),
                    Write(LINE, {"story": ID_OF_FIRST, "words": "time 08:00:00 :words"}),
                    Write(LINE, {"story": ID_OF_FIRST, "words": headline}),
                ],
            )
            assert set(lines(connection)[-2:]) == {(made, "time 08:00:00 :words"), (made, headline)}
        joint_writes.run(connection, [Write(LINE, {"story": made, "words": w}) for w in ("a", "b")])
        joint_writes.run(connection, [Write(LINE, {"story": made, "words": "alone"})])
        assert set(lines(connection)[-3:]) == {(made, "a"), (made, "b"), (made, "alone")}


@pytest.mark.parametrize("faulty", ["the first", "another"])
def test_of_writes_of_which_one_fails_none_stands(record: Record, faulty: str) -> None:
    with record.writing() as connection:
        STORY.rows(connection, headline="Storm")
    first = Write(STORY, {"headline": "Storm" if faulty == "the first" else "Ferry"})
    other = Write(LINE, {"story": 1_000 if faulty == "another" else ID_OF_FIRST, "words": "x"})
    with pytest.raises(IntegrityError), record.writing() as connection:
        joint_writes.run(connection, [first, other])
    with record.reading() as connection:
        assert lines(connection) == []
        assert connection.scalar(text("SELECT count(*) FROM story")) == 1


def test_on_postgresql_they_are_one_way_to_the_server(postgres_record: Record) -> None:
    asked = []
    with_tables(postgres_record)
    event.listen(postgres_record.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with postgres_record.writing() as connection:
        joint_writes.run(
            connection,
            [Write(STORY, {"headline": "Storm"}), Write(LINE, {"story": ID_OF_FIRST, "words": "x"})],
        )
    assert len(asked) == 1
