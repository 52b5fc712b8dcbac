"""Fields of a call: status, numbers, other party, outcome."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.search_columns import reversed_column
from app.domain.telephony.calls import CallLog
from app.lib import phone
from app.web.core.fields.base import Field, TextField
from app.web.core.fields.contact_field_types import PhoneField
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer
from app.web.records import dial_targets
from app.web.records.timelines import call_entries

_both: dict[str, Any] = {"add": True, "edit": True}
COLORS = {
    "Completed": "green",
    "Missed Call": "red",
    "Did Not Picked": "red",
    "Failed": "red",
    "No Answer": "red",
    "Busy": "orange",
    "In Progress": "blue",
}


#: Labels for the phones' status values; the API keeps the values.
STATUS_WORDS = {"Did Not Picked": _("Not picked up"), "Missed Call": _("Missed")}
_MEDIUM_WORDS = {"mobile": _("Phone"), "manual": _("Manual"), "console": _("Console")}
_MEDIUM_WORDS |= {"twilio": "Twilio", "exotel": "Exotel"}


def status_word(status: str) -> str:
    """The label of a status."""
    return str(STATUS_WORDS.get(status) or shown_label(status))


class MediumField(TextField):
    """How the call was recorded."""

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the label."""
        word = _MEDIUM_WORDS.get(values[0], values[0])
        return {"kind": "text", "text": str(word)} if word else {"kind": "missing"}


class CallNumberField(PhoneField):
    """One side's number of a call, masked like a mobile."""

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """As the phone sent it, or normalized; masked like a mobile, or like an email address if it is one."""
        return viewer.person.mask_value("email" if "@" in str(values[0]) else "mobile", values[0])

    def is_hidden(self, viewer: Viewer) -> bool:
        """Whether the viewer sees mobiles or email addresses masked: the column can hold either."""
        return {viewer.person.mask("mobile"), viewer.person.mask("email")} != {"full"}

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the number, with a link unless masked."""
        shown = self.value(values, viewer)
        if not shown:
            return {"kind": "missing"}
        kind = "phone" if viewer.person.mask("mobile") == "full" else "text"
        return {"kind": kind, "text": phone.display(shown) if kind == "phone" else shown, "tel": shown}

    def filter_columns(self) -> tuple[Any, ...]:
        """The normalized number of the other party, if there is one."""
        return self.columns[-1:]

    def searched_columns(self) -> tuple[Any, ...]:
        """The other party's number; the numbers as sent have no index."""
        return tuple(each for each in self.filter_columns() if reversed_column(each) is not None)


class OtherPartyField(Field):
    """The other party: the name of the customer or lead if known, else the number, masked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.columns = call_entries.SIDE

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The name, else the number as the viewer can see it."""
        return call_entries.name_of(values) or call_entries.number_of(values, viewer)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The name or number with the direction's icon, and the number beside a name."""
        name, number = call_entries.name_of(values), call_entries.number_of(values, viewer)
        icon, tone = call_entries.icon_of(values[5], values[6])
        title = f"{shown_label(values[5])}, {status_word(values[6])}"
        return {
            "kind": "call",
            "text": name or number or str(_("Unknown number")),
            "hint": number if name else None,
            "icon": icon,
            "tone": tone,
            "title": title,
            "dial": call_entries.dial_of(values, viewer),
            "call_url": dial_targets.url_of("call", values[9], viewer) if values[4] else None,
        }

    def order(self) -> Any:
        """Sort by the number."""
        return CallLog.other_e164


class OutcomeField(TextField):
    """The outcome; on the viewer's own calls without one, the list links to the outcome form."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.columns = (CallLog.outcome, CallLog.id, CallLog.employee_id)

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The outcome."""
        return values[0]

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the outcome, a suggested one in the language of the page; or a link to log it."""
        if not values[0] and call_entries.can_log_outcome(values[2], viewer):
            return {"kind": "link", "url": f"/calls/outcome/{values[1]}", "text": str(_("Log outcome"))}
        return super().cell((call_entries.shown_outcome(values[0]), *values[1:]), viewer)

    def filter_columns(self) -> tuple[Any, ...]:
        """The columns that filters compare: the outcome."""
        return self.columns[:1]

    def empty_columns(self) -> tuple[Any, ...]:
        """The columns that are null if it is empty: the outcome."""
        return self.columns[:1]

    def order(self) -> Any:
        """Sort by the outcome."""
        return CallLog.outcome
