"""How much memory MariaDB gets: by the machine, by the limit of a container, or as the operator wants it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.servers import ROOT, program

sys.path.insert(0, str(ROOT / "deploy"))
import render  # a program of its own, not part of the product

DEPLOY = ROOT / "deploy"
#: A machine of 16 GB as Linux reports it, in kB.
SIXTEEN = 16_300_000


def sizes(folder: Path, kilobytes: int | None, where: str = "machine", **limits: str) -> dict[str, str]:
    """What deploy/database-memory prints for a machine with this memory and these files of control groups."""
    meminfo, cgroup = folder / "meminfo", folder / "cgroup"
    if kilobytes is not None:
        meminfo.write_text(f"MemTotal:       {kilobytes} kB\nMemFree:          81234 kB\n")
    (cgroup / "memory").mkdir(parents=True)
    for name, text in limits.items():
        (cgroup / {"v2": "memory.max", "v1": "memory/memory.limit_in_bytes"}[name]).write_text(f"{text}\n")
    command = [str(DEPLOY / "database-memory"), where, str(meminfo), str(cgroup)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(word.split("=") for word in done.stdout.split())


@pytest.mark.parametrize(
    ("kilobytes", "pool", "log"),
    [
        (None, "256M", "96M"),
        (980_000, "256M", "96M"),
        (2_020_000, "256M", "96M"),
        (4_020_000, "1408M", "352M"),
        (8_130_000, "3840M", "960M"),
        (SIXTEEN, "8576M", "2048M"),
        (24_600_000, "13440M", "2048M"),
        (65_800_000, "37632M", "2048M"),
    ],
)
def test_a_machine_that_carries_everything_gives_a_share_of_what_is_left(
    tmp_path: Path, kilobytes: int | None, pool: str, log: str
) -> None:
    assert sizes(tmp_path, kilobytes) == {"BUFFER_POOL": pool, "REDO_LOG": log}


@pytest.mark.parametrize(
    ("where", "limits", "pool"),
    [
        ("container", {"v2": "max"}, "8576M"),  # no limit
        ("container", {"v1": "9223372036854771712"}, "8576M"),  # no limit, version 1
        ("container", {"v2": str(4 << 30)}, "2816M"),  # a database of its own
        ("container", {"v1": str(300 << 20)}, "128M"),  # a small one
        ("machine", {"v2": str(4 << 30)}, "1536M"),  # the whole CRM in a container
    ],
)
def test_the_limit_of_a_container_counts(tmp_path: Path, where: str, limits: dict[str, str], pool: str) -> None:
    assert sizes(tmp_path, SIXTEEN, where, **limits)["BUFFER_POOL"] == pool


def started_with(folder: Path) -> dict[str, int]:
    """The sizes with which MariaDB would start, in bytes: the files of the folder in their order."""
    whole = folder / "my.cnf"
    whole.write_text(f"!includedir {folder}/conf.d/\n")
    command = [program("mariadbd"), f"--defaults-file={whole}", "--user=root", "--verbose", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: int(size) for name, size in re.findall(r"^(innodb-\S+-size) +(\d+)$", done.stdout, re.M)}


def test_mariadb_takes_the_sizes_and_those_of_an_own_file_win(tmp_path: Path) -> None:
    values = {"BUFFER_POOL": "3840M", "REDO_LOG": "960M"}
    [made] = render.render(tmp_path, values, ["mariadb/crm.cnf"])
    (tmp_path / "conf.d").mkdir()
    made.rename(tmp_path / "conf.d" / "70-crm.cnf")
    found = started_with(tmp_path)
    assert (found["innodb-buffer-pool-size"], found["innodb-log-file-size"]) == (3840 << 20, 960 << 20)
    (tmp_path / "conf.d" / "80-own.cnf").write_text("[mariadbd]\ninnodb_buffer_pool_size = 2G\n")
    found = started_with(tmp_path)
    assert (found["innodb-buffer-pool-size"], found["innodb-log-file-size"]) == (2 << 30, 960 << 20)


def test_the_installer_asks_anew_each_time_and_restarts_mariadb_if_that_changed_anything() -> None:
    script = (DEPLOY / "install.sh").read_text()
    assert "memory=$(deploy/database-memory)" in script and "    $memory HAS_BROTLI=" in script
    assert "mariadb.conf.d/70-crm.cnf -m 0644; then service_do restart mariadb" in script


@pytest.mark.parametrize("wanted", ["", "4G"])
def test_the_container_starts_with_what_fits_or_what_is_wanted(tmp_path: Path, wanted: str) -> None:
    entry = tmp_path / "docker-entrypoint.sh"
    entry.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    entry.chmod(0o755)
    for name in ("docker/database", "database-memory"):
        (tmp_path / Path(name).name).symlink_to(DEPLOY / name)
    command = ["sh", str(tmp_path / "database"), "--max-connections=150"]
    outside = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DB_BUFFER_POOL": wanted, "DB_REDO_LOG": ""}
    done = subprocess.run(command, env=outside, capture_output=True, text=True, check=True)
    program_name, first, fill, pool, log = done.stdout.split()
    assert (program_name, first) == ("mariadbd", "--max-connections=150")
    [factor] = re.findall(r"^innodb_fill_factor = (\d+)$", (DEPLOY / "mariadb" / "crm.cnf").read_text(), re.M)
    assert fill == f"--innodb-fill-factor={factor}"
    assert re.fullmatch(r"--innodb-buffer-pool-size=" + (wanted or r"\d+M"), pool)
    assert re.fullmatch(r"--innodb-log-file-size=\d+M", log)


def test_the_compose_file_mounts_what_starts_the_database() -> None:
    database = yaml.safe_load((DEPLOY / "docker" / "compose.yml").read_text())["services"]["database"]
    mounted = {inside: DEPLOY / "docker" / each for each, inside, *_ in (v.split(":") for v in database["volumes"])}
    assert database["entrypoint"] == ["sh", "/crm/database"]
    assert mounted["/crm/database"].exists() and mounted["/crm/database-memory"].exists()
    example = (DEPLOY / "docker" / "env.example").read_text()
    wanted = {name for name in database["environment"] if name.startswith("DB_")}
    assert wanted == {"DB_BUFFER_POOL", "DB_REDO_LOG"} and all(f"\n{name}=" in example for name in wanted)
