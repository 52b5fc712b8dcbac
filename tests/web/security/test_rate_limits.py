"""The API may be asked so often a minute, per key, person or address; pages of other addresses may not ask at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import config
from app.ops.rate_counter import Count, LocalRateCounter, Rate, RedisRateCounter
from tests.app_fixtures import World, settings_for
from tests.makers import NOW
from tests.reuse import AppMaker

Limited = Callable[..., World]
DESK = "https://desk.example"


@pytest.fixture
def limited(app_with: AppMaker) -> Iterator[Limited]:
    """limited(CRM_API_LIMIT="3 per hour"): the product with this limit, on the database of `app`."""
    worlds: list[World] = []

    def started(**environ: str) -> World:
        worlds.append(World(app_with(**environ)))
        return worlds[-1]

    yield started
    for each in worlds:
        each.close()


def statuses(world: World, who: str | None, times: int, method: str = "GET", **more: Any) -> list[int]:
    door = world.door(who)
    return [door.rest(method, "lead/", **more).status_code for _ in range(times)]


def test_one_call_too_many_is_refused_with_the_time_to_wait(limited: Limited) -> None:
    world = limited(CRM_API_LIMIT="3 per hour")
    assert statuses(world, "ana", 3) == [200] * 3
    answer = world.door("ana").rest("GET", "lead/")
    assert (answer.status_code, answer.json["errors"], answer.mimetype) == (429, {}, "application/json")
    assert answer.json["message"].startswith("Too many requests. Please wait")
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert answer.headers["X-RateLimit-Remaining"] == "0"


def test_every_answer_says_how_much_is_left(limited: Limited) -> None:
    world = limited(CRM_API_LIMIT="100 per hour", CRM_API_WRITE_LIMIT="10 per hour")
    door = world.door("ana")
    for path, left in (("lead/", "99"), ("lead/9999", "98"), ("lead/?q=!", "97")):
        told = door.rest("GET", path).headers
        assert (told["X-RateLimit-Limit"], told["X-RateLimit-Remaining"]) == ("100", left), path
        assert 0 < int(told["X-RateLimit-Reset"]) - time.time() <= 3600
    told = door.rest("POST", "lead/", {"first_name": "Asha"}).headers
    assert (told["X-RateLimit-Limit"], told["X-RateLimit-Remaining"]) == ("10", "9")


def test_writes_have_a_limit_of_their_own(limited: Limited) -> None:
    world = limited(CRM_API_LIMIT="100 per hour", CRM_API_WRITE_LIMIT="2 per hour")
    assert statuses(world, "ana", 3, "POST", json={"category": "Nonsense"}) == [422, 422, 429]
    assert statuses(world, "ana", 2) == [200, 200]


def test_a_refused_write_writes_nothing(limited: Limited) -> None:
    world = limited(CRM_API_WRITE_LIMIT="1 per hour")
    lead = world.make.lead("ana")
    before = world.stored(lead)
    codes = [world.door("ana").rest("PUT", f"lead/{lead.id}", {"version": 99}).status_code for _ in range(2)]
    assert (codes, world.stored(lead)) == ([409, 429], before)


def test_everybody_has_a_share_of_his_own(limited: Limited) -> None:
    world = limited(CRM_API_LIMIT="2 per hour")
    assert statuses(world, "ana", 3) == [200, 200, 429]
    assert statuses(world, "ben", 2) == [200, 200]
    assert statuses(world, None, 3) == [401, 401, 429]
    assert world.door("ana").screen("/leads/list/").status_code == 200  # pages are no API


def test_a_key_and_its_holders_browser_are_counted_apart(limited: Limited) -> None:
    world = limited(CRM_API_LIMIT="2 per hour")
    door = world.door("ana")
    assert statuses(world, "ana", 3) == [200, 200, 429]
    assert [door.screen("/api/v1/lead/").status_code for _ in range(3)] == [200, 200, 429]


def test_nobody_uses_up_the_share_of_a_key_that_he_does_not_have(limited: Limited) -> None:
    world = limited(CRM_API_LIMIT="3 per hour")
    wrong = {"Authorization": "token keyana:wrong"}
    assert [world.door(None).rest("GET", "lead/", headers=wrong).status_code for _ in range(4)] == [401] * 3 + [429]
    assert statuses(world, "ana", 3) == [200] * 3


def test_the_old_doors_are_counted_too_and_answer_in_their_own_shape(limited: Limited) -> None:
    world = limited(CRM_API_LIMIT="2 per hour")
    door = world.door("ana")
    paths = ("/api/method/frappe.auth.get_logged_user", "/?cmd=frappe.auth.get_logged_user", "/api/resource/CRM Lead")
    answers = [door.rest("GET", path) for path in paths]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].json["exc_type"] == "TooManyRequestsError" and "Retry-After" in answers[2].headers


def test_a_limit_can_be_lifted(world: World) -> None:
    answer = world.door("ana").rest("GET", "lead/")
    assert not [name for name, _value in answer.headers if name.startswith("X-RateLimit")]


@pytest.mark.parametrize(
    ("text", "told"),
    [("", (9000, 60)), ("5 per second", (5, 1)), ("90 PER Hour", (90, 3600)), ("off", None)],
)
def test_a_limit_is_said_in_words(tmp_path: Path, text: str, told: Any) -> None:
    assert settings_for(tmp_path, CRM_API_LIMIT=text).api_limit == told


@pytest.mark.parametrize(
    "text", ["5", "0 per minute", "x per minute", "5 per day", "-1 per hour", "٣ per hour", "9" * 30]
)
def test_nonsense_is_no_limit(tmp_path: Path, text: str) -> None:
    with pytest.raises(config.WrongSetting, match="CRM_API_LIMIT"):
        settings_for(tmp_path, CRM_API_LIMIT=text)


# --- counting


def test_a_new_window_begins_anew() -> None:
    tally, rate = LocalRateCounter(), Rate(2, 60)
    used = [tally.add("ana", rate, at).used for at in (0, 59.9, 60, 60.1, 120)]
    assert used == [1, 2, 1, 2, 1]
    assert tally.add("ana", rate, 121) == Count(2, 2, 180)
    assert len(tally._counts) == 1  # what ended is forgotten


def test_processes_share_their_counts_over_redis(redis_server: Any) -> None:
    one, other, at = RedisRateCounter(redis_server.url), RedisRateCounter(redis_server.url), NOW.timestamp()
    assert [each.add("ana", Rate(9, 60), at).used for each in (one, other, one)] == [1, 2, 3]
    assert 0 < one._redis.ttl(f"crm-tally:ana:{int(at) // 60 * 60 + 60}") <= 61


def test_without_redis_calls_pass_and_are_counted_at_home() -> None:
    tally = RedisRateCounter("redis://127.0.0.1:1/0")
    assert [tally.add("ana", Rate(2, 60), 0).is_exceeded for _ in range(3)] == [False, False, True]
    assert tally._backoff_until > time.monotonic()  # and nobody waits for Redis again soon


# --- pages of other addresses


def preflight(world: World, origin: str) -> Any:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    return world.door(None).rest("OPTIONS", "lead/", headers=asked)


def opened(answer: Any) -> list[str]:
    return [name for name, _value in answer.headers if name.startswith("Access-Control-")]


def test_no_page_of_another_address_asks_unless_it_is_named(world: World) -> None:
    assert (preflight(world, DESK).status_code, opened(preflight(world, DESK))) == (403, [])
    answer = world.door("ana").rest("GET", "lead/", headers={"Origin": DESK})
    assert (answer.status_code, opened(answer)) == (200, [])


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://desk.example", "https://desk.example.evil.example", "null", DESK + ":444"],
)
def test_only_the_named_address_is_let_in(limited: Limited, origin: str) -> None:
    world = limited(CRM_CORS_ORIGINS=f"{DESK}, https://other.example:8443")
    assert preflight(world, origin).status_code == 403
    answer = world.door("ana").rest("GET", "lead/", headers={"Origin": origin})
    assert opened(answer) == [] and "Origin" in answer.headers["Vary"]


def test_a_named_page_asks_with_a_key_and_never_with_a_cookie(limited: Limited) -> None:
    world = limited(CRM_CORS_ORIGINS=DESK)
    before = preflight(world, DESK)
    assert (before.status_code, before.headers["Access-Control-Allow-Origin"]) == (204, DESK)
    assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
    by_key = world.door("ana").rest("GET", "lead/", headers={"Origin": DESK})
    assert (by_key.status_code, by_key.headers["Access-Control-Allow-Origin"]) == (200, DESK)
    by_cookie = world.door("ana").screen("/api/v1/lead/", headers={"Origin": DESK})
    assert (by_cookie.status_code, opened(by_cookie)) == (200, [])
    assert not [each for each in (before, by_key) if "Access-Control-Allow-Credentials" in each.headers]


def test_pages_are_opened_to_nobody(limited: Limited) -> None:
    world = limited(CRM_CORS_ORIGINS=DESK)
    assert opened(world.door("ana").screen("/leads/list/", headers={"Origin": DESK})) == []


@pytest.mark.parametrize(
    "text", ["*", "desk.example", "https://desk.example/path", "ftp://x.example", "https://a@b.example"]
)
def test_an_origin_is_a_scheme_and_a_host(tmp_path: Path, text: str) -> None:
    with pytest.raises(config.WrongSetting, match="CRM_CORS_ORIGINS"):
        settings_for(tmp_path, CRM_CORS_ORIGINS=text)
