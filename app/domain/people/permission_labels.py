"""Labels of the modules, verbs, levels, masks and masked fields of the permission matrix."""

from __future__ import annotations

from app.domain.base import TranslatableText, translatable
from app.domain.people.permissions import all_modules

MODULE_LABELS = {
    "Dashboard": translatable("Dashboard"),
    "Reports": translatable("Reports"),
    "Leads": translatable("Leads"),
    "Tickets": translatable("Tickets"),
    "Complaints": translatable("Complaints"),
    "Customers": translatable("Customers"),
    "Tasks": translatable("Tasks"),
    "Call Logs": translatable("Calls"),
    "Messages": translatable("Messages"),
    "Support Pages": translatable("Support pages"),
    "Notes": translatable("Notes"),
    "Requests": translatable("Requests"),
    "Settings": translatable("Settings"),
    "Sign-ins": translatable("Sessions and API keys of others"),
    "Audit Log": translatable("Audit"),
    "Legal Holds": translatable("Legal holds"),
    "Data Requests": translatable("Data requests"),
    "Data Breaches": translatable("Data breaches"),
}
VERB_LABELS = {
    "read": translatable("View"),
    "create": translatable("Create"),
    "write": translatable("Edit"),
    "delete": translatable("Delete"),
    "assign": translatable("Assign"),
    "bulk": translatable("Bulk edit"),
    "recordings": translatable("Recordings"),
    "reveal": translatable("Reveal"),
    "export": translatable("Export"),
    "import": translatable("Import"),
    "merge": translatable("Merge"),
}
LEVEL_LABELS = {
    "none": translatable("no"),
    "own": translatable("own"),
    "team": translatable("team"),
    "all": translatable("all"),
}
MASK_LABELS = {
    "hidden": translatable("hidden"),
    "last4": translatable("last four"),
    "full": translatable("full"),
}
FIELD_LABELS = {
    "mobile": translatable("Mobile"),
    "alternative_mobile": translatable("Other mobile"),
    "email": translatable("Email"),
    "pan": translatable("PAN"),
    "aadhaar": translatable("Aadhaar"),
    "address": translatable("Address"),
}


def module_labels() -> dict[str, TranslatableText]:
    """Module → label, for the product's modules and those of add-ons, whose label is their name."""
    return MODULE_LABELS | {name: translatable(name) for name in all_modules() if name not in MODULE_LABELS}
