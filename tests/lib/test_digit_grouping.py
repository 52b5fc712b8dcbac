"""Formatted numbers: grouped as in India, everywhere by one function."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.lib.digit_grouping import CappedInt, GroupedInt, capped, grouped

APP = Path(__file__).resolve().parent.parent.parent / "app"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (999, "999"), (1000, "1,000"), (99_999, "99,999"), (100_000, "1,00,000")),
        *((1_234_567, "12,34,567"), (-123_456, "-1,23,456"), (10_000_000, "1,00,00,000")),
        *((12.5, "12.5"), (12.0, "12"), (1234.56789, "1,234.568"), (-0.0001, "0"), (100_000.25, "1,00,000.25")),
    ],
)
def test_thousands_lakh_and_crore(number: float, text: str) -> None:
    assert grouped(number) == text


def test_a_number_that_is_put_into_a_text_is_grouped_there_and_counts_as_itself() -> None:
    count = GroupedInt(2333)
    assert (str(count), f"{count} rows", count + 1, count == 2333) == ("2,333", "2,333 rows", 2334, True)


def test_a_count_that_stopped_says_so() -> None:
    assert (capped(1000, 1000), capped(100_001, 100_000)) == ("1,000", "1,00,000+")
    texts = [str(CappedInt(number, 100)) for number in (0, 1, 100, 101)]
    assert texts == ["0", "1", "100", "100+"] and CappedInt(101, 100) == 101


#: A format such as {count:,} or {size:,.1f}, Babel's own, and the browser's own language.
OWN_GROUPING = re.compile(r"\{[^{}\n]*:[<>^]?[0-9]*,[.0-9df]*\}|format_decimal|toLocaleString\((?!'en-IN')")


def test_no_page_groups_numbers_by_itself() -> None:
    folders = [each for each in APP.iterdir() if each.is_dir() and each.name != "commands"]  # those print for operators
    files = [path for folder in folders for kind in ("py", "html", "js") for path in folder.rglob(f"*.{kind}")]
    texts = {path: path.read_text() for path in files if "vendor" not in path.parts}
    assert [str(path) for path, text in texts.items() if OWN_GROUPING.search(text)] == []
