"""Rules for the whole product: views check permissions, and no query bypasses the access rules."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.orm import RelationshipProperty

from app import access, models, notice_texts, views
from app.domain.base import Record
from app.domain.notifications import notices
from app.domain.people import permissions
from app.models import Notification
from app.web.api.resource import Resource
from app.web.core.fab_access import ModulePermissions
from app.web.records.screen import Screen
from tests.app_fixtures import Crm
from tests.web.invalid_input import assert_no_leak

ROOT = Path(__file__).resolve().parent.parent
#: View -> why it needs no permission check.
UNGUARDED_VIEWS = {
    "HomeView": "the user's own day; its queries follow the access rules",
    "UtilView": "FAB: back to the previous page",
    "LocaleView": "the language",
    "AuthDBView": "sign-in",
    "SecurityApi": "sign-in for tokens",
    "MenuApi": "FAB's menu, by permission",
    "OpenApi": "FAB: the documentation",
    "SwaggerView": "FAB: the documentation",
    "SessionsView": "one's own sessions",
    "TwoFactorView": "one's own second factor",
    "InvitationView": "the token of the link decides; limited like sign-ins",
    "ViewAsView": "ends one's own view as another user",
    "KeysView": "one's own keys",
    "BellView": "one's own notices",
    "NoticePreferencesView": "one's own choices",
    "MySettingsView": "one's own settings",
    "PeopleView": "public cards of colleagues",
    "UserResource": "public cards",
    "UserInfoEditView": "one's own name",
    "ResetPasswordView": "FAB's permission, Admin only",
    "ResetMyPasswordView": "one's own password",
    "HelpView": "the guides, the same for everybody; the admin guide asks for the settings",
    "FirstStepsView": "puts a card away in this browser",
    "SearchView": "every query follows the access rules",
    "SavedViewsView": "one's own views and pins; those of others by the access rules, lists by their module",
    "PicturesView": "pictures of colleagues are public; those of customers follow the access rules",
    "MergeView": "the rights to edit and to merge are asked for each record",
    "DuplicatesView": "the right to merge is asked for each kind of record; pairs by the access rules of both",
    "CustomerOverview": "the right to view is asked for the customer; its queries follow the access rules",
    "ExportsView": "one's own exports; the right to export is asked for each kind of record",
    "ImportsView": "one's own imports; the right to import is asked for each kind of record",
    "PredecessorPeopleView": "asks for the right to import everything",
    "ExportResource": "the same over REST",
    "ReportResource": "FAB's permission to read Reports; which records a report reads is asked for each of them",
}
#: Modules whose views are guarded by FAB's permissions and by `Settings` (tests/web/test_team, test_settings).
GUARDED_BY_FAB = (
    "app.web.settings.role_matrix",
    "app.web.settings.roles",
    "app.web.settings.users",
    "app.web.settings.effective_rights",
    "app.web.settings.picklists",
    "app.web.settings.message_templates",
    "app.web.settings.support_pages",
    "app.web.settings.office_hours",
    "app.web.settings.sla_policies",
    "app.web.settings.business_settings",
    "app.web.settings.jobs",
    "app.web.settings.queue_page",
    "app.web.settings.backups",
    "app.web.settings.retention",
    "app.web.settings.health",
    "app.web.messaging.channel_accounts",
    "app.web.messaging.console",
    "app.web.messaging.undelivered_messages",
    "app.web.messaging.dnd_lists",
    "app.web.settings.webhooks",
    "app.web.settings.audit",
)
#: Answered without signing in.
OPEN_RULES = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/manifest.webmanifest",
    "/worker.js",
    "/offline/",
    "/offline/state",
    "/login/",
    "/logout/",
    "/invitation/",
    "/lang/<string:locale>",
    "/back",
    "/public/complaints",  # while its switch is on
    "/static/<path:filename>",
    "/static/i.svg",
    "/static/appbuilder/<path:filename>",
    "/static/parts/<language>.js",
    "/api/v1/security/login",
    "/api/v1/security/refresh",
}
#: Tables that every signed-in person's session can read: picklists, FAB's own, counters; none holds personal records.
PUBLIC_TABLES = {
    "ab_group",
    "ab_permission",
    "ab_permission_view",
    "ab_register_user",
    "ab_role",
    "ab_user",
    "ab_view_menu",
    "access_version",
    "account_type",
    "brand",  # what everybody sees, also who has not signed in
    "board_home",  # which board a role begins with; the board has a rule
    "business_setting",
    # How many calls each person had on each day. What of it a person may see: dashboards/widget_data.py
    *("call_day_count", "call_day_numbers", "call_hour_count", "call_line_count"),
    *("call_rollup_mark", "call_rollup_state"),
    # What dashboards of those who see all leads, tickets or tasks are counted from.
    *("counted_row", "record_day_sum", "record_rollup_state", "row_mark"),
    # How far tasks were compared with the holders of their leads and tickets.
    "holder_check",
    "delivery",
    "failed_try",
    "field_mask",
    "holiday",
    "lead_source",
    "lead_status",
    "list_setup",
    "message_template",
    "module_permission",
    "number_series",
    "office_range",
    "round_robin",
    "sla_policy",
    "sla_target",
    "support_page",
    "ticket_status",
    "ticket_subject",
    "complaint_category",
    "ab_api_key",
}
#: file -> constructs that bypass the access rules, allowed because the file is safe without them.
ALLOWED_BYPASSES = {
    "custom_search.py": {"__table__"},  # within the rules of the record that is searched
    "written_rows.py": {"__table__"},  # compared with a join's own columns; no statement is made of it
    "lookups.py": {"__table__"},  # picklists
    "probes_and_metrics.py": {"text"},  # SELECT 1, and the revision of the schema
    "tasks.py": {"__table__"},  # the next follow-up of a lead, with the rule in the statement
    "relation_fields.py": {"aliased"},  # of the viewer's rows: those that have a related row which the viewer sees
}


# --- endpoints


def test_every_view_checks_permissions_or_is_listed_with_a_reason(app: Flask) -> None:
    for view in app.appbuilder.baseviews:  # type: ignore[attr-defined]
        kind = type(view)
        settled = kind.__module__ in GUARDED_BY_FAB
        name = f"{kind.__module__}.{kind.__name__}"
        assert isinstance(view, ModulePermissions) or settled or kind.__name__ in UNGUARDED_VIEWS, name


def test_every_guarded_view_has_a_module_and_verbs_of_the_matrix(app: Flask) -> None:
    gated = [view for view in app.appbuilder.baseviews if isinstance(view, ModulePermissions)]  # type: ignore[attr-defined]
    assert len(gated) >= len(views.SCREENS)
    for view in gated:
        assert view.module in permissions.MODULES and set(view.VERBS.values()) <= set(permissions.VERBS), view
        asked = {f._permission_name for f in vars_of(view) if hasattr(f, "_permission_name")}
        assert asked <= set(view.VERBS) | {"info"}, (view, asked - set(view.VERBS))


def vars_of(view: Any) -> list[Any]:
    return [getattr(type(view), name) for name in dir(type(view)) if callable(getattr(type(view), name, None))]


def test_screens_and_resources_of_a_record_share_one_service() -> None:
    """A resource may do more than its screen: messages are sent over REST, and only noted on the page."""
    services = {type(view.service) for view in views.SCREENS if issubclass(view, Screen)}
    of_resources = {type(view.service) for view in views.RESOURCES if issubclass(view, Resource)}
    assert {each for each in services if not any(issubclass(other, each) for other in of_resources)} == set()


def requests_to(client: Any, rule: Any) -> list[tuple[str, Any]]:
    path = re.sub(r"<int:[^>]+>", "1", str(rule))
    path = re.sub(r"<[^>]+>", "x", path)
    methods = sorted(rule.methods - {"HEAD", "OPTIONS"})
    return [
        (
            method,
            client.open(path, method=method, headers={"Authorization": ""} if method != "GET" else {}, buffered=True),
        )
        for method in methods
    ]


def test_every_url_refuses_anonymous_requests(app: Flask) -> None:
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        for method, answer in requests_to(client, rule):
            assert_no_leak(answer, f"{method} {rule}")
            assert answer.is_json or not str(rule).startswith("/api/"), (rule, method)
            if str(rule) not in OPEN_RULES:
                assert is_refused(str(rule), answer), (rule, method, answer.status_code)


def is_refused(rule: str, answer: Any) -> bool:
    if rule.startswith("/api/"):
        return answer.status_code in (401, 404) and answer.is_json
    if answer.status_code == 302:
        return "/login/" in answer.location
    return answer.status_code in (400, 401, 403, 404)


def test_no_url_causes_a_server_error_for_a_seller(crm: Crm) -> None:
    """For the admin: tests/web/test_bad_input.py."""
    client = crm.client("ana")
    for rule in crm.app.url_map.iter_rules():
        if "logout" in str(rule) or "/lang/" in str(rule):
            continue
        for method, answer in requests_to(client.browser, rule):
            assert answer.status_code < 500, (rule, method)


def test_no_write_succeeds_without_a_csrf_token(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    before, browser = crm.stored(lead), crm.client("ana").browser
    for path in (f"/leads/edit/{lead.id}", f"/leads/move/{lead.id}", f"/leads/note/{lead.id}", "/leads/action_post"):
        answer = browser.post(path, data={"description": "x", "status": "2", "body": "x"})
        assert answer.status_code == 400, path
    assert browser.put(f"/api/v1/lead/{lead.id}", json={"description": "x"}).status_code == 400
    assert crm.stored(lead) == before


# --- the law


def test_every_table_has_an_access_rule_or_is_public() -> None:
    tables = {mapper.class_.__tablename__ for mapper in Record.registry.mappers}
    guarded = {record.__tablename__ for record in access.RULES}
    assert (tables & models.CORE_TABLES) - guarded - PUBLIC_TABLES == set()


def test_no_endpoint_bypasses_the_access_rules() -> None:
    assert [each for path in sorted((ROOT / "app" / "web").rglob("*.py")) for each in bypasses_in(path)] == []


def bypasses_in(path: Path) -> list[str]:
    """Where a module bypasses the rules, but for what it may."""
    allowed = ALLOWED_BYPASSES.get(path.name, set())
    found = [(node.lineno, what) for node in ast.walk(ast.parse(path.read_text())) if (what := bypasses_rules(node))]
    return [f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in found if what not in allowed]


def bypasses_rules(node: ast.AST) -> str | None:
    """aliased(…), text(…) of SQL, or a bare table: the session's access rules do not apply to them."""
    if isinstance(node, ast.Attribute) and node.attr in ("__table__", "exec_driver_sql", "from_statement"):
        return node.attr
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
        names = {alias.name for alias in node.names} & {"aliased", "text", "table", "literal_column", "AliasedClass"}
        return next(iter(names), None)
    return None


