"""The keys that the first start makes: whole or not there, the same for all, and refused in words when damaged."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

import config
import key_files

KEYS = {"secret_key": "CRM_SECRET_KEY", "field_key": "CRM_FIELD_KEY"}
ROUNDS = 400


def load(folder: Path, **environ: str) -> config.Settings:
    return config.load({"CRM_INSTANCE_DIR": str(folder)} | environ)


def test_the_first_start_makes_keys_that_stay(tmp_path: Path) -> None:
    first, second = load(tmp_path), load(tmp_path)
    assert (first.secret_key, first.field_key) == (second.secret_key, second.field_key)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(KEYS)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def _make_keys(folder: Path, barrier: Any, found: Any) -> None:
    keys = []
    for number in range(ROUNDS):
        barrier.wait()
        settings = load(folder / str(number))
        keys.append((settings.secret_key, settings.field_key))
    found.put(keys)


def test_two_starts_at_once_have_the_same_keys(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, found = spawn.Barrier(2), spawn.Queue()
    processes = [spawn.Process(target=_make_keys, args=(tmp_path, barrier, found)) for _ in range(2)]
    for process in processes:
        process.start()
    one, other = found.get(), found.get()
    for process in processes:
        process.join()
    assert sum(a == b for a, b in zip(one, other, strict=True)) == ROUNDS
    assert all(len(secret) >= 32 and len(field) == 44 for secret, field in one)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"abc", "is damaged"),
        (b"\0" * 64, "is damaged"),
        (b"a b " * 16, "is damaged"),
        (b"\xff\xfe" * 32, "can't be read (it is no text)"),
        (None, "can't be read (Is a directory)"),
    ],
)
def test_a_damaged_key_is_refused_in_words(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(config.WrongSetting) as refused:
        load(tmp_path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert f"set {KEYS[name]}" in str(refused.value)


def test_a_damaged_key_does_no_harm_where_the_setting_is_given(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("")
    assert load(tmp_path, CRM_SECRET_KEY="s" * 40).secret_key == "s" * 40


@pytest.mark.parametrize("call", ["write", "fsync", "link", "open"])
def test_a_full_disk_leaves_no_key_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        if call == "write":
            patched.setattr(key_files.os, "fdopen", full)
        else:
            patched.setattr(key_files.os, call, full)
        with pytest.raises(config.WrongSetting, match="No space left on device"):
            load(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(load(tmp_path).secret_key) >= 32


@pytest.mark.parametrize(
    "environ",
    [
        {"CRM_SECRET_KEY": "short"},
        {"CRM_SECRET_KEY": " " * 40},
        {"CRM_FIELD_KEY": "x" * 44},
        {"CRM_FIELD_KEY": "é" * 44},
        {"CRM_FIELD_KEY": "YWJj"},
    ],
)
def test_keys_that_are_too_short_are_refused(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(config.WrongSetting):
        load(tmp_path, **environ)
