"""The brand, as pages, emails and PDFs show it.

Each process reads it at most every 30 seconds, and keeps the last one while the database is unavailable.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from flask import Flask
from sqlalchemy.orm import Session

from app import access
from app.domain import brand
from app.domain.brand import ACCENT, Brand, Logo

#: Seconds for which a process caches the brand. The process that stores a new brand uses it at once.
SECONDS = 30.0
_KEY = "crm_brand"


@dataclass(frozen=True)
class ShownBrand:
    """The brand as it is shown."""

    name: str
    #: #rrggbb; null = the product's own.
    accent: str | None = None
    #: None = the first letter of the name is shown instead.
    logo: Logo | None = None
    #: Column of Brand -> digest; empty = the product's own icons.
    icons: dict[str, str] = field(default_factory=dict)

    @property
    def color(self) -> str:
        """The brand's color, or the product's own."""
        return self.accent or ACCENT

    @property
    def files(self) -> frozenset[str]:
        """The pictures that anybody may see."""
        return frozenset({*self.icons.values(), *([self.logo.digest] if self.logo else [])})


def last_loaded(app: Flask) -> ShownBrand:
    """The cached brand, without a query."""
    _read_at, shown = app.extensions.get(_KEY) or (0.0, _default(app))
    return shown


def current(app: Flask, session: Session, seconds: float = SECONDS) -> ShownBrand:
    """The brand, read again if the cached one is older than `seconds`."""
    read_at, shown = app.extensions.get(_KEY) or (0.0, None)
    return shown if shown is not None and time.monotonic() - read_at < seconds else load(app, session)


def load(app: Flask, session: Session) -> ShownBrand:
    """Read the brand from the database."""
    with access.as_system(session):
        return set_current(app, brand.stored_brand(session))


def set_current(app: Flask, row: Brand | None) -> ShownBrand:
    """Cache this row as the current brand."""
    shown = _default(app) if row is None else _shown(app, row)
    app.extensions[_KEY] = (time.monotonic(), shown)
    return shown


def _default(app: Flask) -> ShownBrand:
    return ShownBrand(app.config["CRM"].brand)


def _shown(app: Flask, row: Brand) -> ShownBrand:
    icons = {"icon_192": row.icon_192, "icon_512": row.icon_512, "icon_maskable": row.icon_maskable}
    made = {name: digest for name, digest in icons.items() if digest}
    return ShownBrand(row.name or app.config["CRM"].brand, row.accent, brand.logo_of(row), made)
