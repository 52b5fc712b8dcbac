"""Outgoing connections: every one ends in time and reads little, whatever the other side does.

A module that opens connections must be listed in CALLS (with a call to try) or in NO_CALLS (with the reason).
"""

from __future__ import annotations

import ast
import importlib
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from app.channels import imap_client, smtp_client, smtp_provider, webhook
from app.channels.base import ChannelError, Content
from app.channels.http_client import HttpClient, HttpRequest
from app.channels.provider import Media, OutgoingCall, OutgoingMessage, Template
from app.channels.provider_registry import KINDS
from app.lib import deadline, outbound_url
from app.ops.database import connections
from app.ops.database.replicas import Primary, Replica
from app.ops.monitoring import error_tracker_client
from app.ops.monitoring.error_tracker_client import TrackerAddress
from app.ops.processes import leader
from app.ops.queues.queue import Call
from app.ops.queues.redis_queue import RedisQueue
from app.ops.redis import redis_client
from app.ops.redis.event_bus import EventBus, LiveEvent
from app.ops.redis.rate_counter import Rate, RedisRateCounter
from app.ops.storage import s3_bucket
from app.web.core.queries import replica_lists
from tests.servers import ROOT

#: Packages and functions by which a program reaches out.
REACHING_OUT = {
    *("aiohttp", "boto3", "ftplib", "http", "httpx", "imaplib", "ldap3", "poplib", "redis", "requests", "smtplib"),
    *("socket", "telnetlib", "twilio", "urllib3", "websocket", "xmlrpc", "pymysql", "paramiko", "subprocess"),
}
#: Modules that use these without calling anybody new.
NO_CALLS = {
    "app/channels/twilio_inbound.py": "checks signatures",
    "app/channels/twilio_library.py": "goes out through the client of app/channels/http_client.py",
    "setting_values.py": "asks for the name of this machine",
    "run.py": "waits at the start for other starts, before it serves anybody",
    "app/ops/http_server/request_buffer.py": "serves",
    "app/ops/http_server/listener_shutdown.py": "serves",
    "app/ops/http_server/worker.py": "serves",
    "app/ops/http_server/worker_channels.py": "talks to the other workers of this server",
    "app/ops/database/database_errors.py": "names errors",
    "app/ops/database/schema_changes.py": "names errors",
    "app/ops/database/schema_journal.py": "names errors",
    "app/ops/statements/fast_results.py": "reads results of a connection that app/ops/database/connections.py has made",
    "app/ops/monitoring/log_redaction.py": "names errors",
    "app/web/realtime/polling_limits.py": "names statuses",
    "app/web/realtime/socket_message_limits.py": "serves",
    "app/lib/process_name.py": "asks for the name of this machine",
    "app/backups/after_restore.py": "an operator's command, on the database that it was given",
    "app/backups/erasures.py": "an operator's command, on the database that it was given",
    "app/backups/encryption.py": "runs age and gpg on this machine",
    "app/backups/mariadb.py": "runs mariadb-dump; it shows a sign of life, and a silent run is begun again",
    "app/self_test.py": "asks through app/ops/redis/redis_client.py",
    "app/lib/deadline.py": "is what the others call through; tried below",
    "app/ops/redis/redis_client.py": "is what the others call through",
    "app/ops/redis/redis_tls.py": "is how redis_client connects over TLS; tried by tests/ops/test_tls.py",
    "app/ops/queues/queue_keys.py": "asks through the connection of its worker",
    "app/ops/queues/signed_job.py": "names errors",
    "app/ops/queues/worker_group.py": "names errors",
    "app/ops/queues/workers.py": "a worker waits for Redis all its life; RQ sets its time-outs",
}
SECONDS = 0.5
CONTENT = Content("user 1: notice 1", "key", "Subject", "Text")


def mail(port: int, tls: str = "smtp") -> None:
    server = smtp_client.MailServer(tls, "127.0.0.1", port)
    smtp_client.SmtpClient(server, "CRM <crm@example.in>", SECONDS).send("asha@example.in", CONTENT)


def send_mail(port: int, security: str = "none") -> None:
    values = {"host": "127.0.0.1", "port": str(port), "security": security, "from": "crm@example.in"}
    smtp_provider.SmtpProvider(values).send(OutgoingMessage("k", "email", "asha@example.in", "Text"))


def fetch_mail(port: int, security: str = "none") -> None:
    mailbox = imap_client.Mailbox("127.0.0.1", port, security, "u", "p")
    imap_client.ImapClient(mailbox, SECONDS).position()


def post(port: int, scheme: str = "http") -> None:
    webhook.WebhookClient(private=True, timeout=SECONDS).post(f"{scheme}://127.0.0.1:{port}/", {}, b"{}")


