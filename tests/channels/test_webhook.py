"""The webhook client: connects to the validated address, keeps its deadline, follows no redirect, explains errors."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.channels.base import ChannelError
from app.channels.webhook import MAX_RESPONSE_BYTES, WebhookClient, signature
from tests.channels.certificates import make_certificate
from tests.channels.receiver import Receiver, receiving
from tests.servers import free_port

BODY = b'{"id":"x"}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def client() -> WebhookClient:
    return WebhookClient(private=True, timeout=60)


def refused(client: WebhookClient, url: str, **headers: str) -> str:
    with pytest.raises(ChannelError) as refusal:
        client.post(url, headers, BODY)
    return str(refusal.value)


def test_the_body_arrives_with_its_headers(receiver: Receiver, client: WebhookClient) -> None:
    answer = client.post(f"{receiver.url}?a=1", {"X-CRM-Event": "lead.created"}, BODY)
    (request,) = receiver.requests
    assert (answer.code, answer.text, request.path, request.body) == (200, "thanks", "/in?a=1", BODY)
    assert (request.headers["X-CRM-Event"], request.headers["Host"]) == ("lead.created", f"127.0.0.1:{receiver.port}")


def test_the_signature_is_what_openssl_makes_of_timestamp_full_stop_and_body() -> None:
    assert signature("s3cret", "1700000000", b"{}") == (
        "sha256=97926816e98fbb41ccb1673225ff29a2f35369099990e1b1561651e7bd097ebf"
    )


def test_a_redirect_is_a_response_and_not_followed(receiver: Receiver, client: WebhookClient) -> None:
    receiver.answers = [(302, {"Location": receiver.url}, b"")]
    assert (client.post(receiver.url, {}, BODY).code, len(receiver.requests)) == (302, 1)


@pytest.mark.parametrize("answer", ["hang", "trickle"])
def test_a_receiver_that_does_not_answer_in_time_is_given_up(receiver: Receiver, answer: str) -> None:
    receiver.answers = [answer]
    assert refused(WebhookClient(private=True, timeout=0.3), receiver.url) == "No response within 0.3 seconds."


def test_only_the_beginning_of_a_huge_response_is_read(receiver: Receiver, client: WebhookClient) -> None:
    receiver.answers = [(500, {}, b"x" * 5_000_000)]
    answer = client.post(receiver.url, {}, BODY)
    assert (answer.code, len(answer.text)) == (500, MAX_RESPONSE_BYTES)


def test_a_response_that_is_not_text_does_no_harm(receiver: Receiver, client: WebhookClient) -> None:
    receiver.answers = [(200, {}, b"\xff\xfe\x00ok")]
    assert client.post(receiver.url, {}, BODY).text == "��\x00ok"


def test_an_address_where_nothing_listens(client: WebhookClient) -> None:
    assert refused(client, f"http://127.0.0.1:{free_port()}/") == (
        "Connection refused: nothing is listening at the address."
    )


def test_a_header_of_two_lines_is_refused(receiver: Receiver, client: WebhookClient) -> None:
    assert "ValueError" in refused(client, receiver.url, **{"X-CRM-Event": "a\r\nX-Evil: 1"})
    assert receiver.requests == []


# --- addresses


def known(*ips: str, queries: list[str] | None = None) -> Any:
    """A resolver; each query returns the next of these addresses."""
    answers = list(ips)

    def resolver(host: str, port: int, **_more: Any) -> list[Any]:
        if queries is not None:
            queries.append(host)
        return [(0, 0, 0, "", (answers.pop(0) if len(answers) > 1 else answers[0], port))]

    return resolver


@pytest.mark.parametrize("url", ["https://127.0.0.1:8443/", "https://hooks.example/", "http://93.184.216.34/"])
def test_private_addresses_are_not_called_unless_allowed(receiver: Receiver, url: str) -> None:
    client = WebhookClient(timeout=60, resolver=known("127.0.0.1"))
    assert refused(client, url.replace(":8443", f":{receiver.port}"))
    assert receiver.requests == []


def test_a_host_whose_address_changes_is_called_at_the_checked_one(receiver: Receiver) -> None:
    queries: list[str] = []
    client = WebhookClient(private=True, timeout=60, resolver=known("127.0.0.1", "10.0.0.1", queries=queries))
    assert client.post(f"http://hooks.example:{receiver.port}/in", {}, BODY).code == 200
    assert (queries, receiver.requests[0].headers["Host"]) == (["hooks.example"], f"hooks.example:{receiver.port}")


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of hooks.example in one file."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "hooks.example")


@pytest.fixture
def tls_receiver(certificate: Path) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiving(context) as receiver:
        yield receiver


def client_trusting(certificate: Path | None) -> WebhookClient:
    tls = ssl.create_default_context(cafile=certificate) if certificate else None
    return WebhookClient(private=True, timeout=60, tls=tls, resolver=known("127.0.0.1"))


def test_tls_requests_the_host_name_and_checks_the_certificate(tls_receiver: Receiver, certificate: Path) -> None:
    answer = client_trusting(certificate).post(f"https://hooks.example:{tls_receiver.port}/in", {}, BODY)
    assert (answer.code, tls_receiver.names, len(tls_receiver.requests)) == (200, ["hooks.example"], 1)


def test_a_certificate_of_another_name_or_issuer_is_refused(tls_receiver: Receiver, certificate: Path) -> None:
    for client, host in ((client_trusting(certificate), "other.example"), (client_trusting(None), "hooks.example")):
        assert refused(client, f"https://{host}:{tls_receiver.port}/").startswith("The certificate isn't valid")
    assert tls_receiver.requests == []


def test_a_server_without_tls_is_refused(receiver: Receiver, certificate: Path) -> None:
    error = refused(client_trusting(certificate), f"https://hooks.example:{receiver.port}/")
    assert error == "The receiver doesn't support a compatible TLS version."
