"""Parts of text messages: both encodings, the extension table, and characters that must not be split."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.lib.sms_parts import SmsParts, count_parts, is_gsm

#: text -> encoding, units, parts, units left.
CASES: dict[str, tuple[str, tuple[str, int, int, int]]] = {
    "empty": ("", ("GSM-7", 0, 0, 160)),
    "one": ("a", ("GSM-7", 1, 1, 159)),
    "full": ("a" * 160, ("GSM-7", 160, 1, 0)),
    "one too many": ("a" * 161, ("GSM-7", 161, 2, 145)),
    "two full": ("a" * 306, ("GSM-7", 306, 2, 0)),
    "three": ("a" * 307, ("GSM-7", 307, 3, 152)),
    "national letters of the basic set": ("ÄÖÑÜ§¿äöñüàèéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ¡¤£¥@$_", ("GSM-7", 42, 1, 118)),
    "line ends": ("a\r\nb", ("GSM-7", 4, 1, 156)),
    "euro": ("€", ("GSM-7", 2, 1, 158)),
    "the whole extension table": ("\f^{}\\[~]|€", ("GSM-7", 20, 1, 140)),
    "80 euros": ("€" * 80, ("GSM-7", 160, 1, 0)),
    "an escape is not divided": ("a" * 152 + "€" + "a" * 152, ("GSM-7", 306, 3, 152)),
    "rupee sign": ("₹", ("UCS-2", 1, 1, 69)),
    "tab": ("a\tb", ("UCS-2", 3, 1, 67)),
    "curly quote": ("it’s", ("UCS-2", 4, 1, 66)),
    "small c with cedilla": ("ç", ("UCS-2", 1, 1, 69)),
    "Hindi": ("नमस्ते", ("UCS-2", 6, 1, 64)),
    "Hindi, full": ("न" * 70, ("UCS-2", 70, 1, 0)),
    "Hindi, two": ("न" * 71, ("UCS-2", 71, 2, 63)),
    "Hindi, three": ("न" * 135, ("UCS-2", 135, 3, 66)),
    "emoji": ("😀", ("UCS-2", 2, 1, 68)),
    "35 emoji": ("😀" * 35, ("UCS-2", 70, 1, 0)),
    "an emoji is not divided": ("न" * 66 + "😀" + "न" * 66, ("UCS-2", 134, 3, 66)),
}


@pytest.mark.parametrize("name", CASES)
def test_parts(name: str) -> None:
    text, (encoding, units, parts, left) = CASES[name]
    assert count_parts(text) == SmsParts(encoding, units, parts, left)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=700))
def test_units_are_those_of_the_encoding_and_fit_the_parts(text: str) -> None:
    found = count_parts(text)
    if found.encoding == "UCS-2":
        assert found.units == sum(2 if ord(char) > 0xFFFF else 1 for char in text)
    alone, each = (160, 153) if is_gsm(text) else (70, 67)
    assert found.units <= (alone if found.parts <= 1 else each * found.parts)
    # At most one unit is lost at the end of each part.
    assert found.units >= (found.parts - 1) * (each - 1) if found.parts > 1 else True
    assert 0 <= found.left <= alone
