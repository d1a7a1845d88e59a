"""Pushes go only where they may: by address when connecting, by URL when an endpoint is added."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.endpoint_urls import UrlRefused, check_url
from workers.net.address_guard import refusal

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_addresses_pass(address: str) -> None:
    assert refusal(address, 443, []) is None


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("100.64.0.1", "CGNAT"),
        ("100.127.255.254", "CGNAT"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("169.254.1.1", "local link"),
        ("fe80::1", "local link"),
        ("fe80::1%eth0", "local link"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("ff02::1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("192.0.2.1", "reserved"),
        ("198.18.0.1", "reserved"),
        ("203.0.113.9", "reserved"),
        ("192.0.0.192", "reserved"),
        ("192.88.99.1", "6to4"),
        ("2002:7f00:1::", "6to4"),
        ("2002:a9fe:a9fe::1", "6to4"),
        ("2001:0:7f00:1::1", "Teredo"),
        ("64:ff9b::a9fe:a9fe", "NAT64"),
        ("64:ff9b::808:808", "NAT64"),
        ("64:ff9b:1::1", "NAT64"),
        ("::127.0.0.1", "old IPv6 form"),
        ("2001:db8::1", "reserved"),
        ("3fff::1", "documentation"),
        ("5f00::1", "reserved"),
        ("100::1", "reserved"),
        ("4000::1", "reserved"),
    ],
)
def test_every_address_that_is_not_a_public_one_is_refused_with_the_reason(address: str, why: str) -> None:
    assert why in (refusal(address, 443, []) or "passes")


@pytest.mark.parametrize("port", [80, 443, 1024, 8443, 65535])
def test_web_ports_and_high_ports_pass(port: int) -> None:
    assert refusal("8.8.8.8", port, []) is None


@pytest.mark.parametrize("port", [0, 1, 22, 25, 79, 81, 442, 444, 1023, 65536])
def test_other_ports_are_refused_even_inside_allowed_networks(port: int) -> None:
    assert f"port {port}" in (refusal("8.8.8.8", port, []) or "")
    assert f"port {port}" in (refusal("127.0.0.1", port, LOOPBACK) or "")


def test_allowed_networks_pass_and_only_they() -> None:
    assert refusal("127.0.0.1", 8080, LOOPBACK) is None
    assert refusal("::1", 8080, LOOPBACK) is None
    assert refusal("::ffff:127.0.0.1", 8080, LOOPBACK) is None
    assert refusal("10.0.0.1", 8080, LOOPBACK)


def test_the_refusal_says_which_setting_allows_it() -> None:
    assert "DATELINE_ALLOW_NETWORKS" in (refusal("10.0.0.1", 443, []) or "")


@pytest.mark.parametrize("address", ["", "localhost", "1.2.3", "0x7f000001", "2130706433", "::g", "8.8.8.8 "])
def test_a_text_that_is_no_address_is_refused(address: str) -> None:
    assert refusal(address, 443, LOOPBACK)


@given(st.ip_addresses())
def test_an_address_that_passes_is_always_global_unicast(address: IPv4Address | IPv6Address) -> None:
    if refusal(str(address), 443, []) is None:
        address = getattr(address, "ipv4_mapped", None) or address
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(st.ip_addresses(v=4).filter(lambda found: refusal(str(found), 443, []) is not None))
def test_no_ipv6_form_smuggles_in_a_refused_ipv4_address(inner: IPv4Address) -> None:
    number = int(inner)
    for form in (0xFFFF << 32 | number, number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert refusal(str(ip_address(form.to_bytes(16, "big"))), 443, [])


@given(st.text(), st.integers())
def test_the_guard_never_raises(address: str, port: int) -> None:
    refusal(address, port, LOOPBACK)


@pytest.mark.parametrize(
    "url",
    [
        "https://partner.example/hooks?x=1",
        "https://partner.example:8443/",
        "https://8.8.8.8",
        "https://[2606::1]/",
    ],
)
def test_https_urls_pass(url: str) -> None:
    check_url(url, allow_http=False, allowed=[])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://partner.example/", "https"),
        ("ftp://partner.example/", "not a web address"),
        ("file:///etc/passwd", "not a web address"),
        ("partner.example/hooks", "not a web address"),
        ("https://", "not a web address"),
        ("", "not a web address"),
        ("https://[::1", "not a web address"),
        ("https://x:99999/", "not a web address"),
        ("https://user:pass@partner.example/", "password"),
        ("https://user@partner.example/", "user name"),
        ("https://partner.example/#top", "#"),
        ("https://partner.example/#", "#"),
        ("https://partner.example:22/", "port 22"),
        ("https://partner.example:0/", "port 0"),
        ("https://partner.example/a b", "blanks"),
        ("https://partner.example/\r\nX: y", "blanks"),
        ("https://partner.example\\@evil.example/", "backslash"),
        ("https://2130706433/", "another writing"),
        ("https://0177.0.0.1/", "another writing"),
        ("https://127.1/", "another writing"),
        ("https://0x7f.1/", "another writing"),
        ("https://1.2.3.4.5/", "another writing"),
        ("https://①②⑦.⓪.⓪.①/", "stand for others"),
        ("https://ｅxample.example/", "stand for others"),
        ("https://127。0。0。1/", "stand for others"),
        ("https://[64:ff9b::7f00:1]/", "NAT64"),
        ("https://[::ffff:127.0.0.1]/", "loopback"),
        ("https://[2002:7f00:1::]/", "6to4"),
        ("https://127.0.0.1./", "loopback"),
        ("https://a.localhost/", "loopback"),
        ("https://169.254.169.254/", "metadata"),
        ("https://partner.example%00.evil.example/", "%"),
        ("https://[fe80::1%25eth0]/", "%"),
        ("https://partner..example/", "no host"),
    ],
)
def test_a_url_that_no_endpoint_may_have_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(UrlRefused, match=why):
        check_url(url, allow_http=False, allowed=[])


def test_http_passes_if_allowed_by_setting_or_inside_allowed_networks() -> None:
    check_url("http://partner.example/", allow_http=True, allowed=[])
    check_url("http://127.0.0.1:9000/", allow_http=False, allowed=LOOPBACK)
    check_url("http://localhost:9000/", allow_http=False, allowed=LOOPBACK)
    with pytest.raises(UrlRefused):
        check_url("http://10.0.0.1:9000/", allow_http=False, allowed=LOOPBACK)


@given(st.text())
def test_no_text_raises_anything_but_url_refused(url: str) -> None:
    for candidate in (url, f"https://{url}"):
        try:
            check_url(candidate, allow_http=True, allowed=LOOPBACK)
        except UrlRefused as refused:
            assert str(refused).endswith(".")  # noqa: PT017 - either way is fine, anything else is not
