"""One-time codes: the test vectors of RFC 6238, drift, and the address for apps."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from app.lib import totp

KEY = base64.b32encode(b"12345678901234567890").decode()
NOW = datetime(2026, 7, 1, 8, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "seconds, code",
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_vectors_of_the_rfc(seconds: int, code: str) -> None:
    """Its appendix B, of which apps show the last six digits."""
    assert totp.code_at(KEY, seconds // totp.STEP_SECONDS) == code


@pytest.mark.parametrize("steps, fits", [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_differ_by_one_step(steps: int, fits: bool) -> None:
    step = totp.step_at(NOW) + steps
    code = totp.code_at(KEY, step)
    assert totp.matching_step(KEY, code, NOW) == (step if fits else None)
    assert totp.matching_step(KEY, code, NOW + timedelta(hours=1)) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦"])
def test_anything_else_is_no_code(code: str) -> None:
    assert totp.matching_step(KEY, code, NOW) is None


def test_keys_are_random_and_have_160_bits() -> None:
    keys = {totp.new_key() for _number in range(20)}
    assert len(keys) == 20 and all(len(base64.b32decode(key)) == 20 for key in keys)


def test_the_address_names_the_account_and_who_issued_it() -> None:
    address = totp.key_address("ABC", "ana rao", "Eshin: Broking")
    assert address == (
        "otpauth://totp/Eshin%20Broking:ana%20rao?secret=ABC&issuer=Eshin%20Broking&algorithm=SHA1&digits=6&period=30"
    )
