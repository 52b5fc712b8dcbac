"""Scans what strangers send, before it is stored, if the installation has a virus scanner."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from io import BytesIO

from flask import current_app

from app import access
from app.domain import audit, settings
from app.ops.storage.virus_scanner import Scanner, ScannerUnavailable

log = logging.getLogger("crm.files")


def threat_in(content: bytes, about: str) -> str | None:
    """The threat in a file or a whole email, with an audit entry; None = harmless, or nothing scans here.

    `about`: what it is, for the audit. Raises ScannerUnavailable, unless the installation accepts files unscanned.
    """
    scanner: Scanner | None = current_app.extensions["crm_scanner"]
    if scanner is None:
        return None
    try:
        threat = scanner.threat_in(BytesIO(content))
    except ScannerUnavailable as away:
        log.warning("%s was not scanned: %s", about, away)
        with access.system_transaction() as session:
            if settings.value_of(session, "file_scan_rule") == "accept":
                return None
        raise
    if threat is not None:
        with access.system_transaction() as session:
            audit.write(session, "infected file", None, datetime.now(UTC), about, threat=threat)
    return threat
