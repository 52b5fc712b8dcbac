"""What the application holds for all: its file store and its vault."""

from __future__ import annotations

from flask import current_app

from app.lib.field_encryption import Vault
from app.ops.storage.file_store import FileStore


def file_store() -> FileStore:
    """The file store of this application."""
    store: FileStore = current_app.extensions["crm_files"]
    return store


def vault() -> Vault:
    """The vault of this application, which seals and opens secret values."""
    found: Vault = current_app.extensions["vault"]
    return found