#: Modules that use functools.cached_property -> why its lock does no harm.
LOCKED_PROPERTIES = {"extensions.py": "made once per process, and it must not be made twice"}


def test_threads_do_not_wait_for_the_cached_properties_of_other_objects() -> None:
    found = [path for path in (ROOT / "app").rglob("*.py") if path.name not in LOCKED_PROPERTIES]
    locked = re.compile(r"^from functools import .*\bcached_property|\bfunctools\.cached_property", re.M)
    assert [each.name for each in found if locked.search(each.read_text())] == []  # use app.lib.cached_property


def test_no_relationship_is_loaded_implicitly() -> None:
    for mapper in Record.registry.mappers:
        if mapper.class_.__module__.startswith("app.domain"):
            for each in mapper.attrs:
                if isinstance(each, RelationshipProperty):
                    assert each.lazy not in ("joined", False), each


def test_every_kind_of_notification_has_a_text(app: Flask) -> None:
    with app.test_request_context():
        for kind in notices.KINDS:
            for payload in ({}, {"number": "CRM-LEAD-2026-00001", "title": "Call", "minutes": 5}):
                assert notice_texts.text_of(Notification(kind=kind, payload=payload)), kind
    assert set(notice_texts.TEXTS) == set(notices.KINDS)


def test_every_editable_record_has_a_version() -> None:
    for view in views.SCREENS:
        if "edit" not in view.exclude_route_methods and view.service.record.__tablename__ != "call_log":
            assert hasattr(view.service.record, "version"), view


