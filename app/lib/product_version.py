"""The version of the product, which is defined only in pyproject.toml."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path


@functools.cache
def product_version() -> str:
    """The version, such as 1.0.0."""
    with (Path(__file__).resolve().parents[2] / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])
