"""Phone numbers: one normal form for all inputs by people and phones."""

import time

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lib import phone

SAME_PERSON = "+919820012345"

indian_mobiles = st.from_regex(r"[6-9][0-9]{9}", fullmatch=True)


def by_the_library(typed: str) -> str | None:
    number = phonenumbers.parse(typed, "IN")
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@pytest.mark.parametrize(
    "typed",
    [
        "+91 98200-12345",
        "09820012345",
        "9820012345",
        "00919820012345",
        "919820012345",
        "98200 12345",
        " (98200) 12345 ",
        "+91 (0) 98200.12345",
        "९८२०० १२३४५",
        "٩٨٢٠٠١٢٣٤٥",
        "98200\u201112345",
        "tel:+91-98200-12345",
        "9820012345 ext. 12",
        "9820012345\n",
    ],
)
def test_one_person_has_one_number_however_it_is_typed(typed: str) -> None:
    assert phone.normalize(typed) == SAME_PERSON


@pytest.mark.parametrize(
    "typed",
    [
        *(None, "", "   ", "-1", "140", "12345", "abc", "Unknown", "VM-HDFCBK"),
        *("0000000000", "+", "+91", "+999 98200 12345", "9820012345 / 9820012346", "9" * 40, "9" * 100_000),
        *("98200\x0012345", "9820012345\x00", "\x009820012345", "9820012345 \ud800"),
        *("CRM-LEAD-2026-00001", "982001 home", "Ana 9820012345", "ana@9820012345.in", "+919820012345;phone-context=x"),
    ],
)
def test_text_that_is_not_a_number_gives_none(typed: str | None) -> None:
    assert phone.normalize(typed) is None


@pytest.mark.parametrize(
    "typed, region, e164",
    [
        ("022 2345 6789", "IN", "+912223456789"),
        ("+1 650 253 0000", "IN", "+16502530000"),
        ("(650) 253-0000", "US", "+16502530000"),
        ("9820012345", "US", "+19820012345"),
        ("+91 98200 12345", "US", SAME_PERSON),
        ("9820012345", "nowhere", None),
        ("020 7946 0018", "GB", "+442079460018"),
    ],
)
def test_a_number_without_country_code_belongs_to_the_region(typed: str, region: str, e164: str | None) -> None:
    assert phone.normalize(typed, region) == e164


@given(
    prefix=st.sampled_from(["", "0", "91", "+91", "0091"]),
    gaps=st.tuples(*[st.sampled_from(["", " ", "-"])] * 2),
    mobile=indian_mobiles,
)
def test_the_fast_path_agrees_with_the_library(prefix: str, gaps: tuple[str, str], mobile: str) -> None:
    typed = f"{prefix}{gaps[0]}{mobile[:5]}{gaps[1]}{mobile[5:]}"
    assert phone._INDIAN_MOBILE.fullmatch(typed)
    assert phone.normalize(typed) == by_the_library(typed) == f"+91{mobile}"


@given(st.text())
def test_no_text_raises(typed: str) -> None:
    assert (phone.normalize(typed) or "+").startswith("+")
    assert isinstance(phone.display(typed), str)
    assert phone.is_mobile(typed) in (True, False)
    assert len(phone.last_four(typed)) in (0, 4)


@given(st.text(alphabet="0123456789+-() ext.tl:९\u2060", max_size=30))
def test_the_normal_form_of_a_normal_form_is_the_same(typed: str) -> None:
    e164 = phone.normalize(typed)
    assert e164 is None or phone.normalize(e164) == e164


@pytest.mark.parametrize(
    "e164, text",
    [
        (SAME_PERSON, "+91 98200 12345"),
        ("+912223456789", "+91 22 2345 6789"),
        ("+16502530000", "+1 650-253-0000"),
        ("no number", "no number"),
        ("", ""),
        (None, ""),
    ],
)
def test_numbers_are_displayed_in_the_groups_of_their_country(e164: str | None, text: str) -> None:
    assert phone.display(e164) == text


@pytest.mark.parametrize(
    "e164, four", [(SAME_PERSON, "2345"), ("+91 98200 1-2345", "2345"), ("2345", ""), ("", ""), (None, "")]
)
def test_the_last_four_digits_are_never_the_whole_number(e164: str | None, four: str) -> None:
    assert phone.last_four(e164) == four


@pytest.mark.parametrize(
    "e164, is_mobile",
    [
        (SAME_PERSON, True),
        ("+912223456789", False),
        ("+447400123456", True),
        ("+16502530000", True),
        ("x", False),
        (None, False),
    ],
)
def test_mobile_numbers_are_distinguished_from_fixed_lines(e164: str | None, is_mobile: bool) -> None:
    assert phone.is_mobile(e164) is is_mobile


def test_a_new_indian_mobile_takes_less_than_60_microseconds() -> None:
    phone.normalize("9820012345")
    hundreds = [[f"98{first + number:08}" for number in range(100)] for first in range(0, 5_000, 100)]
    assert min(map(cpu_seconds, hundreds)) / 100 < 60e-6  # the least: a disturbance only ever adds


def cpu_seconds(numbers: list[str]) -> float:
    """CPU time that it takes to normalize the numbers."""
    start = time.thread_time()
    for number in numbers:
        phone.normalize(number)
    return time.thread_time() - start
