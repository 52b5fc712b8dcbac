"""The name and logo of the CRM at the head of a PDF."""

from __future__ import annotations

from app.shown_brand import ShownBrand
from app.web.core.pdf_pages import SIZE, PdfPages
from app.web.records import message_files

#: Maximum width and height of the logo, in millimetres.
_LOGO = (24.0, 6.0)


def draw(canvas: PdfPages, brand: ShownBrand) -> None:
    """Draw the logo and the name, right-aligned above the title; the title begins at the same height."""
    pdf, top = canvas.pdf, canvas.pdf.get_y()
    canvas.put(brand.name, (pdf.l_margin, top, canvas.room), SIZE, to_end=True)
    if brand.logo is not None:
        with message_files.open_digest(brand.logo.digest) as file:
            left = pdf.l_margin + canvas.room - canvas.width(brand.name, SIZE) - _LOGO[0] - 2
            pdf.image(file.read(), left, top - 1, *_LOGO, keep_aspect_ratio=True)
    pdf.set_y(top)
