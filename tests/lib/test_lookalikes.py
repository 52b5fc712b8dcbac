"""Readable names."""

from __future__ import annotations

import pytest

from app.lib.lookalikes import name_keys, skeleton


def look_alike(one: str, other: str) -> bool:
    return bool(name_keys(one) & name_keys(other))


@pytest.mark.parametrize(
    "other",
    [
        "ANA.RAO",
        " ana.rao ",
        "aná.rao",
        "an\u0061\u0301.rao",  # composed and not
        "ａｎａ．ｒａｏ",  # full width
        "аna.rao",  # Cyrillic а
        "АNА.RАО",
        "ana.raο",  # Greek omicron
        "ΑΝΑ.rao",  # Greek capitals
        "ana.ra0",
        "ana\u200b.rao",
        "ana․rao",
        "ɑnɑ.rao",
        "𝐚𝐧𝐚.rao",
        "ana.rao\u202e",
        "ana\u00ad.rao",
        "ana.ra\u00f8",
    ],
)
def test_names_that_look_alike(other: str) -> None:
    assert look_alike("ana.rao", other)


@pytest.mark.parametrize("one, other", [("sales", "saIes"), ("mail", "mai1"), ("paypal", "раураl"), ("ivan", "іvan")])
def test_more_names_that_look_alike(one: str, other: str) -> None:
    assert look_alike(one, other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("neil", "nell"),
        ("karna", "kama"),
        ("ana", "anna"),
        ("ana.rao", "ana_rao"),
        ("राम", "रमा"),
        ("રામ", "રમ"),
        ("ravi2", "ravi3"),
        ("amit", "amita"),
    ],
)
def test_names_that_people_tell_apart(one: str, other: str) -> None:
    assert not look_alike(one, other)


def test_a_name_of_nothing_visible_has_no_key() -> None:
    assert skeleton("\u200b \u2060") == "" and name_keys("\u200b") == frozenset()


def test_a_long_name_is_compared_fast() -> None:
    assert len(name_keys("Σ" * 100_000)) >= 1