# --- packages


#: Direct packages that no module imports by a name of their own -> why they are pinned.
UNIMPORTED = {
    "tzdata": "read by zoneinfo",
    "Flask-SQLAlchemy": "FAB brings it; ours is the version",
    "marshmallow": "FAB imports it, and starts with this version only",
    "marshmallow-sqlalchemy": "FAB imports it, and starts with this version only",
    "supervisor": "deploy/stack.py runs it",
    "python-socketio": "Flask-SocketIO brings it; ours is the version",
    "uharfbuzz": "fpdf2 shapes text by it",
}


def test_every_direct_package_is_used() -> None:
    lines = (ROOT / "requirements.txt").read_text().partition("# --- direct")[2].partition("# --- what those")[0]
    pinned = re.findall(r"^([\w.-]+)==", lines, re.M)
    sources = "\n".join(path.read_text() for part in ("app", "migrations") for path in (ROOT / part).rglob("*.py"))
    sources += "".join(path.read_text() for path in ROOT.glob("*.py"))
    unused = [name for name in pinned if name not in UNIMPORTED and not _is_imported(name, sources)]
    assert unused == []


def _is_imported(name: str, sources: str) -> bool:
    module = {
        "PyMySQL": "pymysql",
        "python-socketio": "socketio",
        "Pillow": "PIL",
        "fpdf2": "fpdf",
        "markdown-it-py": "markdown_it",
    }.get(name, name.lower().replace("-", "_"))
    return bool(re.search(rf"^\s*(import|from) {module}\b|mysql\+{module}", sources, re.M | re.I))


def test_every_browser_library_is_served_or_a_tool_of_developers() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    served = (ROOT / "scripts" / "vendor.py").read_text()
    assert [name for name in package["dependencies"] if name not in served] == []
