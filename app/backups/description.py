"""The details in the row of a backup."""

from __future__ import annotations

from typing import Any

from app.backups.folder import Backup


def details_of(backup: Backup) -> dict[str, Any]:
    """Sizes, counts and origin; no personal data."""
    manifest = backup.manifest
    tables = manifest["contents"]["tables"]
    return {
        "parts": {name: part["size"] for name, part in manifest["parts"].items()},
        "tables": len(tables),
        "rows": sum(table["rows"] for table in tables.values()),
        "files": manifest["files"]["count"],
        "files_size": manifest["files"]["size"],
        "schema": manifest["schema"],
        "cause": manifest["cause"],
        "encryption": manifest["encryption"],
        "source": manifest["source"],
        "remarks": manifest["remarks"],
    }
