"""Allowed URLs, and the IP addresses that a host may resolve to."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from app.lib import outbound_url
from app.lib.outbound_url import BadAddress, OutboundUrl


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", OutboundUrl("https", "example.com", 443, "/")),
        ("https://Example.COM/In?a=1&b=%20", OutboundUrl("https", "example.com", 443, "/In?a=1&b=%20")),
        ("https://example.com:8443/x#part", OutboundUrl("https", "example.com", 8443, "/x")),
        ("https://example.com:80/", OutboundUrl("https", "example.com", 80, "/")),
        ("https://example.com:5000/", OutboundUrl("https", "example.com", 5000, "/")),
        ("https://xn--bcher-kva.example/", OutboundUrl("https", "xn--bcher-kva.example", 443, "/")),
        ("https://bücher.example/ä", OutboundUrl("https", "xn--bcher-kva.example", 443, "/%C3%A4")),
        ("https://93.184.216.34/", OutboundUrl("https", "93.184.216.34", 443, "/")),
        ("https://[2606:2800:220:1::1]:8443/", OutboundUrl("https", "2606:2800:220:1::1", 8443, "/")),
    ],
)
def test_a_plain_url_is_parsed(url: str, target: OutboundUrl) -> None:
    assert outbound_url.parse_url(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "https://",
        "https:///x",
        "//example.com",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://example.com@10.0.0.1/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: evil",
        "https://example.com/\tx",
        "https://example.com\\@evil.com/",
        "https://example.com/\x00",
        "https://example..com/",
        "https://example.com./",
        "https://-a.com/",
        "https://ex%61mple.com/",
        "https://example.com:22/",
        "https://example.com:0/",
        "https://example.com:25/",
        "https://example.com:1023/",
        "https://example.com:65536/",
        "https://example.com:x/",
        "https://example.com:-1/",
        "https://" + "a" * 64 + ".com/",
        "https://a.com/" + "x" * 500,
        "https://[::1",
        "https://[1.2.3.4]/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.x]/",
        "https://\ud800.com/",
    ],
)
def test_every_other_url_is_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        outbound_url.parse_url(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "0",
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.0.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[::127.0.0.1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2001:0:7f00:1::]",
        "[fec0::1]",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "1.2.3.4.5",
        "999.1.1.1",
        "127.0.0.0x1",
    ],
)
def test_no_notation_of_a_private_address_is_accepted(host: str) -> None:
    with pytest.raises(BadAddress):
        outbound_url.parse_url(f"https://{host}/")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8025/x", "http://localhost:3000/", "https://10.0.0.1/"])
def test_private_addresses_can_be_allowed(url: str) -> None:
    assert outbound_url.resolve(
        outbound_url.parse_url(url, private=True), private=True, resolver=resolves_to("127.0.0.1")
    )


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://a@127.0.0.1/", "http://127.0.0.1:22/", "http://0x7f.1/"])
def test_the_other_rules_hold_for_private_addresses_too(url: str) -> None:
    with pytest.raises(BadAddress):
        outbound_url.parse_url(url, private=True)


def resolves_to(*found: str) -> Any:
    """A resolver that returns these addresses for every host."""
    return lambda _host, port, **_more: [(0, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]


TARGET = OutboundUrl("https", "hooks.example", 443, "/")


def test_a_host_resolves_to_its_public_addresses_in_order() -> None:
    found = resolves_to("93.184.216.34", "2606:2800:220:1::1", "93.184.216.34")
    assert outbound_url.resolve(TARGET, resolver=found) == ["93.184.216.34", "2606:2800:220:1::1"]


@pytest.mark.parametrize(
    "private",
    [
        "127.0.0.1",
        "10.0.0.8",
        "169.254.169.254",
        "0.0.0.0",  # noqa: S104
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.8",
        "64:ff9b::a9fe:a9fe",
        "2002:a00:8::",
        "224.0.0.251",
        "ff02::fb",
        "rubbish",
        "",
    ],
)
def test_a_host_with_any_private_address_is_refused(private: str) -> None:
    for found in ((private,), ("93.184.216.34", private), (private, "93.184.216.34")):
        with pytest.raises(BadAddress):
            outbound_url.resolve(TARGET, resolver=resolves_to(*found))


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
def test_an_unknown_host_is_refused(error: Exception) -> None:
    def unknown(*_args: Any, **_more: Any) -> list[Any]:
        raise error

    for resolver in (unknown, resolves_to()):
        with pytest.raises(BadAddress, match="can't be resolved at the moment"):
            outbound_url.resolve(TARGET, resolver=resolver)


@pytest.mark.parametrize(
    ("ip", "is_public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("203.0.113.7", False),
        ("192.88.99.1", False),
        ("2001:db8::1", False),
    ],
)
def test_which_addresses_are_public(ip: str, is_public: bool) -> None:
    assert outbound_url.is_public(ip) is is_public
