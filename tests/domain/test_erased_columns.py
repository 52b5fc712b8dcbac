"""Each column with a text or JSON is decided: which part of an erasure empties it, or why it stays."""

from __future__ import annotations

from sqlalchemy import JSON, String
from sqlalchemy.types import TypeDecorator

from app.domain.erasure.erased_tables import PARTS
from app.models import CORE_TABLES, Record

#: Emptied or deleted together with what a part erases, by code of its own.
BESIDE = {
    "bulk_change": "label module rows",  # BulkPart
    "call_log": "device_call_id provider_id",  # CallPart puts hashes in their place
    "campaign": "source",  # CampaignPart
    "consent": "evidence words",  # ConsentPart
    "conversation": "peer_name",  # ConversationPart
    "custom_value": "text_value",  # follows `custom` of the record
    "customer_key": "value",  # CustomerPart
    "delivery": "error",  # deleted with its notification
    "former_name": "name",  # CallPart puts a hash in place of those of calls; the others are numbers
    "merge_change": "after before",  # MergePart
    "merged_record": "aadhaar_blind aadhaar_sealed pan_blind pan_sealed row",  # MergePart
    "message": "provider_id",  # MessagePart puts a hash in its place
    "note_text": "body",  # TimelinePart
}
#: Why -> table -> the columns that stay.
STAYS = {
    "a code, a state, a number of a record or a choice from a list": {
        "activity": "kind record_kind",
        "assignment": "open_key reason role",
        "assignment_request": "number pending_key status",
        "call_day_count": "direction status",
        "call_log": "direction medium status",
        "call_request": "purpose state",
        "call_rollup_state": "zone",
        "campaign": "channel kind purpose state",
        "campaign_recipient": "code person state",
        "complaint": "exchange number outcome review_stage segment source",
        "complaint_entry": "source way",
        "consent": "action channel how language purpose",
        "conversation": "channel state",
        "customer": "kyc_status number referred_by source status",
        "customer_key": "kind",
        "customer_link": "open_key status",
        "data_breach": "state",
        "data_erasure": "active_number number record_table request_number same_contacts state",
        "data_request": "kind state",
        "delivery": "channel state",
        "dnd_upload": "digest state",
        "do_not_disturb": "how preference",
        "duplicate_pair": "kind",
        "duplicate_scan": "kind",
        "export_run": "format kind outcome worker",
        "former_name": "doctype kind",
        "holder_check": "name",
        "import_row": "result",
        "import_run": "digest kind outcome shape",
        "inbound_event": "state",
        "kept_answer": "fingerprint key",
        "leads": "assigned_role category number referral",
        "mail": "direction mail_key origin",
        "merge_change": "column_name table_name",
        "merged_record": "gone_key kind number",
        "message": "cause channel code direction purpose state",
        "message_reaction": "emoji state",
        "number_series": "kind",
        "record_day_sum": "key",
        "record_merge": "kept_number kind",
        "record_rollup_state": "rules zone",
        "retention_rule": "kind",
        "retention_run": "kind open_key",
        "task": "priority status",
        "ticket": "assigned_role complaint_state number priority source",
        "transfer_part": "digest role",
        "webhook_delivery": "event key number state",
    },
    "ids of our people, numbers, or emoji": {
        "assignment": "decision",
        "counted_row": "shares",
        "data_erasure": "counts kept",
        "merge_change": "rows",
        "message": "reactions",
        "record_merge": "counts",
        "task": "tried",
    },
    "sealed until the erasure is settled: by it rows are found": {"data_erasure": "addresses_sealed"},
    "about our people, their access and what they have set up": {
        "ab_api_key": "key_hash key_prefix lookup_hash name scopes uuid",
        "ab_group": "description label name",
        "ab_permission": "name",
        "ab_register_user": "email first_name last_name password registration_hash username",
        "ab_role": "name",
        "ab_user": "email first_name last_name locale mobile mobile_e164 notice_choices password picture "
        "reminder_minutes telephony_number time_zone username",
        "ab_view_menu": "name",
        "api_key": "key last_used_from name scope secret_hash",
        "board": "audience label layout origin",
        "call_request": "caller_id",
        "failed_try": "name_hash",
        "field_mask": "field level",
        "former_person": "column_name email kind",
        "invitation": "address error nonce state token_hash",
        "list_choice": "columns module",
        "list_setup": "create_fields module quick_filters",
        "login_name": "key",
        "mail_signature": "html title",
        "module_permission": "level module verb",
        "pending_sign_in": "token_hash",
        "phone_sync": "agent",
        "recovery_code": "code_hash",
        "remembered_browser": "token_hash",
        "report": "audience definition kind label",
        "report_schedule": "at format paused_why readers rhythm",
        "sign_in": "address agent door token_hash",
        "two_factor": "key_sealed",
    },
    "settings and lists of the office": {
        "account_type": "label",
        "brand": "accent icon_192 icon_512 icon_maskable logo name",
        "business_setting": "key value",
        "call_line_count": "number purpose series",
        "campaign": "body name reason subject variables",
        "channel_account": "caller_ids channels kind last_error name purpose secrets_sealed settings token_hash "
        "token_sealed",
        "complaint_category": "label",
        "custom_field": "choices help kind label labels name record_table",
        "holiday": "label",
        "kept_key": "key_id key_sealed purpose",
        "lead_source": "label",
        "lead_status": "color label meaning",
        "message_template": "approval approval_note body category channel header label language name provider_id "
        "purpose",
        "sla_policy": "applies_to label",
        "sla_target": "priority",
        "support_page": "description label url",
        "ticket_status": "color label meaning",
        "ticket_subject": "description label",
        "webhook": "events name result secret_sealed state url why",
    },
    "the installation itself": {
        "backup_run": "details error kind name outcome ran_by sha256 slot",
        "health_crossing": "measure open_key server",
        "health_sample": "role server",
        "job_run": "error job outcome ran_by slot",
        "slow_statement": "digest place text",
    },
    "kept for a while only, and found by no person: its retention deletes it": {
        "dnd_upload": "error name",
        "dnd_wrong_line": "problem",
        "error_report": "digest place request_id text trace",
        "export_run": "error payload rights",
        "failed_call": "arguments error function outcome queue",
        "import_run": "error name payload",
        "inbound_event": "digest error summary",
        "report_run": "digest error rights slot state",
    },
    "a duty of the office towards authorities, about many people": {
        "complaint_disclosure": "exchange_return figures layout reason",
        "data_breach": "data_kinds details measures people proof title",
    },
    "the chain of the audit log, see ADR 0153": {
        "audit_entry": "about address event hash payload",
        "audit_head": "base_hash base_seal hash key_id",
    },
}
#: Columns that say who has a record: erasures go past the hooks that count by them.
HOLDERS = {"assignee_id", "owner_id", "status_id", "due_on", "created_on", "lead_id", "ticket_id", "customer_id"}


