"""The files of deploy/: they can be filled in, nginx and supervisord accept them, and their settings exist."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import config
from tests.servers import ROOT, program

sys.path.insert(0, str(ROOT / "deploy"))
import render  # a program of its own, not part of the product

VALUES = {
    "DB_USER": "crm",
    "DB_NAME": "crm",
    "DB_PASSWORD": "d" * 32,
    "DB_ADDRESS": "127.0.0.1:3306",
    "REDIS_PASSWORD": "r" * 32,
    "REDIS_PORT": "6379",
    "REDIS_DIR": "/var/lib/redis",
    "SECRET_KEY": "s" * 48,
    "FIELD_KEY": "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=",
    "WEB_PORT": "8000",
    "SOCKETS_PORT": "9000",
    "WEB_WORKERS": "2",
    "SERVER_NAME": "crm.example",
    "PUBLIC_URL": "https://crm.example",
    "USER": "crm",
    "ENV_FILE": "/etc/crm/env",
    "BUFFER_POOL": "256M",
    "REDO_LOG": "96M",
}


def rendered(folder: Path, **more: str) -> dict[str, Path]:
    values = VALUES | {"LOG_DIR": str(folder / "log"), "INSTANCE_DIR": str(folder / "instance")} | more
    (folder / "log").mkdir()
    return {path.name: path for path in render.render(folder / "made", values)}


def test_every_file_is_filled_in_and_those_with_passwords_are_private(tmp_path: Path) -> None:
    files = rendered(tmp_path)
    for path in files.values():
        assert not render._NAME.search(path.read_text()), path
    private = {path.name for path in files.values() if path.stat().st_mode & 0o077 == 0}
    assert private == {"env", "crm.conf"} or "env" in private  # two files are called crm.conf
    assert (tmp_path / "made" / "redis" / "crm.conf").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("missing, value", [("DB_PASSWORD", None), ("DB_PASSWORD", "it's"), ("USER", "a\nb")])
def test_a_missing_or_dangerous_value_is_refused(tmp_path: Path, missing: str, value: str | None) -> None:
    given = VALUES | {"LOG_DIR": "/log", "INSTANCE_DIR": "/instance"}
    values = {name: each for name, each in given.items() if name != missing}
    with pytest.raises(render.Missing, match=missing):
        render.render(tmp_path, values | ({missing: value} if value else {}))


def test_the_settings_of_an_installation_are_those_of_the_product(tmp_path: Path) -> None:
    text = rendered(tmp_path)["env"].read_text()
    environ = dict(re.findall(r"^#?(CRM_\w+)='(.*)'$", text, re.MULTILINE))
    settings = config.load(environ)
    assert settings.unknown == () and settings.proxies == 1 and settings.workers == 2
    assert settings.database_url.startswith("mysql+pymysql://crm:") and settings.is_https


@pytest.mark.parametrize("tls", [False, True])
def test_nginx_takes_the_site(tmp_path: Path, tls: bool) -> None:
    pem, key = tmp_path / "crm.pem", tmp_path / "crm.key"
    more = {"HTTP_PORT": "18080"}
    if tls:
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=crm.example", "-days", "2"]
        subprocess.run([*make, "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True)
        more = {"TLS_CERTIFICATE": str(pem), "TLS_KEY": str(key)}
    site = rendered(tmp_path, **more)
    whole = tmp_path / "nginx.conf"
    place = tmp_path / "made" / "nginx" / "crm.conf"
    whole.write_text(f"pid {tmp_path}/pid; events {{}} http {{ include {place}; }}")
    command = [program("nginx"), "-t", "-q", "-c", str(whole), "-e", str(tmp_path / "log" / "start.log")]
    done = subprocess.run(command, capture_output=True, text=True)
    # Without root it can't try the ports; what it says of the file counts.
    assert "syntax is ok" in done.stderr or done.returncode == 0, done.stderr
    assert ("Strict-Transport-Security" in place.read_text()) is tls and site


def test_supervisor_and_systemd_run_the_same_roles(tmp_path: Path) -> None:
    rendered(tmp_path)
    programs = configparser.RawConfigParser(strict=True, inline_comment_prefixes=(" ;",))
    programs.read(tmp_path / "made" / "supervisor" / "crm.conf")
    for name in ("web", "background"):
        unit = (tmp_path / "made" / "systemd" / f"crm-{name}.service").read_text()
        assert f"ExecStart={programs[f'program:{name}']['command']}\n" in unit
    roles = [programs[f"program:{name}"]["command"].split()[2] for name in ("web", "background")]
    assert sorted(",".join(roles).split(",")) == sorted(config.ROLES)


def test_the_containers_run_all_roles_with_settings_that_exist(tmp_path: Path) -> None:
    compose: Any = yaml.safe_load((ROOT / "deploy" / "docker" / "compose.yml").read_text())
    known = config._Requested({"CRM_INSTANCE_DIR": str(tmp_path)})
    roles: list[str] = []
    for name in ("web", "background"):
        environ = {key: _sample(key, str(value)) for key, value in compose["services"][name]["environment"].items()}
        settings = config.load({**known, **environ})
        assert settings.unknown == (), name
        roles += settings.roles
    assert sorted(roles) == sorted(config.ROLES)
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", dockerfile, re.MULTILINE))
    assert {each["build"]["target"] for each in compose["services"].values() if "build" in each} <= stages
    mounted = [each.split(":")[0] for each in compose["services"]["database"]["volumes"] if each.startswith("./")]
    assert mounted and all((ROOT / "deploy" / "docker" / each).exists() for each in mounted)
    # What is needed beside Python's packages: the programs of backups, and the translations, which are not committed
    assert "mariadb-client" in dockerfile and "pybabel --quiet compile" in dockerfile


def test_logs_are_rotated_without_loss_and_those_of_containers_are_bounded(tmp_path: Path) -> None:
    rules = rendered(tmp_path)["crm"].read_text()
    # Processes open the new files anew: nginx's and supervisord's when told, the CRM's by themselves, as their user.
    assert "    create 0640 crm adm\n" in rules and "copytruncate" not in rules and "    delaycompress\n" in rules
    assert "--signal USR1 --pidfile /run/nginx.pid" in rules and "--signal USR2 --pidfile /run/supervisord.pid" in rules
    assert "install -d -m 0751 -o root -g adm $logs" in (ROOT / "deploy" / "install.sh").read_text()
    compose: Any = yaml.safe_load((ROOT / "deploy" / "docker" / "compose.yml").read_text())
    assert all("max-size" in each["logging"]["options"] for each in compose["services"].values())


def test_units_may_write_where_backups_are(tmp_path: Path) -> None:
    rendered(tmp_path, BACKUP_DIR="/srv/backups")
    for name in ("web", "background"):
        unit = (tmp_path / "made" / "systemd" / f"crm-{name}.service").read_text()
        assert re.search(r"^ReadWritePaths=.* /srv/backups$", unit, re.M), name


def test_all_that_a_server_runs_is_started_again_when_it_was_killed() -> None:
    """MariaDB and Redis are by their packages; nginx isn't."""
    for name in ("crm-web.service", "crm-background.service", "nginx.conf"):
        assert "\nRestart=always\n" in (ROOT / "deploy" / "systemd" / name).read_text()
    assert (
        "deploy/systemd/nginx.conf /etc/systemd/system/nginx.service.d/" in (ROOT / "deploy" / "install.sh").read_text()
    )


