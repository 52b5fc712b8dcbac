"""No exported text becomes a formula; every spreadsheet file is made with the one function for it."""

import re
from pathlib import Path

import pytest

from app.lib.spreadsheet_formulas import as_text

APP = Path(__file__).resolve().parent.parent.parent / "app"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠a"])
def test_what_a_spreadsheet_would_compute_begins_with_an_apostrophe(text: str) -> None:
    assert as_text(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "1", " =1", "'=1"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert as_text(text) == text


def test_whoever_writes_csv_asks_it() -> None:
    writers = {path for path in APP.rglob("*.py") if re.search(r"csv\.(Dict)?[wW]riter\(", path.read_text("utf-8"))}
    assert writers
    unaware = {path for path in writers if "as_text" not in path.read_text("utf-8")}
    assert {str(path.relative_to(APP)) for path in unaware} == set()
