"""Signing keys: both kinds, rotated with overlap, sealed; what is sent verifies with the key in force then."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select

from service.store import operations
from service.store.articles import sources
from service.store.coordination import heartbeats
from service.store.database import resealing
from service.store.database.keyring import Keyring
from service.store.database.record import Record
from service.store.deliveries import claims, routing
from service.store.errors import AlreadyExists, NotFound, NotPossible, UnknownSections
from service.store.partners import endpoints, signing_keys
from service.store.partners.endpoints import Changes
from service.store.schema.base import metadata
from service.store.schema.operations import audit
from service.store.schema.partners import endpoint as endpoint_table
from service.webhooks import signatures
from service.webhooks.signatures import BadSignature
from tests.builders import NOW, SECRET, a_desk, an_article, an_endpoint, later, post, pushes_for
from workers.net.transport import Push

PAIR = signatures.new_key_pair()


def sealed_of(record: Record, endpoint_id: int) -> bytes:
    with record.reading() as connection:
        query = select(endpoint_table.c.secret_sealed).where(endpoint_table.c.id == endpoint_id)
        return bytes(connection.execute(query).scalar_one())


def in_force(record: Record, endpoint_id: int, seconds: float = 0) -> tuple[str, ...]:
    return signing_keys.signing_secrets(record, sealed_of(record, endpoint_id), later(seconds))


def audited(record: Record, action: str) -> list[dict[str, Any]]:
    with record.reading() as connection:
        query = select(audit.c.detail).where(audit.c.action == action)
        return [json.loads(each) for each in connection.execute(query).scalars()]


def rotate(record: Record, endpoint_id: int, *, now: datetime = NOW, **rotation: Any) -> signing_keys.NewKeys:
    wanted = signing_keys.Rotation(**rotation)
    return operations.rotate_keys(record, endpoint_id, signatures.new_key, wanted, actor="operator", now=now)


def a_letter(record: Record, seconds: float = 0) -> tuple[Push, dict[str, str]]:
    """The push of a fresh article, as the worker would send it, with its headers."""
    post(record, sources.by_slug(record, "wire"), an_article(external_id=f"at {seconds}"), now=later(seconds))
    heartbeats.heartbeat(record, "w1.test", broker="up", now=later(seconds))
    routing.route(record, later(seconds))
    claimed, _ = claims.claim(record, lease="w1.test", limit=10, cursor=claims.Cursor(), now=later(seconds))
    [push] = pushes_for(record, claimed, later(seconds))
    return push, dict(push.headers)


def test_push_to_an_endpoint_with_both_kinds_verifies_with_either(record: Record) -> None:
    a_desk(record)
    an_endpoint(record, ed25519=PAIR.secret)
    push, headers = a_letter(record)
    kinds = [each.partition(",")[0] for each in headers["webhook-signature"].split(" ")]
    assert kinds == ["v1", "v1a"]
    for key in (SECRET, PAIR.public):
        assert signatures.verify([key], headers, push.body, NOW) == headers["webhook-id"]
    with pytest.raises(BadSignature):
        signatures.verify([signatures.new_key_pair().public], headers, push.body, NOW)


def test_v1a_is_plain_ed25519_over_id_time_and_body(record: Record) -> None:
    a_desk(record)
    an_endpoint(record, ed25519=PAIR.secret)
    push, headers = a_letter(record)
    signature = headers["webhook-signature"].split(" v1a,")[1]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + push.body
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(PAIR.public.removeprefix("whpk_")))
    public.verify(base64.b64decode(signature), signed)


def test_rotation_signs_with_old_and_new_of_both_kinds_for_two_days(record: Record) -> None:
    a_desk(record)
    endpoint = an_endpoint(record, ed25519=PAIR.secret)
    rotated = rotate(record, endpoint.id)
    assert [signing_keys.kind_of(each) for each in rotated.secrets] == ["v1", "v1a"]
    assert rotated.old_until == NOW + timedelta(days=2)
    new = (rotated.secrets[0], signatures.public_key(rotated.secrets[1]))
    push, headers = a_letter(record, 60)
    for key in (SECRET, PAIR.public, *new):
        signatures.verify([key], headers, push.body, later(60))
    after = 2 * 86400
    assert in_force(record, endpoint.id, after) == rotated.secrets


def test_rotation_in_the_middle_of_a_rotation_keeps_each_ones_own_end(record: Record) -> None:
    endpoint = an_endpoint(record)
    [first] = rotate(record, endpoint.id).secrets
    [second] = rotate(record, endpoint.id, now=later(3600)).secrets
    assert in_force(record, endpoint.id, 3600) == (second, first, SECRET)
    assert in_force(record, endpoint.id, 2 * 86400) == (second, first)
    assert in_force(record, endpoint.id, 2 * 86400 + 3600) == (second,)


def test_key_that_leaked_signs_nothing_after_it_was_rotated_at_once(record: Record) -> None:
    endpoint = an_endpoint(record)
    [leaked] = rotate(record, endpoint.id).secrets
    [fresh] = rotate(record, endpoint.id, overlap=timedelta(0)).secrets
    assert leaked not in in_force(record, endpoint.id)
    assert in_force(record, endpoint.id) == (fresh,)


def test_one_kind_can_be_rotated_alone(record: Record) -> None:
    endpoint = an_endpoint(record, ed25519=PAIR.secret)
    rotated = rotate(record, endpoint.id, kinds=("v1a",), overlap=timedelta(0))
    assert in_force(record, endpoint.id) == (*rotated.secrets, SECRET)
    assert audited(record, "endpoint.secret_rotated")[0]["kinds"] == ["v1a"]


def test_rotating_a_key_pair_that_is_not_there_says_how_to_get_one(record: Record) -> None:
    endpoint = an_endpoint(record)
    with pytest.raises(NotPossible, match=f"dateline endpoint set {endpoint.id} --ed25519"):
        rotate(record, endpoint.id, kinds=("v1a",))
    with pytest.raises(NotFound):
        rotate(record, 99)


def test_ed25519_is_switched_on_once_and_off_for_an_endpoint_that_was_there(record: Record) -> None:
    endpoint = an_endpoint(record)
    assert in_force(record, endpoint.id) == (SECRET,)
    private, same = (
        operations.sign_with_ed25519(record, endpoint.id, signatures.new_key, actor="operator", now=NOW)
        for _ in range(2)
    )
    assert private == same
    assert in_force(record, endpoint.id) == (SECRET, private)
    assert operations.stop_ed25519(record, endpoint.id, actor="operator", now=NOW)
    assert not operations.stop_ed25519(record, endpoint.id, actor="operator", now=NOW)
    assert in_force(record, endpoint.id) == (SECRET,)
    assert len(audited(record, "endpoint.ed25519_on")) == len(audited(record, "endpoint.ed25519_off")) == 1


def test_no_key_is_in_the_audit_or_in_the_text_of_a_rotation(record: Record) -> None:
    endpoint = an_endpoint(record, ed25519=PAIR.secret)
    rotated = rotate(record, endpoint.id)
    assert "whs" not in repr(rotated)
    with record.reading() as connection:
        details = connection.execute(select(audit.c.detail)).scalars().all()
    assert "whs" not in "".join(details)


def a_secret_key() -> str:
    return Fernet.generate_key().decode()


def with_keys(record: Record, secret_key: str) -> Record:
    """The same record, opened with other keys."""
    return Record(record.engine, Keyring(secret_key))


def test_resealed_secrets_need_the_old_key_no_more(record: Record) -> None:
    old, new = a_secret_key(), a_secret_key()
    before, both, after = (with_keys(record, each) for each in (old, f"{new},{old}", new))
    source = a_desk(before)
    endpoint = an_endpoint(before, ed25519=PAIR.secret)
    with pytest.raises(NotPossible, match="DATELINE_SECRET_KEY"):
        sources.by_slug(after, source.slug)
    assert operations.reseal(both, actor="operator", now=NOW) == {"endpoint": 1, "source": 1}
    assert sources.by_slug(after, source.slug).secret == source.secret
    assert in_force(after, endpoint.id) == (SECRET, PAIR.secret)
    with pytest.raises(NotPossible):
        in_force(before, endpoint.id)
    assert audited(record, "secrets.resealed") == [{"endpoint": 1, "source": 1}]
    assert operations.reseal(after, actor="operator", now=NOW) == {"endpoint": 1, "source": 1}


def test_resealing_without_the_old_key_is_refused_and_changes_nothing(record: Record) -> None:
    a_desk(record)
    endpoint = an_endpoint(record)
    before = sealed_of(record, endpoint.id)
    with pytest.raises(NotPossible, match="put the old key behind the new one"):
        operations.reseal(with_keys(record, a_secret_key()), actor="operator", now=NOW)
    assert sealed_of(record, endpoint.id) == before


def test_every_column_that_holds_sealed_bytes_is_resealed() -> None:
    sealed = {table.name for table in metadata.sorted_tables if any("sealed" in c.name for c in table.c)}
    assert {table.name for table in resealing.sealed_tables()} == sealed


def change(record: Record, endpoint_id: int, **changes: Any) -> tuple[endpoints.Endpoint, tuple[str, ...]]:
    return operations.change_endpoint(record, endpoint_id, Changes(**changes), actor="operator", now=NOW)


def test_endpoint_is_changed_in_the_named_settings_alone_and_the_change_is_audited(record: Record) -> None:
    a_desk(record)
    endpoint = an_endpoint(record, sections=["world"], schedule=(0, 5))
    changed, names = change(record, endpoint.id, max_in_flight=9, schedule=(0, 1, 2), sections=["china"])
    assert names == ("sections", "max_in_flight", "schedule")
    assert (changed.sections, changed.max_in_flight, changed.schedule) == (("china",), 9, (0, 1, 2))
    assert (changed.url, changed.every_revision) == (endpoint.url, False)
    assert audited(record, "endpoint.changed") == [
        {"sections": [["world"], ["china"]], "max_in_flight": [4, 9], "schedule": [[0, 5], [0, 1, 2]]}
    ]
    back, _ = change(record, endpoint.id, all_sections=True, default_schedule=True, every_revision=True)
    assert (back.sections, back.schedule, back.every_revision) == (None, None, True)
    assert change(record, endpoint.id, max_in_flight=9)[1] == ()
    assert len(audited(record, "endpoint.changed")) == 2


def test_delivery_carries_its_endpoints_own_schedule(record: Record) -> None:
    a_desk(record)
    endpoint = an_endpoint(record)
    change(record, endpoint.id, schedule=(0, 7, 8))
    push, _ = a_letter(record)
    assert push.token[0].schedule == (0, 7, 8)


def test_new_address_starts_afresh_and_gets_the_waiting_deliveries(record: Record) -> None:
    a_desk(record)
    endpoint = an_endpoint(record)
    with record.writing() as connection:
        values = {"breaker": "open", "breaker_until": later(600), "not_before": later(600), "failures": 7}
        connection.execute(endpoint_table.update().values(values))
    change(record, endpoint.id, url="https://moved.example.org/in")
    push, _ = a_letter(record)
    assert push.url == "https://moved.example.org/in"


def test_change_that_is_not_possible_changes_nothing(record: Record) -> None:
    a_desk(record)
    endpoint = an_endpoint(record, "herald")
    other = an_endpoint(record, "herald")
    with pytest.raises(AlreadyExists):
        change(record, endpoint.id, url=other.url, max_in_flight=9)
    with pytest.raises(UnknownSections):
        change(record, endpoint.id, sections=["wolrd"], max_in_flight=9)
    with pytest.raises(NotFound):
        change(record, 99, max_in_flight=9)
    assert endpoints.get_endpoint(record, endpoint.id) == endpoint
