"""Authentication-Results, and what forgers get into them."""

from __future__ import annotations

import pytest

from app.lib.mail_authentication import MAX_RESULTS, SenderCheck, sender_checks, vouches_for

MX = "mx.eshin.in"
ASHA = "asha@customer.in"


def vouched(results: str, address: str = ASHA) -> bool:
    """Whether our mail server, which has written these results, vouches for the address."""
    return vouches_for(sender_checks([f"{MX}; {results}"], MX), address)


@pytest.mark.parametrize(
    "results",
    [
        "dmarc=pass",
        "dmarc=pass (p=reject dis=none) header.from=customer.in",
        "spf=fail smtp.mailfrom=other.in; DMARC=Pass HEADER.from=customer.in",
        "dmarc=none header.from=customer.in; spf=pass smtp.mailfrom=asha@customer.in",
        "spf=pass smtp.mailfrom=customer.in",
        'dkim=fail reason="bad; key" header.d=x.in; dkim=pass (2048-bit key) header.d=customer.in header.s=a',
        "dkim=pass header.i=@customer.in",
        "dkim / 1 = pass header . d = customer.in",
        "spf=none; dkim=pass header.d=customer.in header.b=abc=",
    ],
)
def test_the_server_vouches_for_the_domain_that_it_has_checked(results: str) -> None:
    assert vouched(results)
    assert vouched(results.replace("customer.in", "mail.customer.in"), "asha@mail.customer.in")


def test_a_domain_vouches_for_those_below_it() -> None:
    assert vouched("dkim=pass header.d=customer.in", "asha@mail.customer.in")
    assert not vouched("dkim=pass header.d=mail.customer.in")
    assert not vouched("dkim=pass header.d=in")
    assert not vouched("dkim=pass header.d=omer.in")


@pytest.mark.parametrize(
    "results",
    [
        "",
        "none",
        "dmarc=fail header.from=customer.in",
        "dmarc=fail header.from=customer.in; spf=pass smtp.mailfrom=customer.in",
        # The sender's own domain passes everything.
        "dmarc=pass header.from=evil.in",
        "dmarc=none; spf=pass smtp.mailfrom=x@evil.in; dkim=pass header.d=evil.in",
        "spf=pass; dkim=pass",
        # What the sender chose stands in what the server says.
        "spf=pass smtp.mailfrom=dmarc=pass@evil.in; dmarc=fail header.from=customer.in",
        'spf=pass smtp.mailfrom="x; dmarc=pass"@evil.in; dmarc=fail header.from=customer.in',
        'spf=pass smtp.mailfrom="x header.from=customer.in dmarc=pass"@evil.in',
        "spf=fail (domain of dmarc=pass@evil.in; dmarc=pass) smtp.mailfrom=evil.in; dmarc=fail header.from=customer.in",
        "spf=fail (x (; dmarc=pass ;) y; dkim=pass header.d=customer.in) smtp.mailfrom=evil.in",
        "spf=pass smtp.mailfrom=header.d=customer.in@evil.in",
        "spf=pass smtp.helo=customer.in smtp.mailfrom=evil.in",
        "dkim=fail reason=dkim=pass header.d=customer.in",
        # A comment that is closed by what the sender chose: the true result follows.
        'spf=pass (x "y); dmarc=pass header.from=customer.in ("@evil.in); dmarc=fail header.from=customer.in',
        "dmarc=passed header.from=customer.in",
        "x-dmarc=pass header.from=customer.in",
    ],
)
def test_nothing_that_a_sender_writes_counts_as_a_check(results: str) -> None:
    assert not vouched(results)


def test_only_the_uppermost_header_of_our_server_counts() -> None:
    forged = [f"{MX}; dmarc=fail", f"{MX}; dmarc=pass", "other.in; dmarc=pass"]
    assert sender_checks(forged, MX) == (SenderCheck("dmarc", "fail"),)
    assert sender_checks(forged, "none.in") == sender_checks(forged, "") == ()


@pytest.mark.parametrize("part", ["(", ")", '"', "\\", '"\\', "dmarc=pass ", "; dkim=pass header.d=a.in", " header.d="])
def test_hostile_headers_are_read_in_linear_time(part: str) -> None:
    assert len(sender_checks([f"{MX}; " + part * 30_000], MX)) <= MAX_RESULTS
