"""Campaigns over REST: create one, read its check and its result, and start, pause, resume and stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_appbuilder.api import expose, protect
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import permission_name
from flask_babel import lazy_gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken, Stamp
from app.domain.messaging import campaign_recipients, campaigns, channel_accounts
from app.domain.messaging.campaign_recipients import SHOWN_STATE
from app.domain.messaging.campaigns import KINDS, STATES, Campaign, CampaignInput, CampaignRecipient, RecipientSource
from app.domain.messaging.messages import CHANNELS, PURPOSES
from app.extensions import db
from app.models import Message
from app.outbox import campaign_sending
from app.web.api.list_parameters import page_of, read_parameters
from app.web.api.operations import OperationSpec
from app.web.api.resource import Resource, request_json
from app.web.api.schemas import ID, STRING, shape
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.core.fields.base import ChoiceField, Field, LongTextField, NumberField, TextField
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.fields.reference_fields import PicklistField
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService
from app.web.messaging import campaign_source
from app.web.messaging.campaign_display import CAMPAIGN_WORDS
from app.web.records.message_words import CHANNEL_WORDS, PURPOSE_WORDS


class SourcesField(Field):
    """The source of each variable: {name: {"from": …, "text": …}}."""

    def __post_init__(self) -> None:
        super().__post_init__()
        origin = shape({"from": STRING, "text": STRING}, "from")
        self.schema = {"type": "object", "additionalProperties": origin, "nullable": True}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """Texts only. Raises RuleBroken for anything else."""
        if raw is None:
            return {}
        is_right = isinstance(raw, dict) and all(
            isinstance(each, dict) and all(isinstance(text, str) for text in each.values()) for each in raw.values()
        )
        if not is_right:
            text = _('“variables” must be an object such as {"name": {"from": "first_name", "text": "customer"}}.')
            raise RuleBroken(text, "variables")
        return {str(name): {str(key): value for key, value in each.items()} for name, each in raw.items()}


class IdsField(Field):
    """The ids of records, as a list in JSON."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.schema = {"type": "array", "items": ID, "maxItems": campaigns.MAX_RECIPIENTS, "nullable": True}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """A list of ids. Raises RuleBroken for anything else."""
        is_right = isinstance(raw, list) and all(type(each) is int and 0 < each < 2**31 for each in raw)
        if raw is not None and not is_right:
            raise RuleBroken(_("“%(name)s” must be a list of IDs.", name=self.name), self.name)
        return raw


class NumbersField(Field):
    """Numbers or addresses, each with values by name: [["9820012345", {"name": "Asha"}], …]; or the number alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        row = {"type": "array", "items": {"anyOf": [STRING, {"type": "object"}]}, "maxItems": 2}
        items = {"anyOf": [STRING, row]}
        self.schema = {"type": "array", "items": items, "maxItems": campaigns.MAX_RECIPIENTS, "nullable": True}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """[number, values] of each. Raises RuleBroken for anything else."""
        if raw is None:
            return None
        rows = [_number_row(each) for each in raw] if isinstance(raw, list) else [None]
        names = {tuple(row[1]) for row in rows if row is not None}
        if None in rows or len(names) > 1:
            text = _("“numbers” must be a list of numbers, or of pairs of a number and the same named values for all.")
            raise RuleBroken(text, "numbers")
        return rows


def _number_row(raw: Any) -> list[Any] | None:
    number, values = (
        (raw, {}) if isinstance(raw, str) else (*raw, {})[:2] if isinstance(raw, list) and raw else (None, {})
    )
    is_right = isinstance(number, str) and isinstance(values, dict) and len(values) <= campaign_source.MAX_COLUMNS
    if not is_right or not all(isinstance(each, str) for each in values.values()):
        return None
    most = campaign_source.MAX_CELL
    return [number[:most], {str(name)[:40]: each[:most] for name, each in values.items()}]


