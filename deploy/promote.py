"""Make a replica of MariaDB the primary.

    deploy/promote HOST:PORT             the primary is lost
    deploy/promote HOST:PORT --switch    the primary is running, and becomes a replica
    deploy/promote HOST:PORT --rejoin    a server that was away follows the primary again

HOST:PORT is written as in CRM_REPLICA_URLS. The settings (--env, by default /etc/crm/env) name the servers, and are
rewritten. Run it on each server of the CRM; steps that are already done are skipped. Running processes read the file at
their next connection, and people can save again; restart the CRM later, for replicas and backups. --admin names a file
(by default /etc/crm/promote, mode 0600):

    [admin]
    user = …          may: SUPER, RELOAD, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, REPLICA MONITOR,
    password = …      READ_ONLY ADMIN, BINLOG MONITOR
    [replication]
    user = …          may: REPLICATION SLAVE
    password = …
    ssl_ca = …        if replication uses TLS: files on the database servers, the same path on each; ssl_cert
    ssl_cert = …      and ssl_key if that user needs a certificate. Without them, a server keeps those of its
    ssl_key = …       replication configuration, and a former primary has none.

--accept-loss continues even if changes may be lost that people were told are saved. It exits with 0, or with 1 and a
sentence.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from database_servers import MYSQL_ERRORS, Logins, Refused, Server, covers, waited_for  # noqa: E402

#: The time for a replica to apply what it has received.
CATCH_UP_SECONDS = 60.0
_TLS = ("ca", "cert", "key")
_LINE = re.compile(r"^(CRM_DATABASE_URL|CRM_REPLICA_URLS)=(['\"]?)(.*)\2\s*$", re.MULTILINE)


def say(text: str) -> None:
    """Print a message for the operator."""
    print(f"== {text}", flush=True)


# --- the settings


@dataclass
class EnvFile:
    """The file of settings, of which two lines are read and rewritten."""

    path: Path

    def urls(self) -> tuple[str, list[str]]:
        """(URL of the primary, URLs of the replicas). Raises Refused."""
        try:
            found = {name: value for name, _quote, value in _LINE.findall(self.path.read_text())}
        except OSError as error:
            raise Refused(
                f"{self.path} can't be read: {error.strerror}. Name the file of settings with --env."
            ) from None
        if "CRM_DATABASE_URL" not in found:
            raise Refused(f"{self.path} names no CRM_DATABASE_URL, so it isn't known which server is the primary.")
        replicas = [each.strip() for each in found.get("CRM_REPLICA_URLS", "").split(",") if each.strip()]
        return found["CRM_DATABASE_URL"], replicas

    def write(self, primary: str, replicas: list[str]) -> bool:
        """Rewrite the two lines; the rest is unchanged. Returns whether anything changed. Raises Refused."""
        if (primary, replicas) == self.urls():
            return False
        text, wanted = self.path.read_text(), {"CRM_DATABASE_URL": primary, "CRM_REPLICA_URLS": ",".join(replicas)}
        present = {name for name, *_rest in _LINE.findall(text)}
        text = _LINE.sub(lambda found: f"{found[1]}='{wanted[found[1]]}'", text)
        text += "".join(f"{name}='{value}'\n" for name, value in wanted.items() if name not in present and value)
        stat, part = self.path.stat(), self.path.with_suffix(".part")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(part, stat.st_mode & 0o777)
            if os.geteuid() == 0:
                os.chown(part, stat.st_uid, stat.st_gid)
            part.replace(self.path)
        except OSError as error:
            raise Refused(
                f"{self.path} can't be written ({error.strerror}). The servers are set: run this again as root."
            ) from None
        return True


def place_of(url: str) -> str:
    """host:port of a database's URL."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or 3306}"


def tls_of(url: str) -> dict[str, str | bool]:
    """The TLS files in a database's URL, under PyMySQL's names; the same for all servers."""
    given = dict(parse_qsl(urlsplit(url).query))
    found: dict[str, str | bool] = {name: given[f"ssl_{name}"] for name in _TLS if given.get(f"ssl_{name}")}
    return found | ({"check_hostname": False} if given.get("ssl_check_hostname", "").lower() == "false" else {})


def moved(url: str, place: str) -> str:
    """The URL with another host:port."""
    parts = urlsplit(url)
    user, at, _host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{place}"))


