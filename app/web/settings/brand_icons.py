"""The pictures of a brand: its logo re-encoded from the pixels, and the icons of the installed app."""

from __future__ import annotations

from io import BytesIO
from typing import Any, BinaryIO

from app.ops.storage import image_previews

#: Maximum width and height of a stored logo in pixels; minimum size of an uploaded one.
LOGO, LEAST = (480, 120), 48
#: The product's mark: lines of (start, y, end) in a square of 32 units.
LINES = ((11, 9, 21), (11, 16, 19), (11, 23, 21))
#: Drawings are made this many times larger, for smooth edges.
_FINE = 4
#: Column of the brand -> (pixels, part of the icon that is filled); a maskable icon may be cut to any shape.
ICONS = {"icon_192": (192, 0.86), "icon_512": (512, 0.86), "icon_maskable": (512, 0.62)}


class TooSmall(ValueError):
    """The picture has too few pixels for an icon."""


def logo(file: BinaryIO) -> tuple[bytes, tuple[int, int]] | None:
    """The picture as a PNG of at most LOGO, with its transparency, and its size; None if it can't be shown.

    Raises TooSmall.
    """
    picture = image_previews.opened(file, LOGO)
    if picture is None:
        return None
    box = picture.getbbox()  # an empty border would only make the logo small
    cut = picture.crop(box) if box else picture
    if min(cut.size) < 16 or max(cut.size) < LEAST:
        raise TooSmall
    return _png(cut), cut.size


def of_logo(content: bytes) -> dict[str, bytes]:
    """{column: PNG} of icons with the logo on white."""
    from PIL import Image

    with Image.open(BytesIO(content)) as opened:
        picture = opened.convert("RGBA")
    made = {}
    for name, (size, part) in ICONS.items():
        room = int(size * part)
        scale = min(room / picture.width, room / picture.height)
        fitted = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
        canvas = _canvas(size, "#ffffff", name != "icon_maskable")
        canvas.alpha_composite(fitted, ((size - fitted.width) // 2, (size - fitted.height) // 2))
        made[name] = _png(canvas)
    return made


def of_color(color: str) -> dict[str, bytes]:
    """{column: PNG} of icons with the product's mark on a color."""
    return {
        name: _png(mark_image(size, color, 0.75 if name == "icon_maskable" else 1.0))
        for name, (size, _part) in ICONS.items()
    }


def mark_image(size: int, color: str, part: float) -> Any:
    """The mark in the middle of a square of `size` pixels, filling this part of it.

    A smaller one is surrounded by its color.
    """
    from PIL import ImageDraw

    whole = size * _FINE
    unit, left = whole * part / 32, whole * (1 - part) / 2
    image = _canvas(whole, color, part == 1)
    pen = ImageDraw.Draw(image)
    for start, y, end in LINES:
        box = (left + (start - 1.5) * unit, left + (y - 1.5) * unit, left + (end + 1.5) * unit, left + (y + 1.5) * unit)
        pen.rounded_rectangle(box, 1.5 * unit, "white")
    return image.resize((size, size))


def _canvas(size: int, color: str, is_rounded: bool) -> Any:
    from PIL import Image, ImageDraw

    if not is_rounded:
        return Image.new("RGBA", (size, size), color)
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    ImageDraw.Draw(image).rounded_rectangle((0, 0, size - 1, size - 1), size / 4, color)
    return image


def _png(picture: Any) -> bytes:
    made = BytesIO()
    picture.save(made, "PNG", optimize=True)
    return made.getvalue()
