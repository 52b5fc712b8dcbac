"""A few leads who are in the list twice, for the page of duplicates: they called, and later filled in the form."""

from __future__ import annotations

from sqlalchemy import select

from app import models
from app.demo.builder import DemoBuilder, Row
from app.domain import leads

#: How the second lead of each pair resembles the first: the fields that it has from them.
PAIRS = (
    ("first_name", "last_name", "mobile", "mobile_e164", "date_of_birth"),
    ("first_name", "last_name", "email", "date_of_birth"),
    ("last_name", "mobile", "mobile_e164", "address"),
)


def make_duplicates(builder: DemoBuilder) -> None:
    """Give some late leads what somebody has who became a lead earlier; neither is a customer yet."""
    is_open = models.LeadStatus.meaning.not_in(leads.TERMINAL)
    statuses = set(builder.session.scalars(select(models.LeadStatus.id).where(is_open)))
    own = [
        row
        for row in builder.rows_of(models.Lead)
        if row["customer_id"] is None and row["status_id"] in statuses and row["email"] and row["mobile"]
    ]
    for fields, first, second in zip(PAIRS, own, reversed(own), strict=False):
        if first["created_on"] < second["created_on"]:
            _resemble(second, first, fields)


def _resemble(second: Row, first: Row, fields: tuple[str, ...]) -> None:
    second |= {"email": None, "pan_sealed": None, "pan_blind": None} | {name: first[name] for name in fields}
    second |= {"called": f"{second['first_name']} {second['last_name']}"}