#: Settings of accounts of the providers.
ACCOUNTS = {
    "twilio": {"account_sid": "AC" + "0" * 32, "auth_token": "t", "from": "+14155550100"},
    "meta": {"phone_number_id": "106540352242922", "access_token": "t", "app_secret": "s", "verify_token": "v"},
    "exotel": {"account_sid": "e", "api_key": "k", "api_token": "t", "header": "ESHINB", "dlt_entity_id": "110123"},
}
SHORT_SECONDS = "0.2"
OUTGOING = OutgoingMessage("m1", "sms", "+919820012345", "Hello", template=Template("t", "en", (), "1107"))


def account(kind: str, port: int) -> Any:
    host = {"base_url": f"http://127.0.0.1:{port}", "seconds": SHORT_SECONDS}
    return KINDS[kind].make({**ACCOUNTS[kind], "from": "+918047100000", **host})


def ask_provider(port: int, scheme: str = "http") -> None:
    client = HttpClient(f"{scheme}://127.0.0.1:{port}", float(SHORT_SECONDS))
    client.request(HttpRequest("POST", f"{client.base_url}/x", body=b"{}"))


def send_by_meta(port: int) -> None:
    files = (("a.png", "image/png", b"x"),)
    account("meta", port).send(OutgoingMessage("m1", "whatsapp", "+919820012345", "Hello", attachments=files))


def count(port: int) -> None:
    assert RedisRateCounter(f"redis://127.0.0.1:{port}/0").add("x", Rate(1, 60), 0.0).used == 1


def enqueue(port: int) -> None:
    assert not RedisQueue(f"redis://127.0.0.1:{port}/0").enqueue(Call("short", "app.jobs:names", (1,)))


def publish(port: int) -> None:
    assert not EventBus(f"redis://127.0.0.1:{port}/0", lambda event: None).publish(LiveEvent(compare_all=True))


def listen(port: int) -> None:
    EventBus(f"redis://127.0.0.1:{port}/0", lambda event: None)._receive()


def query(port: int) -> None:
    engine = create_engine(f"mysql+pymysql://root@127.0.0.1:{port}/crm")
    connections.tune(engine)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def lead(port: int) -> None:
    assert not leader.DatabaseLeader(f"mysql+pymysql://root@127.0.0.1:{port}/crm").acquire()


def ask_sentinel(port: int) -> None:
    redis_client.connect(f"redis+sentinel://127.0.0.1:{port}/crm", SECONDS).ping()


def ask_node(port: int) -> None:
    redis_client.connect(f"redis+cluster://127.0.0.1:{port}", SECONDS).ping()


def look_at_replica(port: int) -> None:
    engine = replica_lists._watching(f"mysql+pymysql://root@127.0.0.1:{port}/crm")
    Replica("r", engine, engine).look(Primary(engine), 10)


def list_bucket(port: int) -> None:
    list(s3_bucket.Bucket(s3_bucket.S3Place("crm", "", f"http://127.0.0.1:{port}", "ap-south-1")).list())


def report_error(port: int, scheme: str = "http") -> None:
    error_tracker_client.post(TrackerAddress.of(f"{scheme}://key@127.0.0.1:{port}/1"), b"{}", SECONDS)


#: Module -> the calls to try.
CALLS: dict[str, list[Callable[[int], None]]] = {
    "app/channels/smtp_client.py": [mail, lambda port: mail(port, "smtps"), lambda port: mail(port, "smtp+starttls")],
    "app/channels/smtp_provider.py": [send_mail],
    "app/channels/imap_client.py": [fetch_mail, lambda port: fetch_mail(port, "tls")],
    "app/channels/webhook.py": [post, lambda port: post(port, "https")],
    "app/channels/http_client.py": [ask_provider],
    "app/channels/http_exchange.py": [ask_provider, lambda port: ask_provider(port, "https")],
    "app/channels/twilio_provider.py": [
        lambda port: account("twilio", port).send(OUTGOING),
        lambda port: account("twilio", port).fetch(Media(f"http://127.0.0.1:{port}/f", ""), 1000),
    ],
    "app/channels/meta_provider.py": [send_by_meta],
    "app/channels/exotel_provider.py": [
        lambda port: account("exotel", port).call(OutgoingCall("c1", "+919820012345", "+919820054321", ""))
    ],
    "app/lib/outbound_url.py": [post],
    "app/ops/monitoring/error_tracker_client.py": [report_error, lambda port: report_error(port, "https")],
    "app/ops/redis/rate_counter.py": [count],
    "app/ops/storage/s3_bucket.py": [list_bucket],
    "app/ops/queues/redis_queue.py": [enqueue],
    "app/ops/redis/event_bus.py": [publish, listen],
    "app/ops/database/connections.py": [query],
    "app/ops/processes/leader.py": [lead],
    "app/ops/redis/redis_topology.py": [ask_sentinel, ask_node],
    "app/web/core/queries/replica_lists.py": [look_at_replica],
}
#: No call takes longer than this; most have much less.
MOST_SECONDS = 30.0
MOST_BYTES = 80_000_000


def _dribble(client: socket.socket, stop: threading.Event) -> None:
    while not stop.wait(0.02):
        client.sendall(b"2")


