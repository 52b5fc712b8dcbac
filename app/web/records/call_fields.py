"""Fields of a call: how it ended, whose numbers they are, who was at the other end, what came of it."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import not_

from app.domain.calls import CallLog
from app.lib import phone
from app.web.core.fields import ChoiceField, Field, TextField, Viewer
from app.web.core.personal_fields import PhoneField
from app.web.records import call_lines

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


#: What the telephones' words mean; machines keep hearing the words themselves.
_STATUS_WORDS = {"Did Not Picked": _("Not picked up"), "Missed Call": _("Missed")}
_MEDIUM_WORDS = {"mobile": _("Phone"), "manual": _("Manual"), "twilio": "Twilio", "exotel": "Exotel"}


class CallStatusField(ChoiceField):
    """How a call ended, in words for people."""

    def is_passthrough(self, viewer: Viewer) -> bool:
        """Machines hear the word as it is stored."""
        return True

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The word with its colour."""
        made = super().cell(values, viewer)
        return made | {"label": _STATUS_WORDS.get(values[0], values[0])} if values[0] else made

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A select."""
        options = [(option, _STATUS_WORDS.get(option, option)) for option in self.options]
        return super().form_input(raw, errors, viewer) | {"options": options}


class MediumField(TextField):
    """How we know of a call."""

    def is_passthrough(self, viewer: Viewer) -> bool:
        """Machines hear the word as it is stored."""
        return True

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """In words."""
        word = _MEDIUM_WORDS.get(values[0], values[0])
        return {"kind": "text", "text": str(word)} if word else {"kind": "missing"}


class CallNumberField(PhoneField):
    """One side's number of a call, masked like a mobile."""

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """As the telephone gave it, or normalised; masked like a mobile, or like an e-mail address if it is one."""
        return viewer.person.mask_value("email" if "@" in str(values[0]) else "mobile", values[0])

    def is_hidden(self, viewer: Viewer) -> bool:
        """From whoever does not see mobiles and e-mail addresses whole: a column may hold either."""
        return {viewer.person.mask("mobile"), viewer.person.mask("email")} != {"full"}

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """With a link unless masked."""
        shown = self.value(values, viewer)
        if not shown:
            return {"kind": "missing"}
        kind = "phone" if viewer.person.mask("mobile") == "full" else "text"
        return {"kind": kind, "text": phone.display(shown) if kind == "phone" else shown, "tel": shown}

    def filter_columns(self) -> tuple[Any, ...]:
        """The normalised other side where there is one."""
        return self.columns[-1:]


class OtherPartyField(Field):
    """Who was at the other end: the name of the customer or lead where one is known, else the number, masked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.columns = call_lines.SIDE

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The name, else the number as this person may see it."""
        return call_lines.name_of(values) or call_lines.number_of(values, viewer)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """With the sign of the direction, and the number beside a name."""
        name, number = call_lines.name_of(values), call_lines.number_of(values, viewer)
        icon, tone = call_lines.sign_of(values[5], values[6])
        told = f"{values[5]}, {_STATUS_WORDS.get(values[6], values[6])}"
        return {
            "kind": "call",
            "text": name or number or str(_("Unknown number")),
            "hint": number if name else None,
            "icon": icon,
            "tone": tone,
            "title": told,
            "dial": call_lines.dial_of(values, viewer),
        }

    def order(self) -> Any:
        """By the number."""
        return CallLog.other_e164


class OutcomeField(TextField):
    """What came of it; the list offers to say it of one's own calls."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.columns = (CallLog.outcome, CallLog.id, CallLog.employee_id)

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The words."""
        return values[0]

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The words, or the way to them."""
        if not values[0] and call_lines.may_settle(values[2], viewer):
            return {"kind": "link", "url": f"/calls/outcome/{values[1]}", "text": str(_("Log outcome"))}
        return super().cell(values, viewer)

    def filter_columns(self) -> tuple[Any, ...]:
        """The words."""
        return self.columns[:1]

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """Of the words alone."""
        if op == "null":
            missing = CallLog.outcome.is_(None)
            return missing if str(raw).lower() not in ("false", "0", "no") else not_(missing)
        return super().where(op, raw, viewer)

    def order(self) -> Any:
        """By the words."""
        return CallLog.outcome
