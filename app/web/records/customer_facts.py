"""What a broker looks at first, of the customer of a lead or ticket: client ID, KYC, and what they want no more."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.customers import KYC_STATUSES
from app.models import Customer
from app.web.core.fields.base import ChoiceField, Field, TextField
from app.web.core.viewer import Viewer

KYC_COLORS = {"Pending": "amber", "Verified": "green", "Rejected": "red", "Re-KYC due": "orange"}
_REFUSED = {
    "no_calls": _("No calls"),
    "no_whatsapp": _("No WhatsApp"),
    "no_sms": _("No SMS"),
    "no_email": _("No email"),
}


class RefusedChannelsField(Field):
    """On which channels the customer wants no calls and messages."""

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The labels, joined by comma; None if there are none."""
        return ", ".join(str(label) for label, is_set in zip(_REFUSED.values(), values, strict=True) if is_set) or None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The labels, in red."""
        shown = self.value(values, viewer)
        return {"kind": "choice", "label": shown, "color": "red"} if shown else {"kind": "missing"}


_REFUSED_COLUMNS = tuple(getattr(Customer, name) for name in _REFUSED)


def facts(*names: str) -> tuple[Field, ...]:
    """The fields of these names, read from the customer that the row is joined with."""
    made: dict[str, Field] = {
        "client_id": TextField("client_id", columns=(Customer.referral_code,)),
        "kyc_status": ChoiceField(
            "kyc_status", columns=(Customer.kyc_status,), options=KYC_STATUSES, colors=KYC_COLORS
        ),
        "refused_channels": RefusedChannelsField("refused_channels", columns=_REFUSED_COLUMNS),
    }
    return tuple(made[name] for name in names)


LABELS = {"client_id": _("Client ID"), "kyc_status": _("KYC"), "refused_channels": _("Do not disturb")}
