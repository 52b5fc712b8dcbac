"""Draw the icons of the installed app from app/static/img/mark.svg. Run it again when that changes."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.domain.brand import ACCENT  # noqa: E402  (the product's own drawing)
from app.web.settings.brand_icons import mark_image  # noqa: E402

FOLDER = ROOT / "app" / "static" / "img"
#: (file, pixels, part of the icon that the mark fills). A maskable icon can be cut to any shape outside its middle 80
#: %.
ICONS = (("icon-192.png", 192, 1.0), ("icon-512.png", 512, 1.0), ("icon-maskable-512.png", 512, 0.75))


if __name__ == "__main__":
    for name, size, part in ICONS:
        mark_image(size, ACCENT, part).quantize(64).save(FOLDER / name, optimize=True)
