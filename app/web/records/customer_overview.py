"""Everything about one customer: figures, accounts, whom they have referred, and who has seen their data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flask import render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import func, or_, select

from app import access
from app.domain import referral_tree, who_has_seen
from app.domain.referral_tree import ReferredPerson
from app.domain.tickets import ENDED
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.models import (
    CallLog,
    Customer,
    CustomerAccount,
    Lead,
    Message,
    Ticket,
    TicketStatus,
)
from app.web.core.fab_access import current_viewer
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.default_labels import shown_label
from app.web.core.localization.durations import span
from app.web.core.urls.local_links import row_url
from app.web.core.view_registry import screen_of
from app.web.core.viewer import Viewer
from app.web.pages.routes import signed_in_route

#: Entries of the audit that are listed, and how far back entries that only mention the person are searched.
LISTED, LOOK_BACK = 50, timedelta(days=90)
#: Event of the audit -> its text for people.
SEEN = {
    "reveal": _l("Revealed a masked value"),
    "recording": _l("Listened to a recording"),
    "export": _l("Exported"),
    "look-up": _l("Found by the limited look-up"),
    "customer link": _l("Linked a record"),
    "merge": _l("Merged records"),
    "view-as": _l("Looked as another user"),
}


class CustomerOverview(BaseView):
    """/customer-overview/"""

    route_base = "/customer-overview"
    default_view = "show"

    @signed_in_route("/<int:key>")
    def show(self, key: int) -> Any:
        """The page; for htmx the part of the record page with the figures."""
        viewer, screen = current_viewer(), screen_of(Customer)
        viewer.person.refuse_unless("Customers", "read")
        row = screen.row_for(key, "read")
        if request.headers.get("HX-Request"):
            return render_template("merge/_figures.html", figures=figures(key, viewer), url=f"/customer-overview/{key}")
        page = {
            "title": _("Overview of %(name)s", name=_name_of(row)),
            "list_label": screen.list_title,
            "list_url": "/customers/",
            "url": screen.url_of(row),
            "number": row.number,
            "figures": figures(key, viewer),
            "accounts": _accounts(key, viewer),
            "tree": _tree(key, viewer),
            "consents_url": f"/consents/of/customer/{key}" if viewer.person.may("Messages", "read") else None,
            "seen": seen_by(row, viewer),
            "can_audit": viewer.person.may("Audit Log", "read"),
        }
        return render_template("merge/overview.html", page=page)


def figures(key: int, viewer: Viewer) -> list[dict[str, Any]]:
    """Calls, talk time, tickets, last contact, from the rows that the person sees."""
    session, made = db.session(), []
    if viewer.person.may("Call Logs", "read"):
        call = _of_customer(CallLog, key)
        count, seconds, last = session.execute(
            select(func.count(), func.sum(CallLog.duration_seconds), func.max(CallLog.started_on))
            .select_from(CallLog)
            .where(call)
        ).one()
        made += [_figure(_("Calls"), count), _figure(_("Talk time"), span(int(seconds or 0)))]
        made.append({"label": _("Last call"), "cell": moment_cell(last, viewer)})
    if viewer.person.may("Tickets", "read"):
        query = select(TicketStatus.meaning, func.count()).select_from(Ticket).join(TicketStatus)
        states = dict(session.execute(query.where(Ticket.customer_id == key).group_by(TicketStatus.meaning)).all())
        closed = sum(count for meaning, count in states.items() if meaning in ENDED)
        made += [_figure(_("Open tickets"), sum(states.values()) - closed), _figure(_("Closed tickets"), closed)]
    if viewer.person.may("Messages", "read"):
        last = session.execute(select(func.max(Message.created_on)).where(_of_customer(Message, key))).scalar()
        made.append({"label": _("Last message"), "cell": moment_cell(last, viewer)})
    return made


def _of_customer(record: Any, key: int) -> Any:
    """Rows of the customer, and of their leads and tickets."""
    leads = select(Lead.id).where(Lead.customer_id == key)
    tickets = select(Ticket.id).where(Ticket.customer_id == key)
    return or_(record.customer_id == key, record.lead_id.in_(leads), record.ticket_id.in_(tickets))


def _figure(label: str, value: Any) -> dict[str, Any]:
    return {"label": label, "cell": {"kind": "text", "text": grouped(value) if isinstance(value, int) else value}}


def _accounts(key: int, viewer: Viewer) -> list[dict[str, Any]]:
    table = CustomerAccount
    query = select(table.client_id, table.account_type_id, table.opened_on, table.activated_on).order_by(table.id)
    return [
        {
            "client_id": client_id,
            "type": shown_label((viewer.lookups.card("account_type", kind) or {}).get("label", "")),
            "opened": moment_cell(opened, viewer),
            "activated": moment_cell(activated, viewer),
        }
        for client_id, kind, opened, activated in db.session().execute(query.where(table.customer_id == key))
    ]


def _tree(key: int, viewer: Viewer) -> dict[str, Any]:
    """The referrals that the person sees, as a tree of {title, url, kind, children}."""
    tree = referral_tree.tree_of(db.session(), key)
    named = _names(tree.children, viewer)
    return {"children": [_node(each, named) for each in tree.children], "count": tree.count, "is_cut": tree.is_cut}


def _node(each: ReferredPerson, named: dict[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    shown = named.get((each.kind, each.id), {"title": "–", "number": "", "url": None})
    return shown | {"kind": each.kind, "children": [_node(child, named) for child in each.children]}


def _name_of(row: Any) -> str:
    """First and last name of a customer or lead, else its number."""
    return " ".join(filter(None, (row.first_name, row.last_name))) or row.number


def _names(nodes: Sequence[ReferredPerson], viewer: Viewer) -> dict[tuple[str, int], dict[str, Any]]:
    wanted: dict[str, set[int]] = {"customer": set(), "lead": set()}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        wanted[node.kind].add(node.id)
        waiting += node.children
    found = {}
    for kind, record, base in (("customer", Customer, "/customers"), ("lead", Lead, "/leads")):
        columns = (record.id, record.number, record.first_name, record.last_name)
        for row in db.session().execute(select(*columns).where(record.id.in_(wanted[kind]))) if wanted[kind] else ():
            url = row_url(base, row.id, row.number)
            found[kind, row.id] = {"title": _name_of(row), "number": row.number, "url": url}
    return found


def seen_by(customer: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """The newest audit entries about who has seen the customer's data, for those who may read the audit."""
    if not viewer.person.may("Audit Log", "read"):
        return []
    with access.as_system(db.session()) as session:
        rows = who_has_seen.of_customer(session, customer, SEEN, viewer.now - LOOK_BACK)[:LISTED]
    return [
        {
            "at": moment_cell(row.at, viewer),
            "who": (viewer.lookups.person(row.user_id) or {}).get("full_name", _("the system")),
            "what": SEEN[row.event],
            "about": row.about or "",
        }
        for row in rows
    ]
