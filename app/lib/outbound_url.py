"""Addresses of the outside world: which URL may be called, and to which IP addresses its name may lead.

Whoever may name a URL that our server calls could else reach what only our server reaches: its own services, the
cloud's metadata, the office's network. A name is resolved once, and only addresses that were looked at are used.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

LONGEST = 500
#: Ports below 1024 that may be called; from there on all may.
PORTS = (80, 443)
_FIRST_FREE_PORT = 1024
_USUAL = {"http": 80, "https": 443}
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
#: Signs of a path and query that stand as they are; all others are written as %XX.
_PLAIN = "/%:@!$&'()*+,;=~-._?"
#: What `is_global` leaves open: relays of 6to4 (v4, v6), Teredo, addresses that were IPv4, NAT64 of a network's own.
_NEVER = tuple(
    ipaddress.ip_network(net)
    for net in ("192.88.99.0/24", "2002::/16", "2001::/32", "::/96", "64:ff9b:1::/48", "fec0::/10")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: host, port, family, kind -> what socket.getaddrinfo answers.
Lookup = Callable[..., list[Any]]


class BadAddress(Exception):
    """The URL, or what its name leads to, is not called; the message is a sentence."""


@dataclass(frozen=True)
class Target:
    """Where a call goes, read from a URL once."""

    #: http or https.
    scheme: str
    #: Lower case, in ASCII; of IPv6 without brackets.
    host: str
    port: int
    #: Path and query, in ASCII.
    path: str


# --- reading


def read(url: str, private: bool = False) -> Target:
    """Take a URL apart. Raises BadAddress for everything but a plain https address.

    `private`: the operator allows http and addresses of his own network (development, tests).
    """
    if len(url) > LONGEST or not url.isprintable() or " " in url or "\\" in url:
        raise BadAddress("An address has at most 500 characters, without spaces, line breaks or backslashes.")
    parts = _parts(url)
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise BadAddress("The address must start with https://.")
    if "@" in parts.netloc:
        raise BadAddress("The address must not contain a username or password.")
    host = _host(parts)
    target = Target(parts.scheme, host, _port(parts), _path(parts))
    literal = _literal(host)
    if literal is not None and not private:
        _refuse_inside([literal])
    return target


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise BadAddress("This isn't a valid address. Please write it as https://example.com/path.") from None


def _host(parts: SplitResult) -> str:
    """The name in ASCII, or an IP address as everybody writes it; no number in another disguise."""
    host = (parts.hostname or "").lower()
    if parts.netloc.startswith("["):
        return _bracketed(host)
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        name = ""
    labels = name.split(".")
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadAddress("The address has no valid host. Please write it as https://example.com/path.")
    if _NUMBER.fullmatch(labels[-1]) and _literal(name) is None:  # 2130706433, 0x7f.1, 0177.0.0.1, 127.1
        raise BadAddress("Please write the IP address as four numbers, such as 203.0.113.7.")
    return name


def _bracketed(host: str) -> str:
    if _literal(host) is None or "%" in host:
        raise BadAddress("The part in brackets isn't an IPv6 address.")
    return host


def _literal(host: str) -> str | None:
    """The host, if it is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return host


def _port(parts: SplitResult) -> int:
    try:
        port = _USUAL[parts.scheme] if parts.port is None else parts.port
    except ValueError:
        port = 0
    if port not in PORTS and port < _FIRST_FREE_PORT:
        raise BadAddress("The port must be 80, 443 or one from 1024 on.")
    return port


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_PLAIN)
    return f"{path}?{quote(parts.query, safe=_PLAIN)}" if parts.query else path


# --- resolving


def addresses(target: Target, private: bool = False, lookup: Lookup = socket.getaddrinfo) -> list[str]:
    """The IP addresses that may be called, in the resolver's order. Asks the resolver once.

    Raises BadAddress when the name is unknown, or when any one of its addresses lies inside.
    """
    try:
        found = lookup(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise BadAddress("The host of the address can't be resolved at the moment.") from None
    each = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not each:
        raise BadAddress("The host of the address can't be resolved at the moment.")
    if not private:
        _refuse_inside(each)
    return each


def _refuse_inside(each: list[str]) -> None:
    if not all(is_outside(address) for address in each):
        raise BadAddress("The address leads to a private or local network. Only public addresses are allowed.")


def is_outside(address: str) -> bool:
    """Whether an IP address lies in the public internet; what is no IP address does not."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or _behind_nat64(ip)
        if inner is not None:
            return is_outside(str(inner))
        if ip.scope_id is not None or ip.is_site_local:
            return False
    never = any(ip in net for net in _NEVER if net.version == ip.version)
    return ip.is_global and not (never or ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _behind_nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
