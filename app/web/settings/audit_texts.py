"""The result of a check of the audit log in words, for its page and the command."""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import ngettext as _n

from app.domain.audit_log import audit_chain
from app.lib.digit_grouping import grouped


def report_lines(report: audit_chain.ChainReport) -> list[str]:
    """The result of a check of the audit log, as sentences."""
    if not report.is_our_key:
        return [str(_("The log can't be checked: it was sealed with another CRM_FIELD_KEY than this server has."))]
    if not report.broken:
        count = report.head.seq - report.deleted_until
        return [
            _intact(count),
            *_deleted(report),
            *_carried_over(report),
        ]
    places = _n(
        "The log was altered in %(count)s place.",
        "The log was altered in %(count)s places.",
        report.broken,
        count=grouped(report.broken),
    )
    lines = [str(places)]
    return [*lines, *(_fault(fault) for fault in report.faults), *_carried_over(report)]


def _intact(count: int) -> str:
    return str(
        _n(
            "The log is intact: %(count)s entry.",
            "The log is intact: %(count)s entries.",
            count,
            count=grouped(count),
        )
    )


def _deleted(report: audit_chain.ChainReport) -> list[str]:
    if not report.deleted_until:
        return []
    return [
        str(_("It begins after entry no. %(seq)s: older ones were deleted for their age.", seq=report.deleted_until))
    ]


def _carried_over(report: audit_chain.ChainReport) -> list[str]:
    if not report.carried_over:
        return []
    shown = ", ".join(map(str, report.carried_over[:20]))
    count = len(report.carried_over)
    return [
        _n(
            "Broken before the log was sealed with a key: %(count)s entry (ID %(ids)s).",
            "Broken before the log was sealed with a key: %(count)s entries (IDs %(ids)s).",
            count,
            count=grouped(count),
            ids=shown,
        )
    ]


def _fault(fault: audit_chain.ChainFault) -> str:
    texts = {
        "missing": _("Entry no. %(seq)s is missing."),
        "altered": _("Entry no. %(seq)s (ID %(id)s) was altered, moved or inserted."),
        "inserted": _("Entry no. %(seq)s lies beyond the end of the log."),
        "head": _("The log does not end at entry no. %(seq)s, as it should."),
        "record": _("Entry no. %(seq)s is not what was noted outside the database: the log was cut, or put back."),
    }
    return texts[fault.what] % {"seq": fault.seq, "id": fault.entry_id}
