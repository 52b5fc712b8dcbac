"""Scans uploads for viruses before they are stored, if the installation has a scanner."""

from __future__ import annotations

import logging
from typing import BinaryIO

from flask import current_app
from flask_babel import gettext as _

from app.domain.audit_log import audit
from app.domain.base import RuleBroken
from app.extensions import db
from app.ops.storage.virus_scanner import FileNotScanned, Scanner, ScannerUnavailable
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer

log = logging.getLogger("crm.files")


class NotScanned(RuleBroken):
    """The scanner is unavailable, and the installation accepts nothing that was not scanned (503)."""

    http_status = 503


def scanner_of_app() -> Scanner | None:
    """The scanner; None = the installation has none."""
    scanner: Scanner | None = current_app.extensions["crm_scanner"]
    return scanner


def state_of(file: BinaryIO, name: str, viewer: Viewer) -> str:
    """off, clean, or waiting: accepted without a scan while the scanner is unavailable.

    off, too, for a file that the scanner doesn't look at. Raises RuleBroken for an infected file, with an audit entry;
    NotScanned.
    """
    scanner = scanner_of_app()
    if scanner is None:
        return "off"
    db.session.commit()  # nothing is written yet; no transaction waits for the scanner
    try:
        threat = scanner.threat_in(file)
    except ScannerUnavailable as away:
        log.warning("an upload was not scanned: %s", away)
        if viewer.lookups.business["file_scan_rule"] == "accept":
            return "off" if isinstance(away, FileNotScanned) else "waiting"
        if isinstance(away, FileNotScanned):
            text = _("“%(name)s” was not taken: the virus scanner doesn't look at files as large as this.", name=name)
            raise RuleBroken(text, "files") from away
        text = _("“%(name)s” was not taken: the virus scanner can't be reached. Please try again later.", name=name)
        raise NotScanned(text, "files") from away
    if threat is None:
        return "clean"
    with request_transaction() as session:
        audit.write(session, "infected file", viewer.person.id, viewer.now, name[:120], threat=threat)
    sentence = _("“%(name)s” was not taken: the virus scanner found %(threat)s in it.", name=name, threat=threat)
    raise RuleBroken(sentence, "files")
