"""The vault: PAN and Aadhaar can't be read in the database, but can be searched."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lib.field_encryption import KEY_BYTES, Vault, VaultError, generate_key, read_key

PAN = "ABCDE1234F"
VAULT = Vault(bytes(range(KEY_BYTES)))
OTHER_VAULT = Vault(bytes(KEY_BYTES))


@given(st.text(alphabet=st.characters(codec=None)))
def test_a_sealed_text_opens_unchanged(text: str) -> None:
    assert VAULT.open(VAULT.seal(text)) == text


def test_a_sealed_value_reveals_neither_itself_nor_that_it_equals_another() -> None:
    one, other = VAULT.seal(PAN), VAULT.seal(PAN)
    assert one != other
    assert one.startswith("v1:")
    assert PAN.encode() not in base64.urlsafe_b64decode(one.removeprefix("v1:"))


def test_another_key_does_not_open_it_and_the_error_reveals_nothing() -> None:
    sealed = VAULT.seal(PAN)
    with pytest.raises(VaultError) as error:
        OTHER_VAULT.open(sealed)
    assert PAN not in str(error.value)
    assert sealed not in str(error.value)
    assert error.value.__suppress_context__


@given(place=st.integers(0, 1_000), sign=st.sampled_from("AZaz09-_=:. \né"))
def test_a_single_altered_character_is_detected(place: int, sign: str) -> None:
    sealed = VAULT.seal(PAN)
    place %= len(sealed)
    altered = sealed[:place] + sign + sealed[place + 1 :]
    if altered == sealed:
        return
    with pytest.raises(VaultError):
        VAULT.open(altered)


@pytest.mark.parametrize("sealed", ["", "v1:", "v1:AAAA", "v2:AAAA", PAN, "v1:\ud800", "v1:" + "A" * 10_000])
def test_a_text_that_was_never_sealed_does_not_open(sealed: str) -> None:
    with pytest.raises(VaultError):
        VAULT.open(sealed)


@pytest.mark.parametrize("typed", ["ABCDE1234F", "abcde1234f", " ABCDE 1234 F ", "ABCDE-1234-F", "abcde\t1234f\n"])
def test_the_fingerprint_is_the_same_however_it_is_typed(typed: str) -> None:
    assert VAULT.blind(typed, "pan") == VAULT.blind(PAN, "pan")


def test_fingerprints_differ_by_value_field_and_key() -> None:
    prints = {
        VAULT.blind(PAN, "pan"),
        VAULT.blind("ABCDE1234G", "pan"),
        VAULT.blind(PAN, "aadhaar"),
        OTHER_VAULT.blind(PAN, "pan"),
    }
    assert len(prints) == 4
    assert all(len(each) == 64 and int(each, 16) for each in prints)


def test_the_fingerprint_is_the_same_in_every_release() -> None:
    """Otherwise stored fingerprints would find nothing."""
    assert VAULT.blind(PAN, "pan") == "779fbea533b1d2cb13fb1a5342ea77c066f307b71b18494873ffa67ff4a9869e"


def test_a_generated_key_opens_what_it_sealed() -> None:
    key = generate_key()
    assert key != generate_key()
    assert Vault(read_key(key)).open(Vault(read_key(key + "\n")).seal(PAN)) == PAN


@pytest.mark.parametrize("text", ["", "short", "not base64!", base64.urlsafe_b64encode(bytes(31)).decode()])
def test_an_invalid_key_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(VaultError) as error:
        read_key(text)
    assert not text or text not in str(error.value)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(VaultError):
        Vault(bytes(length))
