"""Scans what strangers send, before it is stored, if the installation has a virus scanner."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from io import BytesIO

from flask import current_app

from app import access
from app.channels.base import ChannelError
from app.domain import business_settings
from app.domain.audit_log import audit
from app.ops.storage.virus_scanner import FileNotScanned, Scanner, ScannerUnavailable

INFECTED = "The virus scanner found something in the file. It was not kept."
NOT_SCANNED = "The virus scanner can't be reached."
TOO_LARGE_TO_SCAN = "The virus scanner doesn't look at this file, mostly because it is too large. It was not kept."

log = logging.getLogger("crm.files")


def refuse_infected(content: bytes, about: str) -> None:
    """Raise ChannelError for a fetched file that is infected or, unless it is accepted so, not scanned.

    `about`: what it is, for the audit.
    """
    try:
        threat = threat_in(content, about)
    except FileNotScanned as refused:
        raise ChannelError(TOO_LARGE_TO_SCAN, permanent=True) from refused
    except ScannerUnavailable as away:
        raise ChannelError(NOT_SCANNED) from away
    if threat is not None:
        raise ChannelError(INFECTED, permanent=True)


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
            if business_settings.value_of(session, "file_scan_rule") == "accept":
                return None
        raise
    if threat is not None:
        with access.system_transaction() as session:
            audit.write(session, "infected file", None, datetime.now(UTC), about, threat=threat)
    return threat
