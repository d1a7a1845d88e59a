"""Signatures: ours verify with us and with the official library, and nothing else does."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from service.http import credentials
from service.webhooks import signatures
from service.webhooks.signatures import BadSecret, BadSignature, Signer, sign, verify

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"a secret of at least 24 bytes").decode()
OTHER = "whsec_" + base64.b64encode(b"another secret of 24 bytes or so").decode()
PAIR = signatures.new_key_pair()


def headers_for(body: bytes, *secrets: str, message_id: str = "dlv_1", at: datetime = NOW) -> dict[str, str]:
    timestamp = int(at.timestamp())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets or (SECRET,), message_id, timestamp, body),
    }


KEYS = st.one_of(
    st.binary(min_size=1, max_size=64).map(lambda raw: "whsec_" + base64.b64encode(raw).decode()),
    st.binary(min_size=32, max_size=32).map(lambda raw: "whsk_" + base64.b64encode(raw).decode()),
)


@given(secrets=st.lists(KEYS, min_size=1, max_size=3), message_id=st.text(min_size=1), body=st.binary())
def test_every_signed_message_verifies_with_each_of_its_secrets(
    secrets: list[str], message_id: str, body: bytes
) -> None:
    headers = headers_for(body, *secrets, message_id=message_id)
    for secret in secrets:
        assert verify([secret], headers, body, NOW) == message_id


HEADERS = st.dictionaries(
    st.one_of(
        st.sampled_from(["webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE", "x"]),
        st.text(st.characters(), max_size=10),
    ),
    st.one_of(
        st.text(st.characters()),
        st.just(str(int(NOW.timestamp()))),
        st.from_regex(r"v1a?,[A-Za-z0-9+/=, ]*", fullmatch=True),
    ),
)


@given(headers=HEADERS, body=st.binary(), secrets=st.lists(st.one_of(KEYS, st.text(st.characters()))))
def test_no_header_and_no_body_raises_anything_but_bad_signature(
    headers: dict[str, str], body: bytes, secrets: list[str]
) -> None:
    with pytest.raises(BadSignature) as caught:
        verify(secrets, headers, body, NOW)
    assert caught.value.reason


@given(
    signature=st.one_of(
        st.text(st.characters()), st.from_regex(r"v1a?,[A-Za-z0-9+/]{0,90}={0,2}", fullmatch=True)
    ),
    body=st.binary(),
)
def test_a_forged_signature_never_verifies(signature: str, body: bytes) -> None:
    headers = headers_for(body) | {"webhook-signature": signature}
    with pytest.raises(BadSignature):
        verify([SECRET, PAIR.public], headers, body, NOW)


def test_a_changed_body_id_or_time_is_refused() -> None:
    headers = headers_for(b"body")
    later = str(int(headers["webhook-timestamp"]) + 1)
    for changed, body in (
        (headers, b"bodY"),
        (headers | {"webhook-id": "dlv_2"}, b"body"),
        (headers | {"webhook-timestamp": later}, b"body"),
    ):
        with pytest.raises(BadSignature, match="No signature matches"):
            verify([SECRET], changed, body, NOW)


def test_while_secrets_rotate_both_the_old_and_the_new_one_verify() -> None:
    headers = headers_for(b"{}", OTHER, SECRET)
    assert verify([SECRET], headers, b"{}", NOW) == "dlv_1"
    assert verify([OTHER], headers, b"{}", NOW) == "dlv_1"
    assert verify([signatures.new_secret(), SECRET], headers, b"{}", NOW) == "dlv_1"


@pytest.mark.parametrize(("seconds", "side"), [(301, "old"), (-301, "far in the future")])
def test_a_message_of_another_time_is_refused(seconds: int, side: str) -> None:
    with pytest.raises(BadSignature, match=side):
        verify([SECRET], headers_for(b"", at=NOW), b"", NOW + timedelta(seconds=seconds))


def test_the_refusal_names_the_headers_that_are_missing() -> None:
    with pytest.raises(BadSignature, match="webhook-id, webhook-signature"):
        verify([SECRET], {"webhook-timestamp": "1"}, b"", NOW)


def test_header_names_may_come_in_any_case() -> None:
    headers = {name.title(): value for name, value in headers_for(b"x").items()}
    assert verify([SECRET], headers, b"x", NOW) == "dlv_1"


def test_ed25519_signs_as_v1a_and_verifies_with_the_public_key_alone() -> None:
    headers = headers_for(b"x", SECRET, PAIR.secret)
    assert [each.split(",")[0] for each in headers["webhook-signature"].split(" ")] == ["v1", "v1a"]
    assert verify([PAIR.public], headers, b"x", NOW) == "dlv_1"
    with pytest.raises(BadSignature):
        verify([signatures.new_key_pair().public], headers, b"x", NOW)


def test_a_public_key_is_that_of_its_private_one_and_verifies_but_does_not_sign() -> None:
    assert signatures.public_key(PAIR.secret) == PAIR.public
    signatures.check_secret(PAIR.public)
    with pytest.raises(BadSecret):
        sign([PAIR.public], "a", 1, b"")


@pytest.mark.parametrize("secret", ["whpk_", "whpk_YWJj", "whpk_" + "A" * 86, "whsk_YWJj", "whsec_?", ""])
def test_a_text_that_can_verify_nothing_is_no_secret(secret: str) -> None:
    with pytest.raises(BadSecret):
        signatures.check_secret(secret)


def test_a_signer_gives_the_same_signatures_as_sign() -> None:
    assert Signer([SECRET, OTHER]).sign("a", 1, b"x") == sign([SECRET, OTHER], "a", 1, b"x")


@pytest.mark.parametrize("secret", ["whsec_", "whsec_???", "whsk_YWJj", "", "whsec_ä"])
def test_a_secret_that_is_none_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(BadSecret) as caught:
        sign([secret], "a", 1, b"")
    assert len(secret) < 8 or secret not in str(caught.value)


def test_signing_without_any_secret_is_refused() -> None:
    with pytest.raises(BadSecret):
        sign([], "a", 1, b"")


# The official library reads the real clock, so these two use it as well.


@given(content=st.dictionaries(st.text(), st.text()))
def test_the_official_library_verifies_our_signatures(content: dict[str, str]) -> None:
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    headers = headers_for(body, OTHER, PAIR.secret, SECRET, at=datetime.now(UTC))
    assert Webhook(SECRET).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)


@given(body=st.text())
def test_we_verify_the_official_librarys_signatures(body: str) -> None:
    headers = headers_for(b"") | {"webhook-signature": Webhook(SECRET).sign("dlv_1", NOW, body)}
    assert verify([SECRET], headers, body.encode(), NOW) == "dlv_1"


def test_an_api_key_is_found_by_its_id_and_known_by_its_hash() -> None:
    key = credentials.new_api_key()
    read = credentials.read_api_key(key.text)
    assert read is not None
    assert read[0] == key.key_id
    assert hmac.compare_digest(read[1], key.hash)
    assert len(key.secret) == 43
    assert key.secret not in repr(key)


@given(text=st.one_of(st.text(), st.from_regex(r"dateline_[a-z]*_.*", fullmatch=True)))
def test_a_text_of_another_form_is_no_api_key(text: str) -> None:
    read = credentials.read_api_key(text)
    assert read is None or len(text) >= 54
