"""What the receiving mail server has found out about the sender of a mail: Authentication-Results (RFC 8601).

The header also quotes what the sender chose, such as the address of the envelope. So it is read by its grammar: a
result counts only where one can stand, and only for the domain that was checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Headers of one mail, and results of one header, that are read.
MAX_HEADERS, MAX_RESULTS = 10, 50
_RESULT = re.compile(r"(dmarc|dkim|spf)\s*(?:/\s*\d+\s*)?=\s*([a-z]{1,20})(?=\s|$)", re.IGNORECASE)
_PROPERTY = re.compile(r"\s([a-z]{1,20})\s*\.\s*([a-z-]{1,40})\s*=\s*(\S+)", re.IGNORECASE)
#: Method -> the properties that name the domain for which it holds.
_DOMAINS = {"dmarc": ("header.from",), "dkim": ("header.d", "header.i"), "spf": ("smtp.mailfrom",)}


@dataclass(frozen=True)
class SenderCheck:
    """One result of the server's checks."""

    #: dmarc, dkim or spf.
    method: str
    #: pass, fail, none …
    result: str
    #: For which domain, in lower case; "" = the server doesn't say.
    domain: str = ""


def sender_checks(headers: Iterable[str], authserv_id: str) -> tuple[SenderCheck, ...]:
    """The checks of the server of this name; () without one.

    Only its own header counts, and of several the uppermost, as servers add theirs on top.
    """
    for value in list(headers)[:MAX_HEADERS] if authserv_id else ():
        server, *results = _split(value)
        if server.strip().partition(" ")[0].lower() == authserv_id.lower():
            found = (_check(each) for each in results[:MAX_RESULTS])
            return tuple(each for each in found if each is not None)
    return ()


def vouches_for(checks: Iterable[SenderCheck], address: str) -> bool:
    """Whether the server has found that the mail really comes from the domain of this address.

    DMARC decides where it was checked. Without it, SPF or DKIM has to pass for the domain of the address, or for one
    above it: everybody passes for a domain of their own.
    """
    checks, domain = tuple(checks), address.rpartition("@")[2].lower()
    dmarc = [each for each in checks if each.method == "dmarc" and each.result != "none"]
    if dmarc:
        return all(each.result == "pass" and each.domain in ("", domain) for each in dmarc)
    return any(each.result == "pass" and _is_of(domain, each.domain) for each in checks if each.method != "dmarc")


def _is_of(domain: str, checked: str) -> bool:
    return "." in checked and (domain == checked or domain.endswith(f".{checked}"))


def _check(text: str) -> SenderCheck | None:
    found = _RESULT.match(text.strip())
    if found is None:
        return None
    method = found[1].lower()
    named: dict[str, str] = {}
    for kind, name, value in _PROPERTY.findall(text):
        named.setdefault(f"{kind}.{name}".lower(), value.rpartition("@")[2].strip(".").lower())
    domain = next((named[name] for name in _DOMAINS[method] if named.get(name)), "")
    return SenderCheck(method, found[2].lower(), domain)


def _split(value: str) -> list[str]:
    """The parts between semicolons, without comments; what stands in quotation marks is one word without spaces."""
    parts, part, depth, is_quoted, is_escaped = [], list[str](), 0, False, False
    for char in value:
        if is_escaped:
            is_escaped, shown = False, "_"
        elif char == "\\" and (is_quoted or depth):
            is_escaped, shown = True, ""
        elif char == '"' and not depth:
            is_quoted, shown = not is_quoted, ""
        elif is_quoted:
            shown = "_" if char.isspace() or char == ";" else char
        elif char in "()":
            depth, shown = max(0, depth + (1 if char == "(" else -1)), " "
        elif char == ";" and not depth:
            parts.append("".join(part))
            part, shown = [], ""
        else:
            shown = char
        part.append("" if depth and not is_quoted else shown)
    return [*parts, "".join(part)]
