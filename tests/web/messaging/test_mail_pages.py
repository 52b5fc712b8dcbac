"""Emails on pages: writing, replying and forwarding, files, signatures, templates, and refused access."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select

from app.channels.provider_registry import KINDS
from app.domain.base import RuleBroken, Stamp
from app.domain.messaging import channel_accounts, conversations, mail_signatures, messages
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.messaging.mail_signatures import SignatureInput
from app.models import AuditEntry, ChannelAccount, Mail, Message, MessageTemplate, Ticket, TicketStatus
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.factories import NOW

ASHA = "asha@example.in"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40


@pytest.fixture
def account(crm: Crm) -> Any:
    """An account that sends emails."""
    values = {"host": "127.0.0.1", "security": "none", "from": "Support <support@eshin.test>"}
    wanted = AccountSettings("out", values)
    row = channel_accounts.create(crm.session, KINDS["smtp"], wanted, Stamp(None, NOW), crm.vault)
    crm.session.commit()
    return row


def received(crm: Crm, account: Any, records: dict[str, Any], **more: Any) -> Any:
    """An email from ASHA with copies to a brother and to ourselves, in a conversation of these records."""
    session, stamp = crm.session, Stamp(None, NOW)
    row = conversations.find_or_create(session, conversations.ConversationKey(account.id, "email", ASHA), stamp)
    conversations.attach(row, records, crm.id_of(more.get("claimed", "cleo")), stamp)
    values = {"channel": "email", "peer": ASHA, "subject": "Pay-in", "body": "It failed.", "account_id": account.id}
    values |= {"conversation_id": row.id, "happened_on": NOW, "native": more.get("native", {})}
    message = messages.receive(session, values | records | more.get("values", {}), stamp)
    mail = Mail(account_id=account.id, message_id=message.id, direction="in", state="kept", peer=ASHA, received_on=NOW)
    mail.cc, mail.participants = ["brother@example.in", "support@eshin.test"], [ASHA, "brother@example.in"]
    mail.html, mail.has_remote_pictures = more.get("html"), "data-remote" in (more.get("html") or "")
    session.add(mail)
    session.commit()
    return message


def send(crm: Crm, who: str, about: dict[str, Any], **typed: Any) -> Any:
    given = {"to": "@record", "subject": "Papers", "html": "<div>Please <b>sign</b>.</div>", "key": "k1"}
    return crm.client(who).form("/mail/send", about | given | typed, headers={"Accept": "application/json"})


def newest(crm: Crm) -> Message:
    crm.session.commit()
    return crm.session.scalars(select(Message).order_by(Message.id.desc())).first()  # type: ignore[return-value]


def beside(crm: Crm, message: Message) -> Mail:
    return crm.session.scalars(select(Mail).where(Mail.message_id == message.id)).one()


# --- writing


@pytest.mark.parametrize("kind", ["lead", "ticket", "customer"])
def test_a_masked_address_is_written_to_without_being_shown(crm: Crm, account: Any, kind: str) -> None:
    who = "cleo" if kind == "ticket" else "ana"
    crm.make.mask("Sales User", email="last4")
    crm.make.mask("Support User", email="hidden")
    row = getattr(crm.make, kind)(who, email=ASHA, first_name="Asha")
    about = {"record": f"{kind}:{row.id}"}
    page = crm.client(who).screen(f"/mail/compose?record={kind}:{row.id}").text
    assert "Asha Patel" in page or "Asha" in page
    assert ASHA not in page
    sent = send(crm, who, about)
    assert sent.status_code == 201 and ASHA not in sent.text, sent.text
    message = newest(crm)
    assert (message.peer, message.state, message.subject) == (ASHA, "queued", "Papers")
    assert getattr(message, f"{kind}_id") == row.id and message.due_on is not None
    assert message.due_on - message.created_on == timedelta(seconds=10)
    assert beside(crm, message).html == "<div>Please <b>sign</b>.</div>" and message.body == "Please sign."


@pytest.mark.parametrize("field", ["to_other", "cc_other"])
def test_who_sees_addresses_masked_types_none(crm: Crm, account: Any, field: str) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    crm.make.mask("Sales User", email="last4")
    about = {"record": f"lead:{lead.id}"}
    assert f'name="{field}"' not in crm.client("ana").screen(f"/mail/compose?record=lead:{lead.id}").text
    answer = send(crm, "ana", about, **{field: ASHA})  # also one that is right
    assert answer.status_code == 422 and "masked" in answer.text and not crm.count(Message)


def test_an_email_is_for_several_people(crm: Crm, account: Any) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    about = {"record": f"lead:{lead.id}"}
    assert send(crm, "ana", about, to_other="no address").json["errors"].keys() == {"to"}
    typed = {
        "to_other": f"Brother@example.in; {ASHA}, sister@example.in",
        "cc_other": "sister@example.in, ca@example.in",
    }
    assert send(crm, "ana", about, **typed).status_code == 201
    mail = beside(crm, newest(crm))
    assert (mail.also_to, mail.cc) == (["brother@example.in", "sister@example.in"], ["ca@example.in"])
    assert mail.participants == [ASHA, *(mail.also_to or ()), *(mail.cc or ())]
    page = crm.client("ana").screen(f"/mail/{newest(crm).id}").text
    assert "Also to" in page and "sister@example.in" in page
    shown = crm.client("ana").rest("GET", f"message/{newest(crm).id}/mail").json["result"]
    assert shown["to"] == mail.also_to


def test_the_form_says_once_what_is_wrong(crm: Crm, account: Any) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    typed = {"to": "@record", "to_other": "no address", "subject": "Papers", "body": "x", "key": "k1"}
    answer = crm.client("ana").form("/mail/send", typed | {"record": f"lead:{lead.id}"})
    assert answer.status_code == 422
    said = send(crm, "ana", {"record": f"lead:{lead.id}"}, to_other="no address").json["errors"]["to"][0]
    assert unescape(answer.text).count(said) == 1


@pytest.mark.parametrize("account_id", ["x", "-1", "999", "9" * 12])
def test_an_account_that_is_none_is_not_replaced_in_silence(crm: Crm, account: Any, account_id: str) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    answer = send(crm, "ana", {"record": f"lead:{lead.id}"}, account=account_id)
    assert answer.status_code == 422 and "account" in answer.json["errors"], answer.text


def test_without_an_editor_the_text_is_sent_as_it_was_typed(crm: Crm, account: Any) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    assert send(crm, "ana", {"record": f"lead:{lead.id}"}, html="", body="One\r\n<b>two</b>").status_code == 201
    message = newest(crm)
    assert message.body == "One\n<b>two</b>"
    assert beside(crm, message).html == "<div>One<br>\n&lt;b&gt;two&lt;/b&gt;</div>"


@pytest.mark.parametrize(("chosen", "is_answer"), [("", True), ("other", False)])
def test_an_answer_by_another_account_begins_a_conversation(
    crm: Crm, account: Any, chosen: str, is_answer: bool
) -> None:
    values = {"host": "127.0.0.1", "security": "none", "from": "Sales <sales@eshin.test>"}
    wanted = AccountSettings("other", values)
    other = channel_accounts.create(crm.session, KINDS["smtp"], wanted, Stamp(None, NOW), crm.vault)
    lead = crm.make.lead("ana", email=ASHA)
    mail = received(crm, account, {"lead_id": lead.id}, claimed="ana")
    about = {"message": mail.id, "how": "reply", "account": other.id if chosen else ""}
    sent = send(crm, "ana", about, to="@peer")
    assert sent.status_code == 201, sent.text
    message = newest(crm)
    assert (message.reply_to_id == mail.id, message.conversation_id == mail.conversation_id) == (is_answer, is_answer)


def test_what_is_sent_twice_leaves_once_and_can_be_taken_back_by_its_author(crm: Crm, account: Any) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    first, again = (send(crm, "ana", {"record": f"lead:{lead.id}"}) for _each in range(2))
    assert first.json["id"] == again.json["id"] and again.status_code == 201
    json = {"headers": {"Accept": "application/json"}}
    assert crm.client("mia").form(first.json["undo_url"], **json).status_code == 404
    assert crm.client("ana").form(first.json["undo_url"], **json).status_code == 200
    assert newest(crm).state == "canceled"
    late = crm.client("ana").form(first.json["undo_url"], **json)
    assert late.status_code == 409 and "too late" in late.json["message"]


@each_case(
    "typed, status, told",
    [
        ({"subject": ""}, 422, "enter a subject"),
        ({"to": "", "to_other": ""}, 422, "who gets the email"),
        ({"to": "", "to_other": "nobody"}, 422, "number or address"),
        ({"to": "@m7"}, 422, "offered any more"),
        ({"cc": "@nobody"}, 422, "offered any more"),
        ({"cc_other": "a@b.in, x y"}, 422, "Cc address 2"),
        ({"html": " <p></p>", "body": ""}, 422, "enter a text"),
        ({"html": "<div>Dear {{first_name}}</div>"}, 422, "{{first_name}}"),
        ({"file": "made-up"}, 422, "choose it again"),
        ({"files": (io.BytesIO(b"MZ\x90"), "invoice.pdf")}, 422, "is a program"),
        ({"files": (io.BytesIO(b"x"), "photo.exe")}, 422, "is a program"),
        ({"files": (io.BytesIO(b"x"), "run.js. .")}, 422, "is a program"),  # it would arrive as run.js
        ({"files": (io.BytesIO(b"x"), "run.js\u200b")}, 422, "is a program"),
        ({"files": (io.BytesIO(b""), "empty.txt")}, 422, "is empty"),
        ({"status": "1"}, 422, "status can"),
        ({"account": "9999"}, 422, "account"),
    ],
)
def test_a_refused_email_loses_nothing(crm: Crm, account: Any, typed: Any, status: int, told: str) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    given = {"record": f"lead:{lead.id}", "to": "@record", "subject": "Kept subject", "key": "k"}
    given |= {"html": "<div>Kept <b>text</b></div>"} | typed
    page = crm.client("ana").form("/mail/send", given)
    assert page.status_code == status, page.text
    assert told in page.text and ("Kept subject" in page.text or "subject" in typed)
    assert "Kept <b>text</b>" in page.text or "html" in typed
    assert crm.rows(select(Message).where(Message.channel == "email")) == []


def test_files_are_judged_by_content_and_sent_only_by_who_has_chosen_them(crm: Crm, account: Any) -> None:
    ana, lead = crm.client("ana"), crm.make.lead("ana", email=ASHA)
    kept = ana.form("/mail/file", {"files": (io.BytesIO(PNG), "../../photo.jpg")})
    assert (kept.json["name"], kept.json["mime_type"]) == ("photo.jpg.png", "image/png")
    about = {"record": f"lead:{lead.id}"}
    stolen = crm.client("mia").form("/mail/send", about | {"to": "@record", "subject": "x", "file": kept.json["token"]})
    assert stolen.status_code == 422
    assert send(crm, "ana", about, file=kept.json["token"]).status_code == 201
    media = newest(crm).media
    assert media is not None
    assert [(each["name"], each["mime_type"]) for each in media] == [("photo.jpg.png", "image/png")]


# --- answering


def test_an_answer_to_all_quotes_the_email_and_sets_the_status(crm: Crm, account: Any) -> None:
    ticket = crm.make.ticket("cleo", email=ASHA, first_name="Asha")
    question = received(crm, account, {"ticket_id": ticket.id}, html="<p>It <i>failed</i>.<img data-remote='x'></p>")
    page = crm.client("cleo").screen(f"/mail/compose?message={question.id}&how=all").text
    assert re.findall(r'name="cc" value="(@\w+)" checked', page) == ["@m0"] and "Re: Pay-in" in page
    pending = crm.session.scalars(select(TicketStatus.id).where(TicketStatus.meaning == "waiting")).first()
    about = {"message": question.id, "how": "all", "quote": "1"}
    sent = send(crm, "cleo", about, to="@peer", cc="@m0", subject="Re: Pay-in", status=pending)
    assert sent.status_code == 201, sent.text
    answer = newest(crm)
    mail = beside(crm, answer)
    assert (answer.reply_to_id, answer.ticket_id, mail.cc) == (question.id, ticket.id, ["brother@example.in"])
    assert "<blockquote><p>It <i>failed</i>.</p></blockquote>" in (mail.html or "") and "<img" not in (mail.html or "")
    assert "> It failed." in (mail.quoted or "") and answer.body == "Please sign."
    assert crm.rows(select(Ticket.status_id).where(Ticket.id == ticket.id)) == [pending]


def test_an_answer_that_ends_a_ticket_is_its_resolution_without_the_signature(crm: Crm, account: Any) -> None:
    ticket = crm.make.ticket("cleo", email=ASHA, first_name="Asha")
    resolved = crm.ticket_status["Resolved"]
    signed = "<div>A new link is on its way.</div><div data-signature><div>Cleo</div><div>Eshin Broking</div></div>"
    sent = send(crm, "cleo", {"record": f"ticket:{ticket.id}"}, html=signed, status=resolved)
    assert sent.status_code == 201, sent.text
    stored = crm.stored(ticket)
    assert stored is not None
    assert (stored["status_id"], stored["resolution"]) == (resolved, "A new link is on its way.")
    assert "Eshin Broking" in newest(crm).body


def test_a_forwarded_email_takes_its_files_along_and_answers_nobody(crm: Crm, account: Any) -> None:
    ticket = crm.make.ticket("cleo", email=ASHA)
    with crm.app.app_context():
        stored = crm.app.extensions["crm_files"].put(PNG)
    media = [{"address": stored.address, "mime_type": "image/png", "name": "pan.png", "caption": ""}]
    mail = received(crm, account, {"ticket_id": ticket.id}, values={"media": media})
    page = crm.client("cleo").screen(f"/mail/compose?message={mail.id}&how=forward").text
    (token,) = re.findall(r'name="file" value="([^"]+)"', page)
    about = {"message": mail.id, "how": "forward", "quote": "1"}
    sent = send(crm, "cleo", about, to="", to_other="back@office.in", file=token, subject="Fwd: Pay-in")
    assert sent.status_code == 201, sent.text
    forwarded = newest(crm)
    assert (forwarded.peer, forwarded.reply_to_id) == ("back@office.in", None) and forwarded.media
    assert "Forwarded message" in (beside(crm, forwarded).quoted or "")


def test_a_form_on_a_website_is_answered_where_its_writer_wants(crm: Crm, account: Any) -> None:
    lead = crm.make.lead("ana")
    native = {"reply_to": "writer@example.in"}
    for peer, chosen in (("noreply@site.in", "@answer"), (ASHA, "@peer")):
        mail = received(crm, account, {"lead_id": lead.id}, native=native, claimed="ana", values={"peer": peer})
        page = crm.client("ana").screen(f"/mail/compose?message={mail.id}").text
        assert re.findall(r'<option value="(@\w+)" selected', page) == [chosen]


def test_fifty_answers_deep_an_email_is_still_quoted(crm: Crm, account: Any) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    deep = "<blockquote>" * 499 + "<p>first</p>" + "</blockquote>" * 499
    mail = received(crm, account, {"lead_id": lead.id}, html=deep, claimed="ana")
    about = {"message": mail.id, "how": "reply", "quote": "1"}
    assert send(crm, "ana", about, to="@peer").status_code == 201
    html = beside(crm, newest(crm)).html or ""
    assert html.count("<blockquote>") == 1 and "It failed." in html  # too deep: quoted as text


# --- reading


def test_an_email_is_shown_in_a_frame_that_runs_and_loads_nothing(crm: Crm, account: Any) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    html = '<p>Hi <img alt="x" data-remote="https://spy.example/p.png"></p>'
    mail = received(crm, account, {"lead_id": lead.id}, html=html, claimed="ana", native={"automatic": True})
    page = crm.client("ana").screen(f"/mail/{mail.id}").text
    assert "Show pictures" in page and "An automatic email" in page and "spy.example" not in page
    for query, asked in (("", False), ("?pictures=1", True)):
        frame = crm.client("ana").screen(f"/mail/{mail.id}/frame{query}")
        policy = frame.headers["Content-Security-Policy"]
        assert ('src="https://spy.example/p.png"' in frame.text) is asked
        assert "default-src 'none'" in policy and "sandbox" in policy and ("https:" in policy) is asked
        assert frame.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_nobody_reaches_the_emails_of_others(crm: Crm, account: Any) -> None:
    lead = crm.make.lead("ana", email=ASHA)
    mail = received(crm, account, {"lead_id": lead.id}, claimed="ana")
    ben = crm.client("ben")
    for path in (
        *(f"/mail/{mail.id}", f"/mail/{mail.id}/frame", f"/mail/compose?message={mail.id}", "/mail/compose"),
        *(f"/mail/compose?record=lead:{lead.id}", f"/mail/compose?conversation={mail.conversation_id}"),
        *("/mail/compose?message=x", "/mail/compose?record=user:1", f"/mail/compose?message={mail.id}&how=steal"),
        *(f"/templates/offer?channel=email&about=lead:{lead.id}", "/templates/offer?channel=email&about=a:b"),
    ):
        assert ben.screen(path).status_code == 404, path
    assert send(crm, "ben", {"message": mail.id, "how": "reply"}, to="@peer").status_code == 404
    assert ben.screen("/templates/offer?channel=fax").status_code == 400


# --- signatures


def test_a_signature_is_cleaned_filled_in_and_offered(crm: Crm, account: Any) -> None:
    ana = crm.client("ana")
    html = "<div><b>{{name}}</b>, {{title}}</div><div>Mobile {{mobile}}</div><script>x</script><div>{{company}}</div>"
    assert ana.form("/signature/", {"html": html, "title": "Relationship Manager"}).status_code == 302
    lead = crm.make.lead("ana", email=ASHA)
    page = ana.screen(f"/mail/compose?record=lead:{lead.id}").text
    # Ana has no mobile, so its line is left out
    assert "<div><b>Ana Shah</b>, Relationship Manager</div><div>Eshin CRM</div>" in page
    assert "Ana Shah, Relationship Manager\nEshin CRM</textarea>" in page
    wrong = ana.form("/signature/", {"html": "{{salary}}", "version": "1"})
    assert wrong.status_code == 422 and "no variable “salary”" in wrong.text and "{{salary}}" in wrong.text
    assert ana.form("/signature/", {"html": "later", "version": "9"}).status_code == 409


def test_the_signature_of_an_account_is_an_admins_and_serves_who_has_none(crm: Crm, account: Any) -> None:
    url = f"/signature/account/{account.id}"
    assert crm.client("ana").form(url, {"html": "x"}).status_code == 403
    assert crm.client("root").form(url, {"html": "<p>{{name}} for {{company}}</p>"}).status_code == 302
    lead = crm.make.lead("ana", email=ASHA)
    page = crm.client("ana").screen(f"/mail/compose?record=lead:{lead.id}").text
    assert "<p>Ana Shah for Eshin CRM</p>" in page
    assert crm.client("root").screen("/signature/account/999").status_code == 404


def test_a_signature_of_many_lines_is_refused(crm: Crm) -> None:
    for edited in (SignatureInput("x" * 10_001), SignatureInput("x", "y" * 81)):
        with pytest.raises(RuleBroken):
            mail_signatures.save(crm.session, {"user_id": crm.people["ana"].id}, edited, Stamp(None, NOW))


# --- templates


def template(crm: Crm, label: str, body: str, language: str = "en", channel: str = "email") -> None:
    row = MessageTemplate(label=label, channel=channel, body=body, language=language, position=1, is_active=True)
    row.approval, row.purpose = "local", "service"
    crm.session.add(row)
    crm.session.commit()


def offered(crm: Crm, who: str, **query: str) -> list[dict[str, Any]]:
    answer = crm.client(who).screen("/templates/offer", query_string={"channel": "email", **query})
    assert answer.status_code == 200, answer.text
    return list(answer.json["results"])


def test_templates_are_filled_in_as_far_as_the_person_sees_it(crm: Crm, account: Any) -> None:
    template(crm, "Welcome", "Dear {{first_name}}, we write to {{email}}. {{my_name}}, {{1}}")
    template(crm, "Other", "By WhatsApp", channel="whatsapp")
    lead = crm.make.lead("ana", email=ASHA, first_name="Asha")
    about = f"lead:{lead.id}"
    (hit,) = offered(crm, "ana", about=about, q="wel")
    assert hit["preview"] == f"Dear Asha, we write to {ASHA}. Ana Shah, {{{{1}}}}" and hit["missing"] == ["1"]
    crm.make.mask("Sales User", email="last4")
    (hit,) = offered(crm, "ana", about=about)
    assert hit["missing"] == ["email", "1"] and "example" not in str(hit)
    assert "email, 1" in hit["missing_text"]
    assert offered(crm, "ana", q="nothing like it") == []


def test_a_template_in_a_conversation_names_its_ticket(crm: Crm, account: Any) -> None:
    template(crm, "Done", "{{number}}: {{title}}")
    ticket = crm.make.ticket("cleo", email=ASHA, customer_id=crm.make.customer("ana").id)
    records = {"ticket_id": ticket.id, "customer_id": ticket.customer_id}
    message = received(crm, account, records)
    (hit,) = offered(crm, "cleo", about=f"conversation:{message.conversation_id}")
    assert hit["preview"] == f"{ticket.number}: {ticket.title}"


@pytest.mark.parametrize(
    ("said", "first"),
    [("नमस्ते, मदद चाहिए", "Hindi"), ("મને મદદ જોઈએ", "Gujarati"), ("मला मदत हवी आहे", "Marathi"), ("Hello", "English")],
)
def test_templates_come_first_in_the_language_in_which_the_person_writes(
    crm: Crm, account: Any, said: str, first: str
) -> None:
    for label, language in (("English", "en"), ("Hindi", "hi"), ("Gujarati", "gu"), ("Marathi", "mr")):
        template(crm, label, "x", language)
    lead = crm.make.lead("ana", email=ASHA)
    message = received(crm, account, {"lead_id": lead.id}, claimed="ana", values={"body": said})
    for about in (f"lead:{lead.id}", f"conversation:{message.conversation_id}"):
        assert offered(crm, "ana", about=about)[0]["label"] == first


# --- emails that found no place


def waiting(crm: Crm, account: Any, raw: bytes, state: str = "failed") -> Mail:
    with crm.app.app_context():
        kept = crm.app.extensions["crm_files"].put(raw)
    row = Mail(account_id=account.id, direction="in", state=state, received_on=NOW, sentence="Why.", origin="person")
    row.cc, row.participants, row.original, row.mail_key = [], [], kept.digest, kept.digest
    crm.session.add(row)
    crm.session.commit()
    return row


READABLE = b"From: Asha <asha@example.in>\r\nSubject: Pay-in\r\n\r\nIt <script>failed</script>."


def test_an_email_without_a_place_is_read_safely_by_who_sets_the_accounts_up(crm: Crm, account: Any) -> None:
    row = waiting(crm, account, READABLE, "dropped")
    for who, status in (("root", 200), ("ana", 403), ("cleo", 403)):
        assert crm.client(who).screen("/mails/").status_code == status, who
        assert crm.client(who).screen(f"/mails/{row.id}").status_code == status, who
    page = crm.client("root").screen(f"/mails/{row.id}").text
    assert "&lt;script&gt;failed" in page and "<script>failed" not in page and ASHA in page
    original = crm.client("root").screen(f"/mails/{row.id}/original")
    assert original.data == READABLE and "attachment" in original.headers["Content-Disposition"]
    assert crm.client("root").screen("/mails/?show=reports").status_code == 200
    assert crm.client("root").screen("/mails/?show=x").status_code == 400


@pytest.mark.parametrize("raw", [READABLE, b"no mail at all\xff"])
def test_it_is_put_into_a_record_by_hand_once_and_that_is_audited(crm: Crm, account: Any, raw: bytes) -> None:
    row, ticket = waiting(crm, account, raw), crm.make.ticket("cleo")
    url, root = f"/mails/{row.id}/attach", crm.client("root")
    wrong = root.form(url, {"number": "CRM-TICKET-1999-00001"})
    assert wrong.status_code == 422 and "CRM-TICKET-1999-00001" in wrong.text
    assert root.form(url, {"number": ticket.number.lower()}).location == f"/tickets/show/{ticket.id}"
    message = newest(crm)
    assert (message.ticket_id, message.direction) == (ticket.id, "in") and message.media
    assert message.media[-1]["name"] == "original.eml"
    assert root.form(url, {"number": ticket.number}).status_code in (302, 404)
    entries = crm.rows(select(AuditEntry).where(AuditEntry.about == f"mail {row.id}"))
    assert [each.payload["record"] for each in entries] == [ticket.number]


def test_it_is_tried_again_or_dismissed(crm: Crm, account: Any) -> None:
    values = {"host": "127.0.0.1", "security": "none", "user": "u", "password": "p", "address": "in@eshin.test"}
    wanted = AccountSettings("in", values)
    mailbox: ChannelAccount = channel_accounts.create(crm.session, KINDS["imap"], wanted, Stamp(None, NOW), crm.vault)
    crm.session.commit()
    good, bad = waiting(crm, mailbox, READABLE), waiting(crm, mailbox, b"hopeless")
    root = crm.client("root")
    root.form(f"/mails/{good.id}/again")
    assert newest(crm).body == "It <script>failed</script>."
    root.form(f"/mails/{bad.id}/dismiss")
    root.form(f"/mails/{bad.id}/dismiss")
    assert crm.rows(select(Mail.state).where(Mail.id == bad.id)) == ["dismissed"]
    assert len(crm.rows(select(AuditEntry).where(AuditEntry.about == f"mail {bad.id}"))) == 1
