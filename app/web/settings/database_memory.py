"""The check of the self-test whether the database has enough memory."""

from __future__ import annotations

from datetime import UTC, datetime

from flask_babel import gettext as _

from app import access
from app.domain.maintenance import database_memory
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.ops.database import server_status
from app.ops.monitoring.process_health import DEGRADED, OFF, OK, CheckResult


def check() -> CheckResult:
    """Whether it finds in memory what statements need."""
    if db.engine.dialect.name == "sqlite":
        return CheckResult(OFF, _("SQLite needs no memory of its own."))
    with access.as_system(db.session()) as session:
        use = database_memory.memory_use(session, datetime.now(UTC))
        size = _size(server_status.buffer_pool_bytes(session))
    if not use.is_known:
        sentence = _(
            "The database may keep %(size)s of its data in memory. It is seen on a busy day whether that suffices.",
            size=size,
        )
        return CheckResult(OK, sentence)
    if not use.is_short:
        return CheckResult(OK, _("The database finds what it needs in its memory (%(size)s).", size=size))
    sentence = _(
        "The memory of the database (%(size)s) is too small: of 1,000 of its pages that are needed, it reads "
        "%(count)s from the disk. Requests take longer for it.",
        size=size,
        count=round(use.of_1000),
    )
    advice = _(
        "Give the machine more memory and run deploy/install.sh once more, or set innodb_buffer_pool_size; see “Grow” "
        "in docs/operate.md."
    )
    return CheckResult(DEGRADED, sentence, advice)


def _size(count: int) -> str:
    """Bytes as 256 MB or 3.8 GB."""
    megabytes = count >> 20
    return f"{grouped(megabytes)}\u00a0MB" if megabytes < 1024 else f"{grouped(round(megabytes / 1024, 1))}\u00a0GB"
