"""Environment settings: errors that prevent the start, and warnings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import config
import run

WRONG = {
    "CRM_HOST": ["no host", "http://127.0.0.1", "1.2.3", "256.1.1.1", "a b", "-x", "[::1", "x" * 300, "host:80"],
    "CRM_PUBLIC_URL": ["crm.example", "https://", "https://u:p@crm.example", "https://crm.example:x", "https://a?b=c"],
    "CRM_LOG_FORMAT": ["xml"],
    "CRM_METRICS_FROM": ["home", "10.0.0.1/8"],
    "CRM_METRICS_TOKEN": ["short"],
    "CRM_ROLE": ["dancer", "web", "web, sockets"],  # a known one needs Redis
    "CRM_SENTRY_DSN": ["key@host", "https://host/1", "https://key@host", "https://key@host:x/1", "ftp://key@host/1"],
    "CRM_SERVER_NAME": ["a b", "x" * 65],
    "CRM_SESSION_DAYS": ["0", "91", "a week"],
    "CRM_SESSION_IDLE_HOURS": ["0", "169", "-1"],
}
RIGHT = {
    "CRM_HOST": {
        "192.0.2.7": "192.0.2.7",
        "::1": "[::1]",
        "[::]": "[::]",
        "crm-1.internal": "crm-1.internal",
        "": "127.0.0.1",
    },
    "CRM_PUBLIC_URL": {"https://crm.example/": "https://crm.example", "http://10.0.0.1:8000": "http://10.0.0.1:8000"},
}


def load(folder: Path, **environ: str) -> config.Settings:
    return config.load({"CRM_INSTANCE_DIR": str(folder), **environ})


@pytest.mark.parametrize("name, value", [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_stops_the_start_and_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(config.WrongSetting, match=name):
        load(tmp_path, **{name: value})


@pytest.mark.parametrize("name, typed, expected", [(n, a, b) for n, pairs in RIGHT.items() for a, b in pairs.items()])
def test_right_values(tmp_path: Path, name: str, typed: str, expected: str) -> None:
    field = {"CRM_HOST": "host", "CRM_PUBLIC_URL": "public_url"}[name]
    assert getattr(load(tmp_path, **{name: typed}), field) == expected


@pytest.mark.parametrize(
    ("role", "more", "expected"),
    [
        ("", {}, (config.ROLES, 8000, True, False, 48)),
        ("sockets", {}, (("sockets",), 9000, False, False, 512)),
        ("worker, sockets", {}, (("sockets", "worker"), 9000, False, True, 512)),
        ("scheduler, worker", {}, (("worker", "scheduler"), 8000, True, True, 48)),
        ("web", {"CRM_SCHEDULER": "off"}, (("web",), 8000, False, False, 48)),
        ("web", {"CRM_SCHEDULER": "on"}, "CRM_SCHEDULER=on contradicts CRM_ROLE=web"),
        ("worker", {"CRM_RUN_WORKERS": "off"}, "CRM_RUN_WORKERS=off contradicts"),
    ],
)
def test_a_role_decides_what_a_process_does(tmp_path: Path, role: str, more: dict[str, str], expected: object) -> None:
    environ = {"CRM_ROLE": role, "CRM_REDIS_URL": "redis://127.0.0.1:1/0", **more}
    if isinstance(expected, str):
        with pytest.raises(config.WrongSetting, match=expected):
            load(tmp_path, **environ)
    else:
        made = load(tmp_path, **environ)
        assert (made.roles, made.port, made.scheduler, made.run_workers, made.threads) == expected


def test_names_that_are_no_setting_are_warned_of(tmp_path: Path) -> None:
    settings = load(tmp_path, CRM_PUBLC_URL="https://crm.example", CRM_QUEUE_SHORT="1", CRM_X="", PATH="/bin")
    assert config.unknown_sentences(settings) == [
        "Warning: CRM_PUBLC_URL is not a setting and is ignored. Did you mean CRM_PUBLIC_URL?",
        "Warning: CRM_X is not a setting and is ignored.",
    ]


def test_lines_of_the_start_have_the_time_in_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRM_INSTANCE_DIR", str(tmp_path))
    monkeypatch.setenv("CRM_WORKER", "4")
    monkeypatch.setenv("CRM_LOG_FORMAT", "xml")
    assert run.main() == 2
    (wrong,) = capsys.readouterr().err.splitlines()
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR crm.start: CRM_LOG_FORMAT", wrong)
    monkeypatch.setenv("CRM_LOG_FORMAT", "json")
    monkeypatch.setenv("CRM_ADMIN_PASSWORD", "password")
    assert run.main() == 2
    unknown, refused = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert "CRM_WORKER is not a setting" in unknown["message"] and refused["message"].startswith("CRM_ADMIN_PASSWORD")
    assert unknown["time"] and unknown["level"] == "error" and unknown["logger"] == "crm.start"


def test_the_first_admins_password_meets_the_rules(tmp_path: Path) -> None:
    """One start after another, as operators try them; the first one makes the tables."""
    for password in ("password", "password123", "admin@localhost", "aaaaaaaaaaaa", "admin"):
        with pytest.raises(run.CannotStart, match="CRM_ADMIN_PASSWORD"):
            run.prepare(load(tmp_path, CRM_ADMIN_PASSWORD=password, CRM_SCHEDULER="off"))
            pytest.fail(f"{password!r} is taken")
