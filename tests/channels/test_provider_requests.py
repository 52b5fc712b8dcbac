"""Every request to a provider conforms to the provider's own description, validated by Prism."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from app.channels.base import ChannelError
from app.channels.provider import Media, OutgoingReaction, ProviderAcceptance, Template
from tests.channels.accounts import DLT, a_call, exotel, meta, outgoing, twilio, whatsapp
from tests.channels.doubles import prism

JPEG = Media("https://files.example/a.jpg", "image/jpeg")
PDF = Media("https://files.example/a.pdf", "application/pdf", "Statement.pdf", "March")
CONTENT = Template("statement", "en_US", ("Asha", "March"), "HX" + "a" * 32)
EXOTEL_SID = "0b6c6a98f32682862ce6edf1bdab3526"
#: Before and after the messages in the examples of Twilio's description.
LONG_AGO, NOW = datetime(2001, 1, 1, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC)

#: What is sent, and how the provider's id begins.
SENT: dict[str, tuple[Callable[[str], ProviderAcceptance], str]] = {
    "SMS": (lambda url: twilio(url).send(outgoing()), "SM"),
    "SMS without reports": (lambda url: twilio(url).send(outgoing(status_url="")), "SM"),
    "SMS in Hindi": (lambda url: twilio(url).send(outgoing(text="नमस्ते & + = 😀")), "SM"),
    "MMS with two files": (lambda url: twilio(url).send(outgoing(media=(JPEG, PDF))), "SM"),
    "WhatsApp": (lambda url: twilio(url).send(whatsapp()), "SM"),
    "WhatsApp, a file": (lambda url: twilio(url).send(whatsapp(text="", media=(JPEG,))), "SM"),
    "WhatsApp, a template": (lambda url: twilio(url).send(whatsapp(template=CONTENT)), "SM"),
    "a call": (lambda url: twilio(url).call(a_call()), "CA"),
    "a call without reports": (lambda url: twilio(url).call(a_call(status_url="", is_recorded=False)), "CA"),
    "Meta": (lambda url: meta(url).send(whatsapp()), "wamid."),
    "Meta, an answer": (lambda url: meta(url).send(whatsapp(in_reply_to="wamid.abc")), "wamid."),
    "Meta, a picture": (lambda url: meta(url).send(whatsapp(media=(JPEG,))), "wamid."),
    "Meta, a document": (lambda url: meta(url).send(whatsapp(media=(PDF,))), "wamid."),
    "Meta, a file handed over": (
        lambda url: meta(url).send(whatsapp(attachments=(("मार्च.png", "image/png", b"\x89PNG\r\n--"),))),
        "wamid.",
    ),
    "Meta, a template": (lambda url: meta(url).send(whatsapp(template=CONTENT)), "wamid."),
    "Meta, a template without variables": (
        lambda url: meta(url).send(whatsapp(template=Template("hello_world", "en"))),
        "wamid.",
    ),
    "Meta, a template with a picture": (
        lambda url: meta(url).send(whatsapp(template=CONTENT, media=(JPEG,))),
        "wamid.",
    ),
    "Exotel": (lambda url: exotel(url).send(outgoing(template=DLT)), EXOTEL_SID),
    "Exotel in Hindi": (lambda url: exotel(url).send(outgoing(text="नमस्ते", template=DLT)), EXOTEL_SID),
    "Exotel, promotional": (lambda url: exotel(url).send(outgoing(template=DLT, purpose="promotional")), EXOTEL_SID),
    "a call by Exotel": (lambda url: exotel(url).call(a_call(caller_id="+918047100000")), "c5797dcb"),
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prism(tmp_path_factory.mktemp("prism")) as running:
        yield running


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_accepted(name: str, url: str) -> None:
    call, beginning = SENT[name]
    accepted = call(url)
    assert accepted.provider_id.startswith(beginning)
    assert accepted.state == "sent"


def test_a_request_that_does_not_fit_is_refused(url: str) -> None:
    with pytest.raises(ChannelError) as refused:
        exotel(url).send(outgoing(to="+911", template=DLT))
    assert refused.value.permanent
    with pytest.raises(ChannelError):
        twilio(url).send(whatsapp(template=Template("x", "en", (), "HX1")))


def test_a_reaction_is_accepted_and_taken_back(url: str) -> None:
    for emoji in ("👍", ""):
        meta(url).react(OutgoingReaction("+919820012345", "wamid.HBgLMTQ", emoji))


def test_questions_are_answered(url: str) -> None:
    found = twilio(url).find(outgoing(), "SM" + "a" * 32, NOW)
    assert found is not None and found.state == "sent"
    assert twilio(url).find(outgoing(), "", NOW) is None
    sms = exotel(url).find(outgoing(), EXOTEL_SID, NOW)
    assert sms is not None
    assert (sms.state, sms.happened_on) == ("sent", datetime(2024, 1, 15, 5, 0, 2, tzinfo=UTC))


def test_accounts_can_be_checked(url: str) -> None:
    checks: list[Any] = [twilio(url), meta(url), exotel(url)]
    assert [each.check() for each in checks] == [
        "Twilio knows the account, and it is active.",
        "Meta knows the number.",
        "Exotel accepts the account's keys.",
    ]
