"""Identity numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lib.identity_numbers import is_aadhaar, is_pan

#: Valid and issued to nobody: an example of UIDAI.
AADHAAR = "999941057058"


@pytest.mark.parametrize(
    "text, is_one",
    [
        *(("ABCDE1234F", True), (" abcde1234f ", True)),
        *(
            ("ABCD1234F", False),
            ("ABCDE12345", False),
            ("ABCDE1234FG", False),
            ("ABCDE1234F\nX", False),
            ("ABCDE१२३४F", False),
        ),
        *(("", False), (None, False)),
    ],
)
def test_a_pan_is_five_letters_four_digits_and_a_letter(text: str | None, is_one: bool) -> None:
    assert is_pan(text) is is_one


@pytest.mark.parametrize(
    "text, is_one",
    [
        *((AADHAAR, True), ("9999 4105 7058", True), ("9999-4105-7058", True)),
        *(("999941057059", False), ("99994105705", False), ("9999410570580", False), ("९९९९४१०५७०५८", False)),
        *(("099941057058", False), ("199941057058", False), ("000000000000", False), ("", False), (None, False)),
    ],
)
def test_an_aadhaar_is_twelve_digits_with_a_valid_check_digit(text: str | None, is_one: bool) -> None:
    assert is_aadhaar(text) is is_one


@given(place=st.integers(0, 11), digit=st.sampled_from("0123456789"))
def test_an_aadhaar_with_a_wrong_digit_is_invalid(place: int, digit: str) -> None:
    typed = AADHAAR[:place] + digit + AADHAAR[place + 1 :]
    assert is_aadhaar(typed) is (typed == AADHAAR)


@given(place=st.integers(0, 10))
def test_an_aadhaar_with_two_swapped_digits_is_invalid(place: int) -> None:
    typed = AADHAAR[:place] + AADHAAR[place + 1] + AADHAAR[place] + AADHAAR[place + 2 :]
    assert is_aadhaar(typed) is (typed == AADHAAR)


@given(st.from_regex(r"[2-9][0-9]{10}", fullmatch=True))
def test_exactly_one_check_digit_is_valid(first_eleven: str) -> None:
    assert sum(is_aadhaar(first_eleven + digit) for digit in "0123456789") == 1