_STATE_WORDS = {name: word for name, (word, _color) in CAMPAIGN_WORDS.items()}
_FIELDS: tuple[Field, ...] = (
    ChoiceField("state", options=STATES, words=_STATE_WORDS),
    ChoiceField("channel", options=CHANNELS, words=CHANNEL_WORDS),
    ChoiceField("purpose", options=PURPOSES, words=PURPOSE_WORDS),
    ChoiceField("kind", options=KINDS),
    PicklistField("template", columns=(Campaign.template_id,), key="template_id", picklist="message_template"),
    LongTextField("body"),
    SourcesField("variables", columns=(Campaign.variables,)),
    TextField("account", max_length=60),
    NumberField("per_minute"),
    NumberField("total"),
    NumberField("filled"),
    IdsField("leads"),
    IdsField("customers"),
    NumbersField("numbers"),
    DateTimeField("start_on"),
    DateTimeField("started_on"),
    DateTimeField("ended_on"),
)
_LABELS = {
    "name": _("Name"),
    "state": _("State"),
    "channel": _("Channel"),
    "purpose": _("Purpose"),
    "kind": _("Recipients"),
    "template": _("Template"),
    "subject": _("Subject"),
    "body": _("Text"),
    "variables": _("Variables"),
    "account": _("Account"),
    "per_minute": _("Messages per minute"),
    "total": _("People"),
    "filled": _("Checked"),
    "leads": _("Leads"),
    "customers": _("Customers"),
    "numbers": _("Numbers"),
    "start_on": _("Starts on"),
    "started_on": _("Started on"),
    "ended_on": _("Ended on"),
    "reason": _("Reason"),
    "created_on": _("Created"),
}


class CampaignService(RecordService):
    """Campaigns: created as drafts; their steps have endpoints of their own."""

    record = Campaign
    module = "Messages"
    fields = _FIELDS
    label_columns = _LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Campaign:
        """Create a draft, whose recipients are checked next. Raises RuleBroken, Denied."""
        campaign_sending.refuse_unless_allowed(viewer.person)
        given = [(kind, values[kind]) for kind in KINDS if values.get(kind) is not None]
        if len(given) != 1:
            raise RuleBroken(_("Please give exactly one of: leads, customers, numbers."), "leads")
        if given[0][0] == "numbers":
            campaign_source.refuse_masked(viewer)
        else:  # a key may be limited to messages
            viewer.person.refuse_unless(access.MODULE_OF[campaign_source.MODELS[given[0][0]]], "read")
        per_minute = values.get("per_minute")
        with access.as_system(session):
            account = channel_accounts.find(session, values["account"]) if values.get("account") else None
            made = campaigns.create(session, values.get("name") or "", RecipientSource(*given[0]), viewer.stamp)
            plan = CampaignInput(
                name=values.get("name") or "",
                channel=values.get("channel") or "",
                body=values.get("body") or "",
                template_id=values.get("template_id"),
                account_id=account.id if account is not None else None,
                purpose=values.get("purpose") or "promotional",
                subject=values.get("subject"),
                variables=values.get("variables") or {},
                per_minute=campaigns.PER_MINUTE if per_minute is None else per_minute,
            )
            campaigns.change(session, made, plan, viewer.stamp)
        return made

    def change(self, session: Session, row: Campaign, values: dict[str, Any], viewer: Viewer) -> None:
        """Refuse changes: the steps have endpoints of their own."""
        raise RuleBroken(_("A campaign is changed by starting, pausing or stopping it."))


_ROW = (404, 409, 422)
_START = shape({"start_on": {"type": "string", "format": "date-time", "nullable": True}})
_COUNTS = shape(
    {
        "counts": {"type": "object", "additionalProperties": ID},
        "left_out": {"type": "object", "additionalProperties": ID},
        "is_checked": {"type": "boolean"},
    },
    "counts",
    "left_out",
    "is_checked",
)


