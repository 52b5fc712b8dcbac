"""Ids in untrusted input: accepted and refused ones."""

from __future__ import annotations

import pytest

from app.lib.ids import parse_id


@pytest.mark.parametrize(("raw", "key"), [("7", 7), (7, 7), ("0", 0), ("007", 7), ("999999999", 999_999_999)])
def test_an_id_is_up_to_nine_ascii_digits(raw: object, key: int) -> None:
    assert parse_id(raw) == key


@pytest.mark.parametrize(
    "raw", ["", " 7", "-7", "+7", "7.0", "1e3", "x", "٣", "²", "1000000000", 10**9, -7, 7.0, True, None, [7], {}, b"7"]
)
def test_anything_else_is_none(raw: object) -> None:
    assert parse_id(raw) is None
