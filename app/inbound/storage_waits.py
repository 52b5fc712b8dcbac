"""What is fetched while our own storage is full or away: it waits, and uses up no attempts."""

from __future__ import annotations

import errno
import logging

from app.outbox.delivery_engine import DeliveryResult

#: Seconds until it is fetched again. A full disk is often noticed the next morning; providers keep files for days.
WAIT_SECONDS = 300.0
FULL = "The disk of the CRM's server is full. As soon as there is room, the file is fetched again."
AWAY = "The storage of files can't be reached. As soon as it can, the file is fetched again."


def waiting(error: OSError, what: str, log: logging.Logger) -> DeliveryResult:
    """The result of a delivery whose file could not be stored; `what` names it in the log."""
    log.warning("%s waits for the storage: %s", what, error.strerror or type(error).__name__)
    sentence = FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else AWAY
    return DeliveryResult("queued", sentence, was_attempted=False, wait=WAIT_SECONDS)