def logins_in(path: Path) -> Logins:
    """The users in the file of --admin. Raises Refused."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        if path.stat().st_mode & 0o077:
            raise Refused(f"Others may read {path}, which holds passwords. Run: chmod 600 {path}")
        parser.read_string(path.read_text())
        admin, replication = ((parser[part]["user"], parser[part]["password"]) for part in ("admin", "replication"))
        tls = {name: parser["replication"][f"ssl_{name}"] for name in _TLS if f"ssl_{name}" in parser["replication"]}
    except OSError as error:
        raise Refused(f"{path} can't be read: {error.strerror}. deploy/promote --help says what it holds.") from None
    except (configparser.Error, KeyError):
        raise Refused(f"{path} isn't complete. deploy/promote --help says what it holds.") from None
    return Logins(admin, replication, replication_tls=tls)


# --- promoting


@dataclass
class Promotion:
    """One run: the future primary, the previous one, and all other servers."""

    target: Server
    former: Server
    others: list[Server]
    is_switch: bool
    accepts_loss: bool

    def run(self) -> None:
        """Promote the server; raise Refused before anything important has changed."""
        for each in {id(server): server for server in (self.target, self.former, *self.others)}.values():
            each.look()
        self._refuse_dangers()
        if self._is_promoted():
            say(f"{self.target.name} is the primary already.")
        else:
            self._catch_up()
            self._promote()
        self._let_others_follow()

    def _is_promoted(self) -> bool:
        return self.target.takes_changes and self.target.following is None

    def _refuse_dangers(self) -> None:
        target, former = self.target, self.former
        if not target.is_there:
            raise Refused(f"{target.name} doesn't answer, so it can't become the primary. Start it, or name another.")
        if former is target:
            self._refuse_read_only()
            return
        if former.is_there and former.takes_changes:
            if self._is_promoted():
                raise Refused(
                    f"{former.name} and {target.name} both take changes. Stop one of them at once, and find out what "
                    "only one of them holds, before anything else."
                )
            if not self.is_switch:
                raise Refused(
                    f"The primary {former.name} lives and takes changes. If {target.name} is to take its place, run "
                    "this with --switch; if the CRM's servers don't reach it, stop it first."
                )
        if self._is_promoted():
            return
        self._refuse_unfit()
        self._refuse_loss()

    def _refuse_read_only(self) -> None:
        """Raise Refused if the primary of the settings is read-only."""
        if self._is_promoted():
            return
        if self.target.following is not None or any(each.takes_changes for each in self.others):
            raise Refused(
                f"The settings name {self.target.name} as the primary, but it takes no changes or follows another "
                "server. Put CRM_DATABASE_URL right, then run this again."
            )
        raise Refused(
            f"{self.target.name} is the primary, but takes no changes: it was started with read_only. Take that out of "
            "its configuration, and run on it, as root: SET GLOBAL read_only = 0"
        )

    def _refuse_unfit(self) -> None:
        row, target = self.target.following, self.target
        if row is None and not target.applied:
            raise Refused(f"{target.name} has never followed a server: it holds nothing of the CRM. Name another.")
        if row is not None and int(row["Last_SQL_Errno"] or 0):
            raise Refused(
                f"Replication on {target.name} is broken (error {row['Last_SQL_Errno']}), so it lacks changes. Name "
                "another replica, or mend this one first."
            )
        if target.variables.get("log_bin") != "ON" or target.variables.get("log_slave_updates") != "ON":
            raise Refused(
                f"{target.name} keeps no binary log of what it has taken over, so no server could follow it. Start it "
                "with log_bin and log_slave_updates, or name another."
            )

    def _refuse_loss(self) -> None:
        """Raise Refused if another replica has more changes, or may have; names the possible loss."""
        silent = [each.name for each in self.others if not each.is_there]
        ours = self.target.received
        ahead = [each.name for each in self.others if each.is_there and not covers(ours, each.received)]
        if ahead and not self.accepts_loss:
            raise Refused(
                f"{ahead[0]} has changes that {self.target.name} doesn't have. Promote {ahead[0]}, or run this with "
                "--accept-loss."
            )
        if silent and not self.is_switch and not self.accepts_loss:
            raise Refused(
                f"The replica {silent[0]} doesn't answer; it may hold saved changes that {self.target.name} doesn't "
                "have. Start it, or run this with --accept-loss."
            )
        if self.former.is_there:
            return
        if self.target.is_semi_sync and not silent and not ahead:
            say(
                "Semi-synchronous replication was on here: all that people were told is saved is here, unless the "
                "primary had gone on without a replica before it was lost (the health page says so then)."
            )
        else:
            say(
                "WARNING: semi-synchronous replication was not on at all replicas, or one of them isn't there. What "
                f"was saved on {self.former.name} in the last moments and has not arrived here is lost."
            )

    def _catch_up(self) -> None:
        target, row = self.target, self.target.following
        if self.former.is_there and self.former is not target:
            self.former.rows("SET GLOBAL read_only = 1")
            wanted = self.former.value("SELECT @@global.gtid_binlog_pos")
            say(f"{self.former.name} takes no more changes; waiting until {target.name} has all of them")
            if target.value("SELECT MASTER_GTID_WAIT(%s, %s)", wanted, CATCH_UP_SECONDS / 2) != 0:
                self.former.rows("SET GLOBAL read_only = 0")
                raise Refused(
                    f"{target.name} didn't catch up within {CATCH_UP_SECONDS / 2:.0f} seconds. {self.former.name} is "
                    "the primary as before. Try again when the replica is less far behind."
                )
        if row is None:
            return
        if row["Slave_SQL_Running"] != "Yes":
            target.rows("START SLAVE SQL_THREAD")
        target.rows("STOP SLAVE IO_THREAD")
        if not waited_for(lambda: covers(target.applied, target.received), CATCH_UP_SECONDS):
            raise Refused(
                f"{target.name} is still taking over what it has received. Nothing was changed but that it receives no "
                "more. Run this again in a minute."
            )

    def _promote(self) -> None:
        """Make the target the primary, in an order that allows an interrupted run to be repeated.

        A read-only server without a primary is continued.
        """
        self.target.rows("STOP SLAVE")
        self.target.rows("RESET SLAVE ALL")
        self.target.rows("SET GLOBAL read_only = 0")
        self.target.set_quietly("rpl_semi_sync_slave_enabled", 0)
        say(f"{self.target.name} is the primary now, and takes changes.")

    def _let_others_follow(self) -> None:
        followers = [each for each in self.others if each.is_there]
        if self.former.is_there and self.former is not self.target:
            followers.append(self.former)
        if followers:
            # Before replicas connect: otherwise commits would wait for those that connected earlier.
            self.target.set_quietly("rpl_semi_sync_master_enabled", 1)
        for each in followers:
            if not each.follows(self.target.name):
                each.follow(self.target.name, from_own_changes=each.following is None)
                say(f"{each.name} follows {self.target.name}.")
        if not self.target.waits_for_replicas():
            say(f"WARNING: no replica confirms what {self.target.name} saves. If it is lost, so are its last changes.")
        for each in self.others:
            if not each.is_there:
                say(f"{each.name} doesn't answer. When it is back: deploy/promote {each.name} --rejoin")


def promote(arguments: argparse.Namespace, env: EnvFile, logins: Logins) -> None:
    """Promote the server and rewrite the settings. Raises Refused."""
    primary, replicas = env.urls()
    logins = replace(logins, tls=tls_of(primary))
    by_place = {place_of(url): url for url in (primary, *replicas)}
    if arguments.server not in by_place:
        known = ", ".join(by_place)
        raise Refused(f"{arguments.server} is no server of {env.path}. There are: {known}.")
    servers = {place: Server(place, logins) for place in by_place}
    target, former = servers[arguments.server], servers[place_of(primary)]
    others = [each for each in servers.values() if each is not target and each is not former]
    Promotion(target, former, others, arguments.switch, arguments.accept_loss).run()
    kept = [url for place, url in by_place.items() if place not in (target.name, former.name)]
    if former is not target and former.is_there:
        kept.append(moved(primary, former.name))
    if former is target:
        kept = replicas
    write_settings(env, moved(primary, target.name), kept)
    if former is not target:
        say(
            f"Give {target.name} the configuration of a primary, and {former.name} that of a replica "
            f"(docs/operate.md): otherwise {target.name} takes no changes after its next start."
        )
    if former is not target and not former.is_there:
        say(f"When {former.name} is back, it must not take changes: deploy/promote {former.name} --rejoin")


def rejoin(arguments: argparse.Namespace, env: EnvFile, logins: Logins) -> None:
    """Make a server follow the primary again. Raises Refused."""
    primary, replicas = env.urls()
    logins = replace(logins, tls=tls_of(primary))
    if arguments.server == place_of(primary):
        raise Refused(f"{arguments.server} is the primary of {env.path}. Promote another server first.")
    leader, server = Server(place_of(primary), logins).look(), Server(arguments.server, logins).look()
    for each in (leader, server):
        if not each.is_there:
            raise Refused(f"{each.name} doesn't answer. Start it, then run this again.")
    if not leader.takes_changes:
        raise Refused(f"{leader.name} takes no changes, so it isn't the primary. Put CRM_DATABASE_URL right first.")
    leader.set_quietly("rpl_semi_sync_master_enabled", 1)
    if not server.follows(leader.name):
        server.follow(leader.name, from_own_changes=server.following is None)
    say(f"{server.name} follows {leader.name}.")
    url = moved(primary, server.name)
    write_settings(env, primary, replicas if server.name in map(place_of, replicas) else [*replicas, url])


def write_settings(env: EnvFile, primary: str, replicas: list[str]) -> None:
    """Rewrite the settings, and print the remaining steps."""
    if env.write(primary, replicas):
        say(
            f"{env.path} names {place_of(primary)} as the primary, and the CRM on this server follows. "
            "Restart it when there is time, so that it reads from the replicas that there are now."
        )
    else:
        say(f"{env.path} is right already.")


def main(given: list[str]) -> int:
    """Run the command; see the module's docstring. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", metavar="HOST:PORT")
    parser.add_argument("--switch", action="store_true")
    parser.add_argument("--rejoin", action="store_true")
    parser.add_argument("--accept-loss", action="store_true")
    parser.add_argument("--env", type=Path, default=Path("/etc/crm/env"))
    parser.add_argument("--admin", type=Path, default=Path("/etc/crm/promote"))
    arguments = parser.parse_args(given)
    try:
        (rejoin if arguments.rejoin else promote)(arguments, EnvFile(arguments.env), logins_in(arguments.admin))
    except Refused as refused:
        print(f"promote: {refused}", file=sys.stderr)
        return 1
    except MYSQL_ERRORS as error:
        kind = f"{type(error).__name__} {error.args[0] if error.args else ''}".strip()
        print(
            f"promote: a database server broke off ({kind}). Run this again: what is done is found done.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