class CampaignResource(Resource):
    """/api/v1/campaign/"""

    resource_name = "campaign"
    datamodel = SQLAInterface(Campaign)
    module = "Messages"
    service = CampaignService()
    exclude_route_methods = {"put", "delete"}
    show_columns = [
        *("name", "state", "channel", "purpose", "template", "subject", "body", "variables", "per_minute"),
        *("kind", "total", "filled", "start_on", "started_on", "ended_on", "reason", "created_on"),
    ]
    add_columns = [
        *("name", "channel", "purpose", "template", "subject", "body", "variables", "account", "per_minute"),
        *("leads", "customers", "numbers"),
    ]
    edit_columns: list[str] = []
    search_exclude_columns = ["subject", "body", "variables", "reason", "template"]
    order_columns = ["created_on", "start_on"]
    VERBS = Resource.VERBS | {
        "post": "bulk",
        **dict.fromkeys(("counts", "recipients"), "read"),
        **dict.fromkeys(("start", "pause", "resume", "stop"), "bulk"),
    }
    documentation = {
        "counts": OperationSpec("How many get it and how many don't, by reason; live", (404,), ("pk",), answer=_COUNTS),
        "recipients": OperationSpec(
            "Each recipient with state and reason", (404, 422), ("pk", "page", "page_size"), answer="list"
        ),
        "start": OperationSpec("Start it now, or at a time", (*_ROW, 413), ("pk",), _START),
        "pause": OperationSpec("Send nothing more until it is resumed", _ROW, ("pk",)),
        "resume": OperationSpec("Go on", _ROW, ("pk",)),
        "stop": OperationSpec("End it and cancel all that is not sent yet", _ROW, ("pk",)),
    }

    @expose("/<int:pk>/counts", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("counts")
    def counts(self, pk: Any) -> Any:
        """The numbers of recipients by state, and of excluded ones by reason."""
        row = self._row(pk, "read")
        by_state: dict[str, int] = {}
        left_out: dict[str, int] = {}
        with access.as_system(db.session()) as session:
            for state, code, count in campaign_recipients.counts(session, row):
                by_state[state] = by_state.get(state, 0) + count
                if state == "left_out":
                    left_out[code or "refused"] = left_out.get(code or "refused", 0) + count
        body = {"counts": by_state, "left_out": left_out, "is_checked": campaigns.is_checked(row)}
        return json_answer(200, body)

    @expose("/<int:pk>/recipients", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("recipients")
    def recipients(self, pk: Any) -> Any:
        """One page of recipients, in order."""
        row, viewer = self._row(pk, "read"), current_viewer()
        page, size = page_of(read_parameters(frozenset(("page", "page_size"))), 50)
        query = (
            select(CampaignRecipient, SHOWN_STATE, Message.reason)
            .outerjoin(Message, Message.id == CampaignRecipient.message_id)
            .where(CampaignRecipient.campaign_id == row.id)
            .order_by(CampaignRecipient.id)
        )
        with access.as_system(db.session()) as session:
            found = session.execute(query.limit(size).offset(page * size)).all()
        result = [_shown(each, state, reason, viewer) for each, state, reason in found]
        ids = [each["id"] for each in result]
        return json_answer(200, {"count": row.total, "count_capped": False, "ids": ids, "result": result})

    @expose("/<int:pk>/start", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("start")
    def start(self, pk: Any) -> Any:
        """Start now, or at {start_on}."""
        raw = request_json()
        if unknown := sorted(set(raw) - {"start_on"}):
            raise RuleBroken(_("There is no such field."), unknown[0])
        start_on = DateTimeField("start_on").parse(raw.get("start_on"), current_viewer())
        return self._moved(pk, lambda session, row, stamp: campaigns.start(session, row, start_on, stamp))

    @expose("/<int:pk>/pause", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("pause")
    def pause(self, pk: Any) -> Any:
        """Pause the campaign."""
        return self._moved(pk, campaigns.pause)

    @expose("/<int:pk>/resume", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("resume")
    def resume(self, pk: Any) -> Any:
        """Resume the campaign."""
        return self._moved(pk, campaigns.resume)

    @expose("/<int:pk>/stop", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("stop")
    def stop(self, pk: Any) -> Any:
        """Stop the campaign permanently."""
        return self._moved(pk, campaigns.stop)

    def _moved(self, pk: Any, step: Callable[[Session, Campaign, Stamp], None]) -> Any:
        row, viewer = self._row(pk, "bulk"), current_viewer()
        campaign_sending.refuse_unless_allowed(viewer.person)
        with access.as_system(db.session()):
            step(db.session(), row, viewer.stamp)
            db.session.commit()
        return json_answer(200, {"id": row.id, "result": self._after(row.id)})


def _shown(row: CampaignRecipient, state: str, reason: str | None, viewer: Viewer) -> dict[str, Any]:
    mask = "email" if "@" in (row.address or "") else "mobile"
    return {
        "id": row.id,
        "address": viewer.person.mask_value(mask, row.address),
        "state": state,
        "code": row.code,
        "reason": translate_text(row.reason or reason or "") or None,
        "lead": row.lead_id,
        "customer": row.customer_id,
        "message": row.message_id,
    }
