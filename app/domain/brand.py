"""The name, color and logo of the CRM. One row; without it, the server's settings apply."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Record, RuleBroken, Stamp, Versioned, refuse_stale, translatable
from app.domain.persistence.file_references import STORED_FILE
from app.lib import color_contrast

#: Characters of the name, as in CRM_BRAND.
MAX_NAME = 60
#: The product's color, used if none is chosen.
ACCENT = "#1f5fd0"
#: The only row.
_ID = 1


class Brand(Versioned, Record):
    """The brand as an admin has set it; null = the server's settings or the product's own."""

    __tablename__ = "brand"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(MAX_NAME))
    #: #rrggbb, on which white text is readable.
    accent: Mapped[str | None] = mapped_column(String(7))
    #: A PNG of any shape, and the icons made from it, or from the product's mark in this color: names in the file
    #: store.
    logo: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)
    #: In pixels.
    logo_width: Mapped[int | None] = mapped_column(Integer)
    logo_height: Mapped[int | None] = mapped_column(Integer)
    icon_192: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)
    icon_512: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)
    icon_maskable: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)


@dataclass(frozen=True)
class Logo:
    """A picture in the file store, with its size in pixels."""

    digest: str
    width: int
    height: int

    @property
    def is_wide(self) -> bool:
        """Whether it is wide enough to contain the name, and replaces it."""
        return self.width > 2 * self.height


@dataclass(frozen=True)
class BrandInput:
    """The values to store; icons by column."""

    name: str | None
    accent: str | None
    logo: Logo | None
    icons: dict[str, str]


def stored_brand(session: Session) -> Brand | None:
    """The row; None if nothing is set."""
    return session.scalars(select(Brand).where(Brand.id == _ID)).first()


def logo_of(row: Brand | None) -> Logo | None:
    """The logo in the row; None if there is none."""
    if row is None or row.logo is None:
        return None
    return Logo(row.logo, row.logo_width or 1, row.logo_height or 1)


def checked_name(typed: str) -> str | None:
    """The name; None if it is empty. Raises RuleBroken."""
    name = " ".join(typed.split())
    if len(name) > MAX_NAME or not name.isprintable():
        raise RuleBroken(translatable("Please enter at most %(most)s characters.", most=MAX_NAME), "name")
    return name or None


def checked_accent(typed: str) -> str | None:
    """The color in lower case; None if empty or the product's own. Raises RuleBroken."""
    accent = typed.strip().lower()
    if accent in ("", ACCENT):
        return None
    if not color_contrast.is_color(accent):
        raise RuleBroken("Please enter a color such as #1f5fd0: # and six digits or letters from a to f.", "accent")
    found = color_contrast.contrast(accent, "#ffffff")
    if found < color_contrast.LEAST_CONTRAST:
        text = "White words can't be read on this color: its contrast is %(found)s, not 4.5. %(other)s would do."
        other = color_contrast.darker_until_readable(accent)
        raise RuleBroken(translatable(text, found=f"{int(found * 10) / 10:.1f}", other=other), "accent")
    return accent


def save(session: Session, brand_input: BrandInput, version: int | None, stamp: Stamp) -> Brand:
    """Store the brand; the caller commits. `version`: the one the person saw, None if there was no row.

    Raises Conflict.
    """
    row = stored_brand(session)
    if row is not None:
        refuse_stale(row, version or 0)
    else:
        row = Brand(id=_ID)
    row.name, row.accent, logo = brand_input.name, brand_input.accent, brand_input.logo
    row.logo, row.logo_width, row.logo_height = (logo.digest, logo.width, logo.height) if logo else (None, None, None)
    for column in ("icon_192", "icon_512", "icon_maskable"):
        setattr(row, column, brand_input.icons.get(column))
    row.stamp(stamp)
    session.add(row)
    session.flush()
    return row
