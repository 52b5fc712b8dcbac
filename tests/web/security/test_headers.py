"""Headers of every response, whatever the endpoint and outcome: security headers, cookie flags; and TLS."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.app_fixtures import PASSWORD, Crm
from tests.cases import each_case
from tests.servers import ROOT

#: Endpoint -> (method, address, expected status); the person is signed in unless the name says otherwise.
ENDPOINTS = {
    "a page": ("GET", "/leads/", 200),
    "a form": ("GET", "/leads/add", 200),
    "a page of settings": ("GET", "/settings/", 200),
    "sign-in": ("GET", "/login/", 302),
    "REST": ("GET", "/api/v1/lead/", 200),
    "REST, missing": ("GET", "/api/v1/lead/999999", 404),
    "REST, refused": ("POST", "/api/v1/lead/", 400),
    "the predecessor's API": ("GET", "/api/resource/CRM Lead", 401),
    "a method of it": ("GET", "/api/method/nothing.at.all", 404),
    "search": ("GET", "/search/?q=asha", 200),
    "a page that is not there": ("GET", "/nothing-here", 404),
    "a record that is not there": ("GET", "/leads/CRM-LEAD-2026-99999", 404),
    "another method": ("DELETE", "/leads/", 400),
    "a form without token": ("POST", "/sessions/end-others", 400),
    "a static file": ("GET", "/static/css/list.css", 200),
    "the public address of disclosures, off": ("GET", "/public/complaints", 404),
    "alive": ("GET", "/healthz", 200),
    "ready": ("GET", "/readyz", 200),
}


@each_case("endpoint", ENDPOINTS)
def test_every_answer_tells_browsers_to_be_careful(crm: Crm, endpoint: str) -> None:
    method, address, status = ENDPOINTS[endpoint]
    answer = crm.client("root").browser.open(address, method=method)
    assert answer.status_code == status, answer.text[:200]
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] in ("same-origin", "no-referrer")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy or "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy and "base-uri" in policy and "form-action" in policy
    assert "unsafe-inline" not in policy and "unsafe-eval" not in policy
    assert "X-Powered-By" not in headers
    answer.close()


@each_case("endpoint", [name for name in ENDPOINTS if name not in ("a static file", "alive", "ready")])
def test_no_answer_to_a_person_is_kept_by_a_cache_on_the_way(crm: Crm, endpoint: str) -> None:
    method, address, _status = ENDPOINTS[endpoint]
    kept = crm.client("root").browser.open(address, method=method).headers.get("Cache-Control", "")
    assert "public" not in kept
    assert {"no-store", "no-cache", "private"} & set(re.split(r"[,\s]+", kept)), kept


def cookies_of(app: Any, base: str) -> dict[str, str]:
    """Name -> flags of the cookies that the sign-in page and both sign-ins set."""
    client, found = app.test_client(), {}
    page = client.get("/login/", base_url=base)
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert token is not None
    form = {"username": "ana", "password": PASSWORD, "csrf_token": token[1]}
    signed = client.post("/login/", data=form, base_url=base, headers={"Referer": f"{base}/login/"})
    assert signed.status_code == 302
    phone = app.test_client().post("/api/method/login", data={"usr": "ana", "pwd": PASSWORD}, base_url=base)
    assert phone.status_code == 200
    for answer in (page, signed, phone):
        for cookie in answer.headers.getlist("Set-Cookie"):
            name, _equals, rest = cookie.partition("=")
            found[name] = rest.partition(";")[2]
    return found


#: Cookies that scripts of the predecessor's clients read; they open nothing.
READ_BY_SCRIPTS = {"user_id", "full_name", "system_user", "user_image"}


@pytest.mark.parametrize(("base", "is_secure"), [("http://localhost", False), ("https://localhost", True)])
def test_cookies_are_for_this_site_only(crm: Crm, base: str, is_secure: bool) -> None:
    crm.app.config["SESSION_COOKIE_SECURE"] = is_secure
    found = cookies_of(crm.app, base)
    assert found
    for name, flags in found.items():
        assert re.search(r"SameSite=(Lax|Strict)", flags), (name, flags)
        assert ("HttpOnly" in flags) or name in READ_BY_SCRIPTS, (name, flags)
        assert "Domain=" not in flags and ("Secure" in flags) is is_secure, (name, flags)


def test_tls_is_1_2_at_least_with_forward_secrecy_and_authenticated_ciphers() -> None:
    text = (ROOT / "deploy" / "nginx" / "tls.conf").read_text()
    (protocols,) = re.findall(r"ssl_protocols ([^;]+);", text)
    assert set(protocols.split()) == {"TLSv1.2", "TLSv1.3"}
    (ciphers,) = re.findall(r"ssl_ciphers ([^;]+);", text)
    assert [each for each in ciphers.split(":") if not re.match(r"ECDHE-\w+-(AES\d+-GCM|CHACHA20)", each)] == []
