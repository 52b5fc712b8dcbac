"""A webhook's call: to the address that was checked, in time, without redirects, and whole sentences when it fails."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.channels.base import ChannelError
from app.channels.webhook import MOST_READ, WebhookClient, signature
from tests.channels.receiver import Receiver, receiving
from tests.servers import free_port

BODY = b'{"id":"x"}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def line() -> WebhookClient:
    return WebhookClient(private=True, seconds=1)


def refused(line: WebhookClient, url: str, **headers: str) -> str:
    with pytest.raises(ChannelError) as refusal:
        line.post(url, headers, BODY)
    return str(refusal.value)


def test_the_body_arrives_with_its_headers(receiver: Receiver, line: WebhookClient) -> None:
    answer = line.post(f"{receiver.url}?a=1", {"X-CRM-Event": "lead.created"}, BODY)
    (heard,) = receiver.heard
    assert (answer.code, answer.text, heard.path, heard.body) == (200, "thanks", "/in?a=1", BODY)
    assert (heard.headers["X-CRM-Event"], heard.headers["Host"]) == ("lead.created", f"127.0.0.1:{receiver.port}")


def test_the_signature_is_what_openssl_makes_of_timestamp_full_stop_and_body() -> None:
    assert signature("s3cret", "1700000000", b"{}") == (
        "sha256=97926816e98fbb41ccb1673225ff29a2f35369099990e1b1561651e7bd097ebf"
    )


def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver, line: WebhookClient) -> None:
    receiver.answers = [(302, {"Location": receiver.url}, b"")]
    assert (line.post(receiver.url, {}, BODY).code, len(receiver.heard)) == (302, 1)


@pytest.mark.parametrize("way", ["hang", "trickle"])
def test_who_does_not_answer_in_time_is_left(receiver: Receiver, way: str) -> None:
    receiver.answers = [way]
    assert refused(WebhookClient(private=True, seconds=0.3), receiver.url) == "It did not answer within 0.3 seconds."


def test_of_a_huge_answer_only_the_beginning_is_read(receiver: Receiver, line: WebhookClient) -> None:
    receiver.answers = [(500, {}, b"x" * 5_000_000)]
    answer = line.post(receiver.url, {}, BODY)
    assert (answer.code, len(answer.text)) == (500, MOST_READ)


def test_an_answer_that_is_no_text_does_no_harm(receiver: Receiver, line: WebhookClient) -> None:
    receiver.answers = [(200, {}, b"\xff\xfe\x00ok")]
    assert line.post(receiver.url, {}, BODY).text == "��\x00ok"


def test_nobody_listens(line: WebhookClient) -> None:
    assert refused(line, f"http://127.0.0.1:{free_port()}/") == (
        "Connection refused: nothing is listening at the address."
    )


def test_no_header_has_two_lines(receiver: Receiver, line: WebhookClient) -> None:
    assert "ValueError" in refused(line, receiver.url, **{"X-CRM-Event": "a\r\nX-Evil: 1"})
    assert receiver.heard == []


# --- whom it calls


def known(*ips: str, asked: list[str] | None = None) -> Any:
    """A resolver; each question takes the next of the answers."""
    answers = list(ips)

    def lookup(host: str, port: int, **_more: Any) -> list[Any]:
        if asked is not None:
            asked.append(host)
        return [(0, 0, 0, "", (answers.pop(0) if len(answers) > 1 else answers[0], port))]

    return lookup


@pytest.mark.parametrize("url", ["https://127.0.0.1:8443/", "https://hooks.example/", "http://93.184.216.34/"])
def test_without_the_operators_word_nothing_inside_is_called(receiver: Receiver, url: str) -> None:
    inner = WebhookClient(seconds=1, lookup=known("127.0.0.1"))
    assert refused(inner, url.replace(":8443", f":{receiver.port}"))
    assert receiver.heard == []


def test_a_name_that_changes_its_address_is_called_at_the_checked_one(receiver: Receiver) -> None:
    asked: list[str] = []
    line = WebhookClient(private=True, seconds=1, lookup=known("127.0.0.1", "10.0.0.1", asked=asked))
    assert line.post(f"http://hooks.example:{receiver.port}/in", {}, BODY).code == 200
    assert (asked, receiver.heard[0].headers["Host"]) == (["hooks.example"], f"hooks.example:{receiver.port}")


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of hooks.example in one file."""
    path, key = tmp_path_factory.mktemp("tls") / "both.pem", ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number()).not_valid_before(
        now - timedelta(days=1)
    )
    made = made.not_valid_after(now + timedelta(days=1)).add_extension(
        x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + made.sign(key, hashes.SHA256()).public_bytes(pem))
    return path


@pytest.fixture
def guarded(certificate: Path) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiving(context) as receiver:
        yield receiver


def line_to(certificate: Path | None) -> WebhookClient:
    trust = ssl.create_default_context(cafile=certificate) if certificate else None
    return WebhookClient(private=True, seconds=2, trust=trust, lookup=known("127.0.0.1"))


def test_tls_asks_for_the_name_and_checks_it(guarded: Receiver, certificate: Path) -> None:
    answer = line_to(certificate).post(f"https://hooks.example:{guarded.port}/in", {}, BODY)
    assert (answer.code, guarded.names, len(guarded.heard)) == (200, ["hooks.example"], 1)


def test_a_certificate_of_another_name_or_of_a_stranger_is_refused(guarded: Receiver, certificate: Path) -> None:
    for line, host in ((line_to(certificate), "other.example"), (line_to(None), "hooks.example")):
        assert refused(line, f"https://{host}:{guarded.port}/").startswith("The certificate isn't valid")
    assert guarded.heard == []


def test_a_server_without_tls_is_no_https(receiver: Receiver, certificate: Path) -> None:
    said = refused(line_to(certificate), f"https://hooks.example:{receiver.port}/")
    assert said == "The receiver doesn't support a compatible TLS version."