def texts() -> set[str]:
    """table.column of all columns that hold texts or JSON."""
    found = set()
    for table in Record.metadata.tables.values():
        for column in table.columns if table.name in CORE_TABLES else ():
            kind = column.type.impl if isinstance(column.type, TypeDecorator) else column.type
            if isinstance(kind, String | JSON) and column.computed is None:
                found.add(f"{table.name}.{column.name}")
    return found


def emptied() -> set[str]:
    """table.column of what the parts empty, and of all columns of rows that they delete."""
    found = {f"{name}.{column}" for name, columns in BESIDE.items() for column in columns.split()}
    for part in PARTS:
        if part.blanks is None and part.table.name not in BESIDE:
            found |= {f"{part.table.name}.{column.name}" for column in part.table.columns}
        found |= {f"{part.table.name}.{name}" for name in {**(part.blanks or {}), **part.also}}
    return found & texts()


def test_each_text_is_erased_or_stays_for_a_reason() -> None:
    tables = [pair for found in STAYS.values() for pair in found.items()]
    stays = [f"{name}.{each}" for name, columns in tables for each in columns.split()]
    assert len(stays) == len(set(stays))
    assert texts() - emptied() - set(stays) == set(), "decide it in erased_tables.PARTS, or say here why it stays"
    assert set(stays) - texts() == set()
    assert sorted(emptied() & set(stays)) == []


def test_an_erasure_changes_no_column_by_which_rows_are_counted_or_belong_to_somebody() -> None:
    for part in PARTS:
        assert not HOLDERS & {*(part.blanks or {}), *part.also}, part.table.name
