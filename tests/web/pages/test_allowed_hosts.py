"""Hosts, redirects, headers and tokens: a request's own statements aren't trusted."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import redirect, request

from app.csrf import mask, unmask
from app.web.core.urls.local_links import local_path
from app.web.pages.allowed_hosts import AllowedHosts
from tests.cases import each_case
from tests.web.security_app import (  # noqa: F401  (fixtures)
    PASSWORD,
    ana,
    app,
    browser,
    migrated,
    settings_for,
    sign_in,
)

SITE = {"CRM_PUBLIC_URL": "https://crm.example", "CRM_PORT": "8123"}


@each_case(
    "host, path, is_allowed",
    [
        ("crm.example", "/", True),
        ("CRM.example.", "/", True),
        ("crm.example:443", "/", True),
        ("crm.example:8123", "/", True),
        ("crm.example:9999", "/", False),
        ("evil.example", "/", False),
        ("crm.example.evil.example", "/", False),
        ("evil.example", "/socket.io/", False),
        ("evil.example", "/static/css/list.css", False),
        ("evil.example", "/healthz", False),
        ("127.0.0.1", "/", False),
        ("127.0.0.1:8123", "/healthz", True),
        ("localhost", "/healthz", True),
        ("[::1]:8123", "/healthz", True),
        ("10.1.2.3:8123", "/healthz", True),
        ("", "/", False),
        ("crm.example@evil.example", "/", False),
        ("crm.example/evil", "/", False),
        ("crm.example:abc", "/", False),
        ("crm.example, evil.example", "/", False),
        ("crm\u00e9.example", "/", False),
    ],
)
def test_which_hosts_are_ours(tmp_path: Path, host: str, path: str, is_allowed: bool) -> None:
    assert AllowedHosts(None, settings_for(tmp_path, **SITE)).allows(host, path) is is_allowed


@pytest.mark.parametrize(
    "path", ["/login/", "/socket.io/?EIO=4&transport=polling", "/api/method/ping", "/static/x.css"]
)
def test_another_host_is_refused_everywhere(browser: Any, path: str) -> None:
    response = browser().get(path, headers={"Host": "evil.example"})
    assert response.status_code == 400 and "host name" in response.json["message"]


@each_case(
    "url, expected",
    [
        ("/leads/?q=a", "/leads/?q=a"),
        ("http://localhost/leads/", "/leads/"),
        ("http://127.0.0.1:8000/leads/", "/leads/"),
        ("http://localhost//evil.example", None),
        ("//evil.example/", None),
        ("http://localhost", "/"),
        ("http://localhost?q=1", "/?q=1"),
        ("http://evil.example", None),
        ("///evil.example", None),
        ("/\\evil.example", None),
        ("\\\\evil.example", None),
        ("http:evil.example", None),
        ("https://evil.example/", None),
        ("http://localhost@evil.example/", None),
        ("/\t/evil.example", None),
        ("javascript:alert(1)", None),
        ("/a\nb", None),
        ("http://[", None),
        ("", None),
    ],
)
def test_local_paths(app: Any, url: str, expected: str | None) -> None:
    with app.test_request_context("/"):
        assert local_path(url) == expected


EVIL = ("http://localhost//evil.example/x", "//evil.example", "https://evil.example/", "/\\evil.example")


@pytest.mark.parametrize("url", EVIL)
def test_a_referrer_leads_nowhere_else(browser: Any, url: str) -> None:
    client = browser()
    sign_in(client, "root")
    page = client.get("/leads/").text
    token = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert token
    for path in ("/notes/add", "/tasks/done/1", "/calls/outcome/1", "/leads/action_post"):
        sent = {"csrf_token": token[1], "back": url, "next": url, "action": "x"}
        response = client.post(path, data=sent, headers={"Referer": url})
        assert "evil" not in response.headers.get("Location", "") + response.headers.get("HX-Redirect", "")


@pytest.mark.parametrize("url", EVIL)
def test_no_endpoint_redirects_to_another_site(app: Any, url: str) -> None:
    def leave() -> Any:
        return redirect(request.args["to"])

    app.view_functions.setdefault("test_leave", leave)
    if not any(rule.endpoint == "test_leave" for rule in app.url_map.iter_rules()):
        app._got_first_request = False
        app.add_url_rule("/test-leave", "test_leave", leave)
    response = app.test_client().get("/test-leave", query_string={"to": url})
    assert response.status_code == 302 and response.location == "/"


def test_https_is_remembered_by_browsers(migrated: Any) -> None:
    with migrated.fresh() as app_with:
        client = app_with(CRM_PUBLIC_URL="https://crm.example").test_client()
        headers = client.get("/login/", base_url="https://crm.example").headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "wss://crm.example;" in headers["Content-Security-Policy"]


def test_pages_connect_to_this_site_only(browser: Any) -> None:
    response = browser().get("/login/")
    policy = response.headers["Content-Security-Policy"]
    assert "connect-src 'self' ws://localhost;" in policy and "ws:;" not in policy and "wss:" not in policy
    assert "Strict-Transport-Security" not in response.headers


def test_the_token_differs_in_every_page_and_is_accepted(ana: Any) -> None:
    tokens = {re.findall(r'name="csrf-token" content="([^"]+)"', ana.get("/sessions/").text)[0] for _each in range(3)}
    assert len(tokens) == 3
    plain = {str(unmask(token)).partition(".")[0] for token in tokens}
    assert len(plain) == 1
    for token in tokens:
        assert ana.post("/sessions/end-others", headers={"X-CSRFToken": token}).status_code == 302
    assert ana.post("/sessions/end-others", data={"csrf_token": mask("wrong")}).status_code == 400


@pytest.mark.parametrize(
    "sent", ["m.", "m.a", "m.%%%", "m." + "A" * 5000, "m.\u00e9", "m.AAA", "k.", "k.a", "k.%%%", "k.AAA"]
)
def test_a_malformed_masked_token_is_refused(ana: Any, sent: str) -> None:
    assert ana.post("/sessions/end-others", data={"csrf_token": sent}).status_code == 400


# --- the predecessor's endpoint

LOGIN, LOGOUT = "/api/method/login", "/api/method/logout"
OTHER_SITE = [
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Referer": "https://evil.example/"},
]


@pytest.mark.parametrize("headers", OTHER_SITE)
def test_another_site_signs_nobody_in(browser: Any, headers: dict[str, str]) -> None:
    client = browser()
    response = client.post(LOGIN, data={"usr": "ana", "pwd": PASSWORD}, headers=headers)
    assert response.status_code == 403 and "sid" not in response.headers.get("Set-Cookie", "")


@pytest.mark.parametrize("headers", [*OTHER_SITE, {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}])
@pytest.mark.parametrize("how", ["get", "post"])
def test_another_site_or_a_link_signs_nobody_out(browser: Any, headers: dict[str, str], how: str) -> None:
    client = browser()
    client.post(LOGIN, data={"usr": "ana", "pwd": PASSWORD})
    if how == "post" and "Sec-Fetch-Mode" in headers:
        return  # a form of our own
    assert getattr(client, how)(LOGOUT, headers=headers).status_code == 403
    assert client.get("/api/method/frappe.auth.get_logged_user").status_code == 200


def test_apps_sign_in_and_out_as_before(browser: Any) -> None:
    client = browser()
    sent = {"Referer": "http://localhost/", "X-Requested-With": "XMLHttpRequest"}
    assert client.post(LOGIN, data={"usr": "ana", "pwd": PASSWORD}, headers=sent).status_code == 200
    assert client.get(LOGOUT, headers=sent).status_code == 200
    assert client.get("/api/method/frappe.auth.get_logged_user").status_code in (401, 403)
