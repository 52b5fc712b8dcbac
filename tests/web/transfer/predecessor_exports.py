"""A made-up installation of the predecessor: its exports in their original formats."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import Any

ANA, MIA, GONE = "ana@eshin.test", "mia@eshin.test", "ravi@old.test"
_STAMPS = {
    "creation": "2025-03-04 10:15:00.123456",
    "modified": "2025-03-09 18:00:00",
    "owner": ANA,
    "modified_by": MIA,
}


def _doc(**given: Any) -> dict[str, Any]:
    return _STAMPS | given


CUSTOMERS = [
    _doc(
        name="CRM-CUST-2025-00001",
        first_name="Asha",
        last_name="Rao",
        mobile_no="9820012345",
        pan_card_number="ABCDE1234F",
        organization="Rao & Sons",
        city="Pune",
        pincode="411001",
        referral_code="E1001",
        accounts=json.dumps([{"account_type": "HUF", "client_id": "E1001", "created_on": "2025-03-08 12:00:00"}]),
    ),
    _doc(name="CRM-CUST-2025-00002", customer_name="Om Jha", mobile_no="98200", email="no address", status="Inactive"),
    _doc(name="CRM-CUST-2025-00003", email="nobody@x.in"),
]
LEADS = [
    _doc(
        name="CRM-LEAD-2025-00007",
        status="Account Opened",
        lead_source="On Call",
        source="Walk In",
        account_type="HUF",
        client_id="E1001",
        customer_id="CRM-CUST-2025-00001",
        lead_owner=MIA,
        assign_to=ANA,
        _assign=json.dumps([MIA, ANA]),
        account_opened_on="2025-03-08 12:00:00",
        description="<div>Wants a <b>HUF</b> account<br>soon</div>",
        status_change_log=[
            {
                "name": "a1",
                "idx": 1,
                "from": "New",
                "to": "Contacted",
                "to_date": "2025-03-05 10:15:00",
                "duration": 86400,
                "log_owner": ANA,
            },
            {"name": "a2", "idx": 2, "from": "Contacted", "to": "", "log_owner": ANA},
        ],
    ),
    _doc(name="CRM-LEAD-2025-00008", first_name="Kiran", mobile_no="9820055555", status="New", lead_owner=GONE),
]
TICKETS = [
    _doc(
        name="CRM-TICKET-2025-00003",
        ticket_subject="Fund transfer",
        ticket_subjects=[{"ticket_subject": "Fund transfer"}, {"ticket_subject": "Odd lot"}],
        priority="Urgent",
        status="Resolved",
        resolved_on="2025-03-07 10:00:00",
        customer_id="CRM-CUST-2025-00001",
        assigned_to=ANA,
        resolution="<p>Sent again</p>",
    )
]
TASKS = [
    _doc(
        name=17,
        title="Call back",
        status="Todo",
        due_date="2025-03-06 11:00:00",
        assigned_to=ANA,
        reference_doctype="CRM Lead",
        reference_docname="CRM-LEAD-2025-00007",
    ),
    _doc(name=18, title="Lost", status="Done", reference_doctype="CRM Lead", reference_docname="CRM-LEAD-2020-00001"),
]
CALLS = [
    {
        "ID": "device_1_9820012345",
        "Device Call ID": "device_1_9820012345",
        "Type": "Incoming",
        "Status": "Completed",
        "From": "+919820012345",
        "To": "9800000001",
        "Start Time": "2025-03-05 12:00:00",
        "Duration": "75",
        "Employee": ANA,
        "Created On": "2025-03-05 12:05:00",
        "Created By": ANA,
        "Method": "Mobile",
    },
    {
        "ID": "m1",
        "Type": "Outgoing",
        "Status": "Ghosted",
        "To": "9820055555",
        "Start Time": "",
        "Created On": "",
        "Employee": ANA,
    },
]
HISTORY = {
    "Comment": [
        _doc(
            name="c1",
            comment_type="Comment",
            reference_doctype="CRM Lead",
            reference_name="CRM-LEAD-2025-00007",
            content="<p>He <b>agreed</b></p>",
            comment_email=ANA,
        ),
        _doc(
            name="c2",
            comment_type="Info",
            reference_doctype="CRM Ticket",
            reference_name="CRM-TICKET-2025-00003",
            content="📱 WhatsApp Support: Sent 1 page",
            comment_email="Administrator",
        ),
        _doc(
            name="c3",
            comment_type="Like",
            reference_doctype="CRM Lead",
            reference_name="CRM-LEAD-2025-00007",
            content="liked",
        ),
    ],
    "Version": [
        _doc(
            name="v1",
            ref_doctype="CRM Lead",
            docname="CRM-LEAD-2025-00007",
            creation="2025-03-08 12:00:00",
            data=json.dumps(
                {
                    "changed": [
                        ["status", "Contacted", "Account Opened"],
                        ["lead_owner", ANA, MIA],
                        ["pan_card_number", "ABCDE1234F", ""],
                    ]
                }
            ),
        )
    ],
    "FCRM Note": [
        _doc(
            name="n1",
            title="Papers",
            content="<p>Two copies</p>",
            reference_doctype="CRM Lead",
            reference_docname="CRM-LEAD-2025-00008",
            owner=GONE,
        )
    ],
    "ToDo": [
        _doc(
            name="t1",
            allocated_to=MIA,
            status="Cancelled",
            reference_type="CRM Lead",
            reference_name="CRM-LEAD-2025-00007",
        )
    ],
    "WhatsApp Message": [
        _doc(
            name="w1",
            type="Incoming",
            **{"from": "919820012345"},
            message="Hello",
            reference_doctype="CRM Lead",
            reference_name="CRM-LEAD-2025-00007",
        )
    ],
    "Communication": [
        _doc(
            name="e1",
            sent_or_received="Sent",
            recipients="Asha <asha@x.in>",
            subject="Welcome",
            content="<p>Dear Asha</p>",
            communication_date="2025-03-06 09:00:00",
            reference_doctype="CRM Lead",
            reference_name="CRM-LEAD-2025-00007",
        )
    ],
}
#: Created, skipped, wrong of each kind.
FIGURES = {
    "CRM Customer": (2, 0, 1),
    "CRM Lead": (2, 0, 0),
    "CRM Ticket": (1, 0, 0),
    "CRM Task": (1, 0, 1),
    "CRM Call Log": (1, 0, 1),
    "ToDo": (1, 0, 0),
    "FCRM Note": (1, 0, 0),
    "Comment": (2, 1, 0),
    "Version": (1, 0, 0),
    "Communication": (1, 0, 0),
    "WhatsApp Message": (1, 0, 0),
}


def table(rows: list[dict[str, Any]]) -> bytes:
    """A list export as CSV."""
    headers = list(dict.fromkeys(name for row in rows for name in row))
    written = io.StringIO()
    writer = csv.DictWriter(written, headers)
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue().encode()


def data_export(leads: list[dict[str, Any]]) -> bytes:
    """Data Export: a heading of several rows, the status log beside the lead."""
    own = [
        "name",
        "status",
        "lead_owner",
        "source",
        "account_type",
        "client_id",
        "customer_id",
        "first_name",
        "mobile_no",
    ]
    log = ["name", "from", "to", "to_date", "duration", "log_owner"]
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerows([["Data Import Template"], ["Table:", "CRM Lead"], [""], [""], ["Notes:"]])
    writer.writerow(
        [
            "DocType:",
            "CRM Lead",
            *[""] * (len(own) - 1),
            "~",
            "CRM Status Change Log",
            "status_change_log",
            *[""] * (len(log) - 2),
        ]
    )
    writer.writerow(["Column Labels:", *own, "", *log])
    writer.writerow(["Column Name:", *own, "~", *log])
    writer.writerows([["Mandatory:"], ["Type:"], ["Info:"], ["Start entering data below this line"]])
    for lead in leads:
        children = lead.get("status_change_log") or [{}]
        for place, child in enumerate(children):
            parent = [f'"{lead["name"]}"', *(lead.get(name, "") for name in own[1:])] if not place else [""] * len(own)
            writer.writerow(["", *parent, "", *(child.get(name, "") for name in log)])
    return written.getvalue().encode()


def files() -> dict[str, bytes]:
    """The folder: JSON of /api/resource, of the list, and CSV."""
    made = {
        "Lead.json": json.dumps({"data": LEADS}).encode(),
        "CRM Customer.json": json.dumps({"message": {"data": CUSTOMERS}["data"]}).encode(),
        "CRM Ticket 2025.json": "\n".join(
            json.dumps({"data": each | {"doctype": "CRM Ticket"}}) for each in TICKETS
        ).encode(),
        "crm_task.json": json.dumps({"data": TASKS}).encode(),
        "Call Log.csv": table(CALLS),
        "CRM Notification.json": b'{"data": [{"name": "x"}]}',
        "odd.csv": b"a,b\n1,2\n",
        "empty.csv": b"",
    }
    return made | {f"{name}.json": json.dumps({"data": rows}).encode() for name, rows in HISTORY.items()}


def zipped(content: dict[str, bytes]) -> bytes:
    """The same as a ZIP."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(f"export/{name}", data)
    return held.getvalue()
