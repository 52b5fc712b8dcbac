"""A dashboard or board as PDF: its numbers, and each chart with its table, distinguishable without color."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from flask import Response
from flask_babel import gettext as _

from app.domain.audit_log import audit
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.pdf_pages import LINE, PAD, SIZE, TITLE, PdfPages, new_pdf
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.dashboards.rendering import Drawn
from app.web.records import pdf_letterhead

#: Points of the heading of a part; numbers in a row; millimetres between parts, and of a line chart.
_HEADING, _ACROSS, _GAP, _CHART = 10, 4, 5.0, 38.0
#: Most lines of a cell.
_MOST_LINES = 3
#: Lines and bars differ by dashes and shade: (length of a dash, of a gap, grey from 0 to 255).
_FORMS = ((0.0, 0.0, 40), (2.0, 1.2, 110), (0.6, 1.0, 170))
#: Grey levels of a heat map; on the last two, text is white.
_SHADES = (255, 232, 206, 178, 110, 60)


def answer(context: dict[str, Any], name: str, viewer: Viewer) -> Response:
    """The file of a page, recorded in the audit; `name`: the page's, for the file name."""
    made = document(context, viewer)
    shown = {"what": context["dates"], "who": context["who"], "format": "pdf"}
    shown |= {each["name"]: each["value"] for each in context["lead_filters"] if each["value"]}
    with request_transaction() as session:
        audit.write(session, "export", viewer.person.id, viewer.now, f"dashboard {name}", **shown)
    day = viewer.now.astimezone(viewer.zone)
    attachment = f"attachment; filename=dashboard-{name}-{day:%Y-%m-%d}.pdf"
    headers = {"Content-Disposition": attachment, "Cache-Control": "no-store"}
    return Response(made, 200, headers, content_type="application/pdf")


def document(context: dict[str, Any], viewer: Viewer) -> bytes:
    """The PDF of a page; `context`: from page_parts.standard_page or page_parts.board_page."""
    cards: list[Drawn] = context.get("cards") or [*context["numbers"], *context["parts"]]
    parts = [each for each in cards if each["kind"] != "number"]
    sheet = _Sheet(PdfPages(new_pdf(any(len(each["columns"]) > 12 for each in parts))))
    sheet.canvas.pdf.set_title(str(context["title"]))
    pdf_letterhead.draw(sheet.canvas, viewer.lookups.brand)
    sheet.canvas.write(str(context["title"]), TITLE)
    compared = _("compared with %(dates)s", dates=context["compared"])
    sheet.canvas.write(f"{context['who_words']}, {context['dates']}; {compared}", SIZE)
    made = format_local_date(viewer.now.astimezone(viewer.zone), "%-d %b %Y, %H:%M")
    sheet.canvas.write(_("Made for %(name)s on %(moment)s.", name=viewer.person.full_name, moment=made), SIZE)
    if context["why_waiting"]:
        sheet.canvas.write(context["why_waiting"], SIZE)
    sheet.numbers([each for each in cards if each["kind"] == "number"])
    for part in parts:
        sheet.part(part)
    return bytes(sheet.canvas.pdf.output())


