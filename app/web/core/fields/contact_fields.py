"""The contact fields that leads and customers share."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _

from app.web.core.fields.base import Field, LongTextField, TextField
from app.web.core.fields.contact_field_types import EmailField, NameField, PhoneField, SecretField


def contact_fields(record: Any, through: Any = None, **avatar: Any) -> list[Field]:
    """Name, phone numbers, email, address, PAN, Aadhaar; read through the customer if `through` is given.

    `face`: see NameField.
    """

    def columns(*names: str) -> tuple[Any, ...]:
        own = tuple(getattr(record, name) for name in names)
        return own + (tuple(getattr(through, name) for name in names) if through is not None else ())

    person: dict[str, Any] = {"section": "person"}
    return [
        NameField("name", _("Name"), columns("first_name", "last_name"), **avatar),
        TextField("first_name", _("First name"), columns("first_name"), max_length=80, required=True, **person),
        TextField("last_name", _("Last name"), columns("last_name"), max_length=80, **person),
        PhoneField(
            "mobile", _("Mobile"), columns("mobile", "mobile_e164"), others=columns("alternative_e164"), **person
        ),
        PhoneField(
            "alternative_mobile", _("Other mobile"), columns("alternative_mobile", "alternative_e164"), **person
        ),
        EmailField("email", _("Email"), columns("email"), **person),
        SecretField("pan", _("PAN"), columns("pan_sealed", "pan_blind"), **person),
        SecretField("aadhaar", _("Aadhaar"), columns("aadhaar_sealed", "aadhaar_blind"), **person),
        LongTextField("address", _("Address"), columns("address"), mask=True, max_length=500, **person),
    ]


#: Columns of the contact, in the order of forms.
CONTACT = ("first_name", "last_name", "mobile", "alternative_mobile", "email", "pan", "aadhaar", "address")
