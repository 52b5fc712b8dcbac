"""Remarks on a saved record: what was kept or proposed instead of being written, as sentences for the person."""

from __future__ import annotations

from flask import g
from flask_babel import gettext as _

from app.web.core.languages import is_machine


def add(sentence: str) -> None:
    """Remember a remark on what this request saves; the same one only once."""
    if sentence not in g.setdefault("save_remarks", []):
        g.save_remarks.append(sentence)


def taken() -> list[str]:
    """The remarks of this request, which are then forgotten."""
    return list(g.pop("save_remarks", []))


def on_proposal() -> None:
    """Remark that contact fields became a proposal."""
    add(_("You can't change this customer. The new contact details are a proposal in the timeline."))


def on_number(row: object, values: dict[str, object]) -> None:
    """Remark that a number doesn't open a customer; the same whether the number is known or not."""
    if values.get("mobile") and getattr(row, "customer_id", None) is None and is_machine():
        add(
            _(
                "If this number belongs to a customer you can't see, their owner or a manager decides about the link. "
                "You can also ask for a record with an assignment request."
            )
        )