def _sample(name: str, value: str) -> str:
    """A value of compose as it could be: ${NAME:-default} or ${NAME:?word} filled in."""
    samples = {"CRM_SECRET_KEY": "s" * 40, "CRM_FIELD_KEY": VALUES["FIELD_KEY"], "CRM_PUBLIC_URL": "http://localhost"}
    filled = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value)
    return samples.get(name, re.sub(r"\$\{\w+:\?.*?\}", "x" * 32, filled))


@pytest.mark.parametrize(
    "script", ["install.sh", "crm", "crm-role", "database-memory", "docker/crm", "docker/database"]
)
def test_scripts_are_programs_that_a_shell_can_read(script: str) -> None:
    path = ROOT / "deploy" / script
    assert path.stat().st_mode & 0o111
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    assert subprocess.run([shell, "-n", str(path)], capture_output=True).returncode == 0


def test_a_role_is_started_with_the_settings_of_the_file(tmp_path: Path) -> None:
    """A wrong setting of the file ends the start with its sentence: the file was read, and the arguments after it."""
    env = tmp_path / "env"
    env.write_text(f"CRM_INSTANCE_DIR='{tmp_path}'\nCRM_REDIS_URL='redis://127.0.0.1:1/0'\nCRM_PORT='8000'\n")
    done = subprocess.run([str(ROOT / "deploy" / "crm-role"), str(env), "dancer"], capture_output=True, text=True)
    assert done.returncode == 2 and "CRM_ROLE must list some of web, sockets, worker, scheduler" in done.stderr
    command = [str(ROOT / "deploy" / "crm-role"), str(env), "web", "CRM_PORT=99999"]
    assert "CRM_PORT must be" in subprocess.run(command, capture_output=True, text=True).stderr
    assert subprocess.run([str(ROOT / "deploy" / "crm-role"), str(tmp_path / "no"), "web"]).returncode == 64
