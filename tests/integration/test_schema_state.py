"""The program says in words whether it can use a record, and what differs from the schema that it expects."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from service.console import probes
from service.store import migrations
from service.store.database.record import Record
from service.store.errors import SchemaBehind
from service.store.migrations import Schema
from tests import web
from tests.builders import NOW


def run(record: Record, *statements: str) -> None:
    with record.writing() as connection:
        for statement in statements:
            connection.execute(text(statement))


def at_schema(record: Record, name: str) -> None:
    run(record, f"UPDATE alembic_version SET version_num = '{name}'")


def schema_check(record: Record) -> probes.Check:
    return next(
        each
        for each in probes.examine(record, NOW, lambda: migrations.faults(record))
        if each.check == "schema"
    )


def next_schema(record: Record) -> str:
    return f"{int(migrations.schema_state(record).head) + 1:04}"


def test_a_record_made_by_the_migrations_has_no_faults(record: Record) -> None:
    assert migrations.faults(record) == []
    assert schema_check(record).ok


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("ALTER TABLE notice RENAME COLUMN last_words TO words_of_old", "notice has no column last_words"),
        ("DROP INDEX uq_delivery_flying", "delivery has no index uq_delivery_flying"),
        ("ALTER TABLE moved RENAME TO moved_away", "there is no table moved"),
        (
            "DROP INDEX uq_delivery_flying; CREATE INDEX uq_delivery_flying ON delivery (id)",
            "the index uq_delivery_flying of delivery is another one",
        ),
    ],
)
def test_a_record_whose_migration_was_another_is_not_ready_and_the_words_name_the_difference(
    record: Record, change: str, fault: str
) -> None:
    run(record, *change.split("; "))
    assert migrations.faults(record) == [fault]
    check = schema_check(record)
    assert not check.ok
    assert fault in check.words
    answer = web.an_app(record).test_client().get("/readyz")
    assert answer.status_code == 503
    assert fault in answer.get_json()["because"]


def test_the_key_of_the_ledger_from_before_0006_is_named(record: Record) -> None:
    if record.is_sqlite:
        pytest.skip("SQLite cannot change a key")
    run(
        record,
        "ALTER TABLE receipt DROP CONSTRAINT pk_receipt",
        "ALTER TABLE receipt ADD PRIMARY KEY (partner_id, article_id, endpoint_id)",
    )
    assert "the key of receipt is (partner_id, article_id, endpoint_id)" in migrations.faults(record)[0]


def test_an_older_program_works_on_with_what_a_newer_one_added(record: Record) -> None:
    newer = next_schema(record)
    run(record, "ALTER TABLE notice ADD COLUMN of_tomorrow INTEGER")
    at_schema(record, newer)
    migrations.require_schema(record)
    assert migrations.migrate(record) == newer
    check = schema_check(record)
    assert check.ok
    assert check.words == (
        f"the record is at schema {newer}, made by a newer Dateline; this one knows"
        f" {migrations.schema_state(record).head} and works on with it: update this one too"
    )


def test_an_older_program_refuses_a_record_from_which_something_was_taken_away(record: Record) -> None:
    at_schema(record, "1001")
    for use in (migrations.require_schema, migrations.migrate):
        with pytest.raises(SchemaBehind, match="cannot use it: install the newer version here"):
            use(record)
    assert not schema_check(record).ok


@pytest.mark.parametrize(
    ("current", "usable", "words"),
    [
        ("0006", True, "is the newest"),
        ("0005", False, "run dateline migrate"),
        (None, False, "run dateline migrate"),
        ("0007", True, "update this one too"),
        ("1000", False, "install the newer version here"),
    ],
)
def test_the_advice_is_the_right_way_round(current: str | None, usable: bool, words: str) -> None:
    schema = Schema(current, "0006")
    assert schema.is_usable == usable
    assert schema.words.endswith(words)


def test_tables_are_compared_again_after_half_a_minute_and_not_for_each_that_asks(record: Record) -> None:
    seconds = [0.0]
    compared = probes.SchemaComparison(record, steady=lambda: seconds[0])
    assert compared.faults() == []
    with record.writing() as connection:
        connection.execute(text("DROP INDEX ix_notice_due"))
    assert compared.faults() == []
    seconds[0] = probes.COMPARED_EVERY + 1
    assert compared.faults() != []