def _flood(client: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        client.sendall(b"220-" + b"x" * 65_000 + b"\r\n")


def _flood_lines(client: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        client.sendall(b"220-x\r\n" * 9000)


def _flood_without_lines(client: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        client.sendall(b"$" + b"9" * 65_000)


PARTNERS: dict[str, Callable[[socket.socket, threading.Event], Any]] = {
    "silent": lambda client, stop: stop.wait(60),
    "dribbling": _dribble,
    "endless": _flood,
    "endless in lines": _flood_lines,
    "endless without lines": _flood_without_lines,
    "closing": lambda client, stop: None,
    "babbling": lambda client, stop: client.sendall(bytes(range(256)) * 40),
}


@contextmanager
def partner(behavior: Callable[[socket.socket, threading.Event], Any]) -> Iterator[int]:
    """A server on 127.0.0.1 that behaves like this with everybody. Yields its port."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:

        def serve(client: socket.socket) -> None:
            with client, suppress(OSError):
                behavior(client, stop)

        def accept() -> None:
            while not stop.is_set():
                with suppress(OSError):
                    client, _address = server.accept()
                    threads.append(threading.Thread(target=serve, args=[client]))
                    threads[-1].start()

        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            server.shutdown(socket.SHUT_RDWR)  # wakes who accepts
            for thread in threads:
                thread.join()


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Libraries that the product imports when it first needs them; that is no part of a call."""
    for name in ("boto3", "botocore.client", "twilio.rest.api.v2010"):
        importlib.import_module(name)


@pytest.mark.parametrize("behavior", PARTNERS)
@pytest.mark.parametrize(
    ("module", "number"), [(module, number) for module, calls in CALLS.items() for number in range(len(calls))]
)
def test_every_call_ends_in_time_and_reads_little(
    module: str, number: int, behavior: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_client, "TOTAL_SECONDS", 1.0)
    monkeypatch.setattr(imap_client, "TOTAL_SECONDS", 1.0)
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(s3_bucket, "CALL_SECONDS", 0.3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with partner(PARTNERS[behavior]) as port:
        tracemalloc.start()
        began = time.monotonic()
        with suppress(Exception):  # how it fails is tested elsewhere
            CALLS[module][number](port)
        seconds, (_now, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seconds < MOST_SECONDS and peak < MOST_BYTES, f"{seconds:.1f} s, {peak} bytes"


def test_a_mail_server_that_dribbles_is_given_up_after_the_total_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_client, "TOTAL_SECONDS", 1.0)
    began = time.monotonic()
    with partner(_dribble) as port, pytest.raises(ChannelError, match="can't be reached"):
        smtp_client.SmtpClient(smtp_client.MailServer("smtp", "127.0.0.1", port), "CRM <crm@example.in>", 30).send(
            "a@example.in", CONTENT
        )
    assert time.monotonic() - began < 30


def test_a_name_server_that_does_not_answer_is_given_up() -> None:
    released = threading.Event()

    def silent(*_arguments: Any, **_named: Any) -> list[Any]:
        released.wait(60)
        return []

    began = time.monotonic()
    target = outbound_url.parse_url("https://hooks.example.com/")
    with pytest.raises(outbound_url.BadAddress):
        outbound_url.resolve(target, resolver=silent, seconds=0.3)
    with pytest.raises(TimeoutError):
        deadline.look_up("x.example", 25, 0.3, silent)
    assert time.monotonic() - began < 30
    released.set()


def reaching_out(path: Path) -> set[str]:
    """The modules of REACHING_OUT that a file imports, and create_engine."""
    found: set[str] = set()
    source = path.read_text()
    if not any(name in source for name in (*REACHING_OUT, "urllib", "create_engine")):
        return found  # to parse all modules takes a second
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names} & REACHING_OUT
            found |= {each.name for each in node.names if each.name.startswith("urllib.request")}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            top = (node.module or "").partition(".")[0]
            found |= {top} & REACHING_OUT
            if node.module == "urllib" or (node.module or "").startswith("urllib.request"):
                found.add("urllib.request")
            found |= {"create_engine"} & {each.name for each in node.names}
    return found


def test_whoever_reaches_out_is_on_the_register() -> None:
    found = {}
    for path in [*sorted((ROOT / "app").rglob("*.py")), *sorted(ROOT.glob("*.py"))]:
        name = str(path.relative_to(ROOT))
        if (used := reaching_out(path)) and name not in {*CALLS, *NO_CALLS}:
            found[name] = used
    assert found == {}, "no call to try: give it a deadline and an entry in CALLS"
    assert [name for name in CALLS if not (ROOT / name).exists()] == []


def test_every_channel_is_on_the_register() -> None:
    talking = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "app" / "channels").glob("*.py")
        if reaching_out(path) or "HttpClient(" in path.read_text() or "http_exchange.exchange(" in path.read_text()
    }
    assert talking - NO_CALLS.keys() == {name for name in CALLS if name.startswith("app/channels/")}
