"""Guesses the field for a column of a file by its name: in English, Hindi, and the predecessor's names.

The predecessor's exports (CSV with labels or field names, JSON of /api/resource) need no other mapping.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[\W_]+")
_POSSESSIVE = re.compile(r"['’]s\b", re.IGNORECASE)
#: Field -> possible names of its columns, besides its own name and label.
WORDS: dict[str, tuple[str, ...]] = {
    "first_name": (
        "name",
        "full name",
        "lead name",
        "customer name",
        "client name",
        "name of client",
        "name of customer",
        "name of the client",
        "applicant name",
        "investor name",
        "party name",
        "contact name",
        "given name",
        "नाम",
        "पूरा नाम",
        "पहला नाम",
        "ग्राहक का नाम",
    ),
    "last_name": ("surname", "family name", "उपनाम", "अंतिम नाम"),
    "mobile": (
        "mobile no",
        "mobile number",
        "mob no",
        "mob",
        "phone",
        "phone no",
        "phone number",
        "contact",
        "contact no",
        "contact number",
        "cell",
        "cell no",
        "ph no",
        "tel no",
        "telephone",
        "whatsapp",
        "whatsapp number",
        "मोबाइल",
        "मोबाइल नंबर",
        "फ़ोन",
        "फोन",
        "फोन नंबर",
        "संपर्क",
    ),
    "alternative_mobile": (
        "alternative mobile no",
        "alternate mobile",
        "alternate number",
        "alternate no",
        "alternate mobile no",
        "alt mobile",
        "alternative mobile",
        "other mobile",
        "second mobile",
        "mobile 2",
        "phone 2",
        "दूसरा मोबाइल",
        "वैकल्पिक मोबाइल",
    ),
    "email": (
        *("e mail", "email id", "e mail id", "email address", "e mail address", "mail", "mail id"),
        *("ईमेल", "ई मेल", "ईमेल पता"),
    ),
    "pan": ("pan no", "pan number", "pan card", "pan card number", "पैन", "पैन नंबर", "पैन कार्ड"),
    "aadhaar": (
        "aadhar",
        "aadhaar no",
        "aadhaar number",
        "aadhar number",
        "aadhaar card number",
        "uid",
        "आधार",
        "आधार नंबर",
    ),
    "address": ("address line 1", "full address", "residence", "पता", "city", "location", "शहर"),
    "date_of_birth": ("dob", "birth date", "birthday", "birthdate", "जन्म तिथि", "जन्मतिथि"),
    "status": ("lead status", "ticket status", "call status", "stage", "state of lead", "स्थिति", "स्टेटस"),
    "source": ("lead source", "ticket source", "customer source", "source of lead", "origin", "स्रोत"),
    "category": ("lead category", "श्रेणी"),
    "account_type": ("type of account", "खाता प्रकार", "खाते का प्रकार"),
    "referral": ("referral through", "referred by", "ref by", "reference", "referral code", "ref code", "रेफरल"),
    "referred_by": ("referral through", "ref by", "reference", "introducer", "रेफरल"),
    "client_id": ("client code", "ucc", "client", "customer code", "referral code", "क्लाइंट आईडी", "ग्राहक कोड"),
    "pod_id": ("pod", "pod no", "courier no", "docket"),
    "rejection_reason": ("reason", "reject reason", "अस्वीकृति का कारण"),
    "description": ("remarks", "remark", "notes", "note", "comment", "comments", "details", "टिप्पणी", "विवरण"),
    "next_follow_up_on": (
        *("follow up date", "next follow up", "next follow up date", "follow up", "follow up on", "followup date"),
        *("next followup", "followup", "callback", "call back on", "next call", "अगला फॉलोअप"),
    ),
    "assign_to": (
        "assignee",
        "assigned to",
        "assign to",
        "lead owner",
        "ticket owner",
        "owner",
        "rm",
        "rm name",
        "relationship manager",
        "dealer",
        "dealer name",
        "sales person",
        "executive",
        "agent",
        "सौंपा गया",
        "जिम्मेदार",
    ),
    "assignee": ("assigned to", "assign to", "owner", "किसे"),
    "kyc_status": ("kyc",),
    "rekyc_on": ("re kyc date", "re kyc"),
    "opened_on": ("account opened on", "account open date", "opening date", "खाता खुलने की तिथि"),
    "subjects": ("ticket subject", "ticket subjects", "subject", "issue", "query", "विषय"),
    "priority": ("प्राथमिकता",),
    "resolution": ("solution", "समाधान"),
    "customer": ("customer id", "customer number"),
    "lead": ("lead id", "lead number", "reference docname", "reference name"),
    "ticket": ("ticket id", "ticket number", "reference docname", "reference name"),
    "title": ("task", "task title", "what to do", "काम", "शीर्षक"),
    "due_on": ("due date", "due", "deadline", "नियत तिथि"),
    "started_on": ("start time", "call time", "call date", "date", "time", "समय", "दिनांक"),
    "ended_on": ("end time",),
    "duration_seconds": ("duration", "seconds", "call duration", "अवधि"),
    "direction": ("type", "call type", "प्रकार"),
    "from_number": ("from", "caller number"),
    "to_number": ("to", "called number", "dialed number", "dialled number"),
    "device_call_id": ("call id", "device id"),
    "employee": ("user", "agent", "called by", "कर्मचारी"),
    "outcome": ("call outcome", "result", "remarks"),
    "cold": ("cold call", "is cold call"),
    "username": ("user id", "login", "user name", "यूज़र नाम"),
    "full_name": ("name", "नाम"),
    "role": ("roles", "designation", "भूमिका"),
    "manager": ("reports to", "reporting manager", "प्रबंधक"),
    "number": ("id", "name", "crm id", "lead number", "old id"),
    "created_on": ("creation", "created on", "created", "created at", "created date", "lead date", "बनाया गया"),
    "accounts": ("brokerage accounts",),
    "note": ("last comment", "history", "comments"),
}


def normalize_name(name: str) -> str:
    """A name without differences in case, spaces and punctuation."""
    return _PLAIN.sub(" ", name.casefold()).strip()


def shape_of(headers: Iterable[str]) -> str:
    """A key for files with the same columns, in any order."""
    return hashlib.sha256("\n".join(sorted(normalize_name(each) for each in headers)).encode()).hexdigest()


def guess(headers: list[str], fields: list[tuple[str, str]]) -> dict[str, str]:
    """Header -> field, if the name matches; each field once. `fields`: (name, label).

    A field's own name or label takes precedence, then the other words in their order.
    """
    taken: dict[str, str] = {}
    names = {header: normalize_name(_POSSESSIVE.sub("", header)) for header in headers if header}
    for rank in range(1 + max(len(each) for each in WORDS.values())):
        for field, label in fields:
            if field in taken.values():
                continue
            wanted = _words(field, label, rank)
            found = next((h for h, name in names.items() if h not in taken and name in wanted), None)
            if found is not None:
                taken[found] = field
    return taken


def _words(field: str, label: str, rank: int) -> set[str]:
    if rank == 0:
        return {normalize_name(field), normalize_name(label)}
    words = WORDS.get(field, ())
    return {normalize_name(words[rank - 1])} if rank <= len(words) else set()
