"""Draw the icons of the installed app, as app/static/img/mark.svg looks. Run again when the mark changes."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = Path(__file__).resolve().parent.parent / "app" / "static" / "img"
COLOUR, LINES = "#1f5fd0", ((11, 9, 21), (11, 16, 19), (11, 23, 21))
#: The drawing is made so many times larger, for smooth edges.
FINE = 4
#: (file, pixels, part of the icon that the mark fills). A maskable icon is cut to any shape within its middle 80 %.
ICONS = (("icon-192.png", 192, 1.0), ("icon-512.png", 512, 1.0), ("icon-maskable-512.png", 512, 0.75))


def draw(size: int, part: float) -> Image.Image:
    """The mark, of 32 by 32 units, in the middle of a square of `size` pixels; around a smaller one, its colour."""
    whole = size * FINE
    unit, left = whole * part / 32, whole * (1 - part) / 2
    image = Image.new("RGBA", (whole, whole), COLOUR if part < 1 else (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    if part == 1:
        pen.rounded_rectangle((0, 0, whole - 1, whole - 1), 8 * unit, COLOUR)
    for start, y, end in LINES:
        box = (left + (start - 1.5) * unit, left + (y - 1.5) * unit, left + (end + 1.5) * unit, left + (y + 1.5) * unit)
        pen.rounded_rectangle(box, 1.5 * unit, "white")
    return image.resize((size, size), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    for name, size, part in ICONS:
        draw(size, part).quantize(64).save(FOLDER / name, optimize=True)
