"""DLT templates: which texts match them, and that matching hostile ones is fast."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.lib.dlt import MAX_VARIABLE, fill, matches

OTP = "Dear {#var#}, {#var#} is your code. - Eshin"
#: (template, text, does it match).
CASES = [
    (OTP, "Dear Asha, 4711 is your code. - Eshin", True),
    (OTP, "Dear , 4711 is your code. - Eshin", True),
    (OTP, f"Dear {'x' * 30}, 4711 is your code. - Eshin", True),
    (OTP, f"Dear {'x' * 31}, 4711 is your code. - Eshin", False),
    (OTP, "Dear Asha, 4711 is your Code. - Eshin", False),
    (OTP, "Dear Asha,  4711 is your code. - Eshin", True),  # the space is part of the variable
    (OTP, "Dear Asha, 4711 is your code.  - Eshin", False),
    (OTP, "dear Asha, 4711 is your code. - Eshin", False),
    (OTP, "Dear Asha, 4711 is your code. - Eshin!", False),
    (OTP, "  Dear Asha, 4711 is your code. - Eshin\r\n", True),
    (OTP, "", False),
    ("No variable", "No variable", True),
    ("No variable", "No variables", False),
    ("", "", True),
    ("{#var#}", "", True),
    ("{#var#}", "x" * 30, True),
    ("{#var#}", "x" * 31, False),
    ("{#var#}{#var#}", "x" * 60, True),
    ("{#var#}{#var#}", "x" * 61, False),
    ("{#var#}ab{#var#}", "x" * 5 + "ab" + "y" * 29 + "ab", False),  # 29 + 2 characters behind the first "ab"
    ("{#var#}ab{#var#}", "ab" + "y" * 26 + "ab" + "z" * 30, True),  # only the second "ab" will do
    ("{#var#}aa{#var#}", "a" * 62, True),
    ("{#var#}aa{#var#}", "a" * 63, False),
    ("a\n{#var#}", "a\r\nb", True),
    ("a b", "a\nb", False),
    ("{#VAR#}", "x", False),  # the platforms write it in small letters
    ("नमस्ते {#var#} जी", "नमस्ते आशा जी", True),
    ("नमस्ते {#var#} जी", "नमस्कार आशा जी", False),
    ("Rs {#var#} (.*)", "Rs 5 (.*)", True),  # nothing in a template is a pattern
    ("Rs {#var#} (.*)", "Rs 5 (abc)", False),
]


@pytest.mark.parametrize(("template", "text", "expected"), CASES)
def test_a_text_matches_its_template_or_not(template: str, text: str, expected: bool) -> None:
    assert matches(text, template) is expected


VALUES = st.lists(st.text("ab ,", max_size=MAX_VARIABLE), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(VALUES, st.text("ab ,", max_size=5))
def test_a_filled_template_matches(values: list[str], fixed: str) -> None:
    template = fixed.join(["{#var#}"] * len(values))
    assert matches(fill(template, tuple(values)), template)


def test_the_number_of_values_must_be_right() -> None:
    with pytest.raises(ValueError, match="2 values are needed, 1 were given"):
        fill(OTP, ("Asha",))


@pytest.mark.parametrize("part", ["a", "", "ab"])
def test_hostile_texts_take_no_time(part: str) -> None:
    template, text = part.join(["{#var#}"] * 280), "a" * 1999 + "b"
    began = time.process_time()
    for _ in range(20):
        matches(text, template + "c")
    assert time.process_time() - began < 4  # 1 ms for each here; trying all ways would not end