class _Sheet:
    """Draws cards one below the other, page by page."""

    def __init__(self, canvas: PdfPages) -> None:
        self.canvas, self.pdf = canvas, canvas.pdf

    def need(self, height: float) -> bool:
        """Start a new page unless this much room is left. Returns whether it did."""
        if self.pdf.get_y() + height <= self.canvas.bottom:
            return False
        self.pdf.add_page()
        return True

    def numbers(self, cards: list[Drawn]) -> None:
        """The numbers in boxes, some in a row."""
        wide, high = self.canvas.room / _ACROSS, LINE * 4 + 2 * PAD
        self.pdf.ln(_GAP / 2)
        for start in range(0, len(cards), _ACROSS):
            self.need(high)
            top = self.pdf.get_y()
            for place, card in enumerate(cards[start : start + _ACROSS]):
                self._box(card, (self.pdf.l_margin + place * wide, top, wide), high)
            self.pdf.set_y(top + high + PAD)

    def _box(self, card: Drawn, place: tuple[float, float, float], high: float) -> None:
        left, top, wide = place
        self.pdf.set_draw_color(190)
        self.pdf.rect(left, top, wide - PAD, high)
        change = card["change"]["text"] if card.get("change") else ""
        below = " · ".join(each for each in (change, card["detail"]) if each)
        room = wide - 3 * PAD
        for number, (text, size) in enumerate(((card["label"], SIZE), (card["text"], TITLE), (below, SIZE))):
            for line in self.canvas.wrapped(str(text), size, room, 1):
                self.canvas.put(line, (left + PAD, top + PAD + number * LINE * 1.35, room), size)

    def part(self, part: Drawn) -> None:
        """A chart or table under its heading."""
        self.pdf.ln(_GAP)
        self.need(LINE * 6 + (_CHART if part["kind"] == "line" and not part["is_empty"] else 0))
        self.canvas.write(str(part["label"]), _HEADING)
        if part["is_empty"]:
            self.canvas.write(_("Nothing in this period."), SIZE)
            return
        if part["kind"] == "line":
            self._lines(part)
        self._table(part)

    # --- tables

    def _table(self, part: Drawn) -> None:
        widths = self._widths(part)
        self._row(part["columns"], widths, True)
        most = max((cell["value"] or 0 for row in part["rows"] for cell in row["cells"]), default=0)
        for row in part["rows"]:
            texts = [row["label"], *[f"{cell['text']} {cell.get('note', '')}".strip() for cell in row["cells"]]]
            high = self._height(texts, widths)
            if self.need(high):
                self._row(part["columns"], widths, True)
            if part["kind"] == "heat":
                self._shades(row, widths, high)
            top = self.pdf.get_y()
            self._row(texts, widths, False, [cell.get("shade", 0) > 3 for cell in row["cells"]])
            if part["kind"] == "bar":
                self._bars([cell["value"] / most for cell in row["cells"]], sum(widths), (top, high))

    def _widths(self, part: Drawn) -> list[float]:
        """The widths of the columns: names need most; bars take half of the page."""
        room, count = self.canvas.room * (0.55 if part["kind"] == "bar" else 1), len(part["columns"])
        first = max(room / (count + 1), min(room * (0.6 if count < 4 else 0.4), 34.0))
        return [first, *[(room - first) / (count - 1)] * (count - 1)]

    def _wrapped(self, texts: list[str], widths: list[float]) -> list[list[str]]:
        return [
            self.canvas.wrapped(str(text), SIZE, wide - PAD, _MOST_LINES)
            for text, wide in zip(texts, widths, strict=True)
        ]

    def _height(self, texts: list[str], widths: list[float]) -> float:
        return max(len(lines) for lines in self._wrapped(texts, widths)) * LINE + PAD

    def _row(self, texts: list[str], widths: list[float], is_strong: bool, light: list[bool] | None = None) -> None:
        top, left, high = self.pdf.get_y(), self.pdf.l_margin, self._height(texts, widths)
        if is_strong:
            self.pdf.set_fill_color(236)
            self.pdf.rect(left, top, sum(widths), high, style="F")
        for place, (lines, wide) in enumerate(zip(self._wrapped(texts, widths), widths, strict=True)):
            self.pdf.set_text_color(255 if light and place and light[place - 1] else 0)
            for number, line in enumerate(lines):
                at = (left + PAD / 2, top + PAD / 2 + number * LINE, wide - PAD)
                self.canvas.put(line, at, SIZE, to_end=place > 0)
            left += wide
        self.pdf.set_text_color(0)
        self.pdf.set_draw_color(210)
        self.pdf.line(self.pdf.l_margin, top + high, self.pdf.l_margin + sum(widths), top + high)
        self.pdf.set_y(top + high)

    def _shades(self, row: Drawn, widths: list[float], high: float) -> None:
        left = self.pdf.l_margin + widths[0]
        for cell, wide in zip(row["cells"], widths[1:], strict=True):
            self.pdf.set_fill_color(_SHADES[cell["shade"]])
            self.pdf.rect(left, self.pdf.get_y(), wide, high, style="F")
            left += wide

    def _bars(self, shares: list[float], used: float, place: tuple[float, float]) -> None:
        """Draw a bar for each cell, in the room next to the table."""
        top, high = place
        thick = (high - PAD) / len(shares)
        for number, share in enumerate(shares):
            self.pdf.set_fill_color(_FORMS[number % len(_FORMS)][2])
            wide = max(0.2, (self.canvas.room - used - 2 * PAD) * share)
            left = self.pdf.l_margin + used + PAD
            self.pdf.rect(left, top + PAD / 2 + number * thick, wide, thick * 0.8, style="F")

    # --- lines

    def _lines(self, part: Drawn) -> None:
        """The lines of a chart, each with its dashes and its name."""
        top, left, wide = self.pdf.get_y() + LINE, self.pdf.l_margin, self.canvas.room
        most = max(cell["value"] for row in part["rows"] for cell in row["cells"]) or 1
        high, count = _CHART - 2 * LINE, len(part["rows"])
        for place, name in enumerate(part["columns"][1:]):
            self._dashes(place)
            at = left + place * wide / 3
            self.pdf.line(at, top - LINE / 2, at + 8, top - LINE / 2)
            self.canvas.put(str(name), (at + 9, top - LINE, wide / 3 - 10), SIZE)
            points = [
                (left + wide * n / max(1, count - 1), top + high - high * row["cells"][place]["value"] / most)
                for n, row in enumerate(part["rows"])
            ]
            for one, two in pairwise(points):
                self.pdf.line(*one, *two)
        self.pdf.set_dash_pattern()
        self.pdf.set_draw_color(150)
        self.pdf.line(left, top + high, left + wide, top + high)
        self.pdf.set_y(top + high + PAD)

    def _dashes(self, place: int) -> None:
        dash, gap, grey = _FORMS[place % len(_FORMS)]
        self.pdf.set_draw_color(grey)
        self.pdf.set_dash_pattern(dash, gap) if dash else self.pdf.set_dash_pattern()
