"""Masks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lib.masking import DOTS, is_masked, masked

#: Valid and issued to nobody: an example of UIDAI.
AADHAAR = "999941057058"


@pytest.mark.parametrize(
    "text, level, seen",
    [
        *((AADHAAR, "full", AADHAAR), (AADHAAR, "hidden", DOTS), (AADHAAR, "last4", "••••••7058")),
        *(("+91 98200 12345", "last4", "••••••2345"), ("98200-1-2-3-4-5", "last4", "••••••2345")),
        *(("ABCDE1234F", "last4", "••••••234F"), ("ABCDE1234F", "all", DOTS), ("ABCDE1234F", "", DOTS)),
        *(("ana@eshin.in", "last4", "a••••••@eshin.in"), ("a@eshin.in", "last4", "••••••@eshin.in")),
        *(
            ("ana@eshin.in", "hidden", DOTS),
            ("12345", "last4", DOTS),
            ("1234567", "last4", DOTS),
            ("--------", "last4", DOTS),
        ),
        *((None, "full", None), ("", "last4", None), (None, "hidden", None)),
    ],
)
def test_a_mask_shows_what_the_level_allows(text: str | None, level: str, seen: str | None) -> None:
    assert masked(text, level) == seen


@given(text=st.text(), level=st.text() | st.sampled_from(["full", "last4", "hidden"]))
def test_every_value_has_a_mask_and_only_full_shows_it(text: str, level: str) -> None:
    seen = masked(text, level)
    assert (seen is None) is (text == "")
    assert level == "full" or seen is None or is_masked(seen)


@pytest.mark.parametrize(
    "text, is_mask", [("••••••7058", True), ("a••••••@x.in", True), (AADHAAR, False), (None, False)]
)
def test_a_mask_that_a_form_sends_back_is_recognized(text: str | None, is_mask: bool) -> None:
    assert is_masked(text) is is_mask
