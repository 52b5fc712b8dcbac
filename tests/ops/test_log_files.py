"""Log files that are renamed while processes write to them: no line is lost, and the new file gets the later ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.ops.monitoring import log_files
from app.ops.monitoring.log_files import RenamedFile


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


@pytest.fixture
def output(log: Path) -> Iterator[tuple[int, int]]:
    """Standard error and output of a process whose output systemd appends to a file."""
    first = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    both = (first, os.dup(first))
    yield both
    for each in both:
        os.close(each)


def write(output: tuple[int, int], word: str) -> None:
    for each in output:
        os.write(each, f"{word}\n".encode())


def test_a_process_writes_on_into_the_file_that_logrotate_has_made(
    log: Path, output: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "LOOK_SECONDS", 0.0)
    file = RenamedFile(output[0], output[1:])
    write(output, "one")
    former = log.rename(log.with_suffix(".log.1"))
    file.follow()  # nothing has been put in its place yet
    write(output, "two")
    log.touch(0o640)
    file.follow()
    write(output, "three")
    assert former.read_text().split() == ["one", "one", "two", "two"] and log.read_text().split() == ["three", "three"]


def test_what_is_no_file_is_left_alone(log: Path) -> None:
    reading, writing = os.pipe()
    file = RenamedFile(writing, ())
    file.follow()
    os.write(writing, b"x")
    assert os.read(reading, 1) == b"x"
    for each in (reading, writing):
        os.close(each)


def test_a_file_beside_the_log_is_left_alone(tmp_path: Path, log: Path, output: tuple[int, int]) -> None:
    """Standard output of its own, such as that of a command whose errors are logged."""
    with (tmp_path / "out").open("wb", buffering=0) as own:
        file = RenamedFile(output[0], (own.fileno(),))
        log.rename(log.with_suffix(".log.1"))
        log.touch()
        file.follow()
        own.write(b"x")
    assert (tmp_path / "out").read_bytes() == b"x"
