"""The brand as pages, emails and PDFs show it.

Each process reads it at most every half minute, and keeps what it has read while the database is away.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from flask import Flask
from sqlalchemy.orm import Session

from app import access
from app.domain import brand
from app.domain.brand import ACCENT, Brand, Logo

#: For so long a process goes by what it has read; the one that has stored a new brand reads it at once.
SECONDS = 30.0
_KEY = "crm_brand"


@dataclass(frozen=True)
class ShownBrand:
    """What is shown."""

    name: str
    #: #rrggbb; null = the product's own.
    accent: str | None = None
    #: Null = the first letter of the name in its place.
    logo: Logo | None = None
    #: Column of Brand -> digest; empty = the product's own icons.
    icons: dict[str, str] = field(default_factory=dict)

    @property
    def colour(self) -> str:
        """The colour, also where none was chosen."""
        return self.accent or ACCENT

    @property
    def files(self) -> frozenset[str]:
        """The pictures that anybody may see."""
        return frozenset({*self.icons.values(), *([self.logo.digest] if self.logo else [])})


def last_loaded(app: Flask) -> ShownBrand:
    """The brand as it was read last; no statement."""
    _read_at, shown = app.extensions.get(_KEY) or (0.0, _default(app))
    return shown


def current(app: Flask, session: Session, seconds: float = SECONDS) -> ShownBrand:
    """The brand, at most so many seconds old; one statement at times."""
    read_at, shown = app.extensions.get(_KEY) or (0.0, None)
    return shown if shown is not None and time.monotonic() - read_at < seconds else load(app, session)


def load(app: Flask, session: Session) -> ShownBrand:
    """The brand of now, from the database."""
    with access.as_system(session):
        return set_current(app, brand.stored_brand(session))


def set_current(app: Flask, row: Brand | None) -> ShownBrand:
    """Go by this row from now on."""
    shown = _default(app) if row is None else _shown(app, row)
    app.extensions[_KEY] = (time.monotonic(), shown)
    return shown


def _default(app: Flask) -> ShownBrand:
    return ShownBrand(app.config["CRM"].brand)


def _shown(app: Flask, row: Brand) -> ShownBrand:
    icons = {"icon_192": row.icon_192, "icon_512": row.icon_512, "icon_maskable": row.icon_maskable}
    made = {name: digest for name, digest in icons.items() if digest}
    return ShownBrand(row.name or app.config["CRM"].brand, row.accent, brand.logo_of(row), made)
