"""Rate limits of the API per key, user and address; CORS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import config
from app.ops.redis.rate_counter import PREFIX, Count, LocalRateCounter, Rate, RedisRateCounter
from tests.app_fixtures import Crm, settings_for
from tests.app_pool import AppMaker
from tests.factories import NOW

LimitedWorld = Callable[..., Crm]
ORIGIN = "https://desk.example"


@pytest.fixture
def limited_world(app_with: AppMaker) -> Iterator[LimitedWorld]:
    """limited_world(CRM_API_LIMIT="3 per hour"): an application with this limit, on the database of `app`."""
    crms: list[Crm] = []

    def started(**environ: str) -> Crm:
        crms.append(Crm(app_with(**environ)))
        return crms[-1]

    yield started
    for each in crms:
        each.close()


def statuses(crm: Crm, who: str | None, times: int, method: str = "GET", **more: Any) -> list[int]:
    client = crm.client(who)
    return [client.rest(method, "lead/", **more).status_code for _ in range(times)]


def test_a_call_above_the_limit_is_refused_with_the_time_to_wait(limited_world: LimitedWorld) -> None:
    crm = limited_world(CRM_API_LIMIT="3 per hour")
    assert statuses(crm, "ana", 3) == [200] * 3
    response = crm.client("ana").rest("GET", "lead/")
    assert (response.status_code, response.json["errors"], response.mimetype) == (429, {}, "application/json")
    assert response.json["message"].startswith("Too many requests. Please wait")
    assert 0 < int(response.headers["Retry-After"]) <= 3600
    assert response.headers["X-RateLimit-Remaining"] == "0"


def test_every_response_says_how_much_is_left(limited_world: LimitedWorld) -> None:
    crm = limited_world(CRM_API_LIMIT="100 per hour", CRM_API_WRITE_LIMIT="10 per hour")
    client = crm.client("ana")
    for path, left in (("lead/", "99"), ("lead/9999", "98"), ("lead/?q=!", "97")):
        expected = client.rest("GET", path).headers
        assert (expected["X-RateLimit-Limit"], expected["X-RateLimit-Remaining"]) == ("100", left), path
        assert 0 < int(expected["X-RateLimit-Reset"]) - time.time() <= 3600
    expected = client.rest("POST", "lead/", {"first_name": "Asha"}).headers
    assert (expected["X-RateLimit-Limit"], expected["X-RateLimit-Remaining"]) == ("10", "9")


def test_writes_have_a_limit_of_their_own(limited_world: LimitedWorld) -> None:
    crm = limited_world(CRM_API_LIMIT="100 per hour", CRM_API_WRITE_LIMIT="2 per hour")
    assert statuses(crm, "ana", 3, "POST", json={"category": "Nonsense"}) == [422, 422, 429]
    assert statuses(crm, "ana", 2) == [200, 200]


def test_a_refused_write_changes_nothing(limited_world: LimitedWorld) -> None:
    crm = limited_world(CRM_API_WRITE_LIMIT="1 per hour")
    lead = crm.make.lead("ana")
    before = crm.stored(lead)
    codes = [crm.client("ana").rest("PUT", f"lead/{lead.id}", {"version": 99}).status_code for _ in range(2)]
    assert (codes, crm.stored(lead)) == ([409, 429], before)


def test_users_are_limited_separately(limited_world: LimitedWorld) -> None:
    crm = limited_world(CRM_API_LIMIT="2 per hour")
    assert statuses(crm, "ana", 3) == [200, 200, 429]
    assert statuses(crm, "ben", 2) == [200, 200]
    assert statuses(crm, None, 3) == [401, 401, 429]
    assert crm.client("ana").screen("/leads/list/").status_code == 200  # pages are not limited


def test_a_key_and_its_users_browser_are_limited_separately(limited_world: LimitedWorld) -> None:
    crm = limited_world(CRM_API_LIMIT="2 per hour")
    client = crm.client("ana")
    assert statuses(crm, "ana", 3) == [200, 200, 429]
    assert [client.screen("/api/v1/lead/").status_code for _ in range(3)] == [200, 200, 429]


def test_wrong_secrets_do_not_use_up_the_limit_of_a_key(limited_world: LimitedWorld) -> None:
    crm = limited_world(CRM_API_LIMIT="3 per hour")
    wrong = {"Authorization": "token keyana:wrong"}
    assert [crm.client(None).rest("GET", "lead/", headers=wrong).status_code for _ in range(4)] == [401] * 3 + [429]
    assert statuses(crm, "ana", 3) == [200] * 3


def test_the_compatibility_api_is_limited_and_answers_in_its_own_format(limited_world: LimitedWorld) -> None:
    crm = limited_world(CRM_API_LIMIT="2 per hour")
    client = crm.client("ana")
    paths = ("/api/method/frappe.auth.get_logged_user", "/?cmd=frappe.auth.get_logged_user", "/api/resource/CRM Lead")
    answers = [client.rest("GET", path) for path in paths]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].json["exc_type"] == "TooManyRequestsError" and "Retry-After" in answers[2].headers


def test_a_limit_can_be_turned_off(crm: Crm) -> None:
    response = crm.client("ana").rest("GET", "lead/")
    assert not [name for name, _value in response.headers if name.startswith("X-RateLimit")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", (9000, 60)), ("5 per second", (5, 1)), ("90 PER Hour", (90, 3600)), ("off", None)],
)
def test_a_limit_is_configured_in_words(tmp_path: Path, text: str, expected: Any) -> None:
    assert settings_for(tmp_path, CRM_API_LIMIT=text).api_limit == expected


@pytest.mark.parametrize(
    "text", ["5", "0 per minute", "x per minute", "5 per day", "-1 per hour", "٣ per hour", "9" * 30]
)
def test_an_invalid_limit_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(config.WrongSetting, match="CRM_API_LIMIT"):
        settings_for(tmp_path, CRM_API_LIMIT=text)


# --- counting


def test_each_window_counts_from_zero() -> None:
    counter, rate = LocalRateCounter(), Rate(2, 60)
    used = [counter.add("ana", rate, at).used for at in (0, 59.9, 60, 60.1, 120)]
    assert used == [1, 2, 1, 2, 1]
    assert counter.add("ana", rate, 121) == Count(2, 2, 180)
    assert len(counter._counts) == 1  # the old window is dropped


def test_processes_share_their_counts_over_redis(redis_server: Any) -> None:
    one, other, at = RedisRateCounter(redis_server.url), RedisRateCounter(redis_server.url), NOW.timestamp()
    assert [each.add("ana", Rate(9, 60), at).used for each in (one, other, one)] == [1, 2, 3]
    assert 0 < one._redis.ttl(f"{PREFIX}ana:{int(at) // 60 * 60 + 60}") <= 61


def test_without_redis_calls_are_counted_in_the_process() -> None:
    counter = RedisRateCounter("redis://127.0.0.1:1/0")
    assert [counter.add("ana", Rate(2, 60), 0).is_exceeded for _ in range(3)] == [False, False, True]
    assert counter._backoff_until > time.monotonic()  # Redis is not tried again at once


# --- CORS


def preflight(crm: Crm, origin: str) -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    return crm.client(None).rest("OPTIONS", "lead/", headers=headers)


def cors_headers(response: Any) -> list[str]:
    return [name for name, _value in response.headers if name.startswith("Access-Control-")]


def test_foreign_origins_are_refused_by_default(crm: Crm) -> None:
    assert (preflight(crm, ORIGIN).status_code, cors_headers(preflight(crm, ORIGIN))) == (403, [])
    response = crm.client("ana").rest("GET", "lead/", headers={"Origin": ORIGIN})
    assert (response.status_code, cors_headers(response)) == (200, [])


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://desk.example", "https://desk.example.evil.example", "null", ORIGIN + ":444"],
)
def test_only_configured_origins_are_allowed(limited_world: LimitedWorld, origin: str) -> None:
    crm = limited_world(CRM_CORS_ORIGINS=f"{ORIGIN}, https://other.example:8443")
    assert preflight(crm, origin).status_code == 403
    response = crm.client("ana").rest("GET", "lead/", headers={"Origin": origin})
    assert cors_headers(response) == [] and "Origin" in response.headers["Vary"]


def test_a_configured_origin_may_send_a_key_but_no_cookie(limited_world: LimitedWorld) -> None:
    crm = limited_world(CRM_CORS_ORIGINS=ORIGIN)
    before = preflight(crm, ORIGIN)
    assert (before.status_code, before.headers["Access-Control-Allow-Origin"]) == (204, ORIGIN)
    assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
    by_key = crm.client("ana").rest("GET", "lead/", headers={"Origin": ORIGIN})
    assert (by_key.status_code, by_key.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    by_cookie = crm.client("ana").screen("/api/v1/lead/", headers={"Origin": ORIGIN})
    assert (by_cookie.status_code, cors_headers(by_cookie)) == (200, [])
    assert not [each for each in (before, by_key) if "Access-Control-Allow-Credentials" in each.headers]


def test_pages_allow_no_foreign_origin(limited_world: LimitedWorld) -> None:
    crm = limited_world(CRM_CORS_ORIGINS=ORIGIN)
    assert cors_headers(crm.client("ana").screen("/leads/list/", headers={"Origin": ORIGIN})) == []


@pytest.mark.parametrize(
    "text", ["*", "desk.example", "https://desk.example/path", "ftp://x.example", "https://a@b.example"]
)
def test_an_origin_is_a_scheme_and_a_host(tmp_path: Path, text: str) -> None:
    with pytest.raises(config.WrongSetting, match="CRM_CORS_ORIGINS"):
        settings_for(tmp_path, CRM_CORS_ORIGINS=text)
