"""Scans files that were accepted while the virus scanner was unavailable."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from flask import current_app
from sqlalchemy.orm import Session

from app import access
from app.domain import timeline
from app.domain.audit_log import audit
from app.domain.base import Stamp
from app.domain.files import attachments
from app.extensions import db
from app.models import Attachment, Customer, Lead, Task, Ticket
from app.ops.queues import queue
from app.ops.storage.file_store import FileStore
from app.ops.storage.virus_scanner import FileNotScanned, Scanner, ScannerUnavailable
from app.outbox.delivery_engine import SKIPPED

QUEUE = "default"
_PARENTS = (("lead_id", Lead), ("ticket_id", Ticket), ("customer_id", Customer), ("task_id", Task))

log = logging.getLogger("crm.files")


def enqueue(file_id: int) -> str:
    """Queue the scan of a file; for the job."""
    return "queued" if queue.enqueue(QUEUE, scan, file_id) else SKIPPED


def scan(file_id: int) -> None:
    """Scan one waiting file. The function's path is stored in queues."""
    scanner: Scanner | None = current_app.extensions["crm_scanner"]
    store: FileStore = current_app.extensions["crm_files"]
    with Session(db.engine) as session, access.as_system(session):
        row = session.get(Attachment, file_id)
        digest = row.digest if row is not None and row.scan == "waiting" else None
    if scanner is None or digest is None:
        return
    try:
        with store.open(digest) as content:
            threat = scanner.threat_in(content)
    except FileNotScanned as refused:
        log.warning("file %s is not scanned: %s", file_id, refused)
        with access.system_transaction() as session:
            attachments.settle_unscanned(session, file_id)
        return
    except ScannerUnavailable as away:
        log.warning("file %s still waits for the virus scanner: %s", file_id, away)
        return
    except OSError as away:
        log.warning("file %s waits for the storage: %s", file_id, type(away).__name__)
        return
    with access.system_transaction() as session:
        _settle(session, file_id, threat, datetime.now(UTC))


def _settle(session: Session, file_id: int, threat: str | None, now: datetime) -> None:
    """Store the result; an infected file is reported on the timeline of its record, and in the audit."""
    row = session.get(Attachment, file_id)
    if row is None or row.scan != "waiting":
        return
    attachments.settle_scan(session, row, threat)
    if threat is None:
        return
    audit.write(session, "infected file", row.created_by_id, now, f"file {row.id}", threat=threat)
    for column, record in _PARENTS:
        key = getattr(row, column)
        if key is not None and (about := session.get(record, key)) is not None:
            payload = {"file": row.id, "name": row.name, "what": "infected", "threat": threat}
            timeline.write(session, about, "file", Stamp(None, now), **payload)
            return
