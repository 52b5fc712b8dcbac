"""The layout and texts of cards."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from app.web.core.pdf_pages import SIZE, TITLE, PdfPages, new_pdf
from app.web.dashboards.page_parts import columns_of, stretch_rows
from app.web.dashboards.people_table import waiting_time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.6, "1m"), (3725, "1h 2m"), (47 * 3600, "47h"), (48 * 3600, "2d"), (397_080, "4d 14h")],
)
def test_a_long_wait_is_said_in_days(seconds: float, text: str) -> None:
    assert waiting_time(seconds) == text


@pytest.mark.parametrize(("count", "columns"), [(1, 3), (2, 3), (4, 4), (6, 3), (7, 4), (9, 3), (12, 4), (15, 5)])
def test_numbers_stand_in_rows_without_gaps(count: int, columns: int) -> None:
    assert columns_of(count) == columns


def test_the_last_card_of_a_row_fills_it() -> None:
    def sizes(*given: int) -> list[int]:
        return [part["size"] for part in stretch_rows([{"size": size} for size in given])]

    assert sizes(12, 6, 6, 6) == [12, 6, 6, 12]
    assert sizes(6, 12, 8) == [12, 12, 12]
    assert sizes(3, 3, 3, 3, 3) == [3, 3, 3, 3, 12]
    assert sizes() == []


def test_letters_on_paper_are_as_large_as_asked_after_another_script(app: Flask) -> None:
    with app.app_context():
        pdf = new_pdf(False)
        pdf.set_compression(False)
        paper = PdfPages(pdf)
        paper.write("SLA", TITLE)
        paper.width("12", TITLE)
        paper.write("27 \u0928\u0935 2026", SIZE)
        sizes = re.findall(rb"/F\d+ ([\d.]+) Tf", bytes(pdf.output()))
    assert {float(each) for each in sizes[-3:]} == {float(SIZE)}
