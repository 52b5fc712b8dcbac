"""The page of notifications by SMS and WhatsApp."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from app.channels import console_provider, exotel_provider
from app.domain import business_settings
from app.domain.base import Stamp
from app.domain.messaging import channel_accounts
from app.domain.messaging.channel_accounts import AccountSettings
from app.models import BusinessSetting, ChannelAccount, MessageTemplate
from tests.app_fixtures import Crm
from tests.cases import each_case

URL = "/settings/notice-channels/"
EXOTEL = {
    "account_sid": "eshin1",
    "api_key": "k" * 20,
    "api_token": "t" * 20,
    "header": "ESHINB",
    "dlt_entity_id": "1101234567890123456",
}


def account(crm: Crm, kind: Any = console_provider.KIND, **values: str) -> int:
    settings = AccountSettings(f"Line {crm.count(ChannelAccount)}", values)
    made = channel_accounts.create(crm.session, kind, settings, Stamp(None, datetime.now(UTC)), crm.vault)
    crm.session.commit()
    return int(made.id)


def template(crm: Crm, body: str, channel: str = "sms", **more: Any) -> int:
    row = MessageTemplate(label=f"{crm.count(MessageTemplate)} {body}", channel=channel, body=body, position=1, **more)
    crm.session.add(row)
    crm.session.commit()
    return int(row.id)


def save(crm: Crm, who: str = "root", **posted: Any) -> Any:
    page = crm.client(who).screen(URL).text
    version = page.partition('name="version" value="')[2].partition('"')[0]
    return crm.client(who).form(URL, {"version": version, **{key: str(value) for key, value in posted.items()}})


def stored(crm: Crm) -> Any:
    rows = crm.rows(select(BusinessSetting).where(BusinessSetting.key == business_settings.NOTICE_CHANNELS))
    return rows[0].value if rows else None


def test_an_admin_chooses_account_and_template(crm: Crm) -> None:
    line, sms, chat = account(crm), template(crm, "{{text}} {{link}}"), template(crm, "{{1}} {{2}}", "whatsapp")
    wanted: dict[str, Any] = {
        "sms_account": line,
        "sms_template": sms,
        "whatsapp_account": line,
        "whatsapp_template": chat,
    }
    assert save(crm, **wanted).status_code == 302
    both = {channel: {"account": line, "template": key} for channel, key in (("sms", sms), ("whatsapp", chat))}
    assert stored(crm) == both
    assert "selected>0 {{text}} {{link}}<" in crm.client("root").screen(URL).text
    assert "mention:whatsapp" not in crm.client("ana").screen("/bell/choices/").text  # she has no mobile number yet
    assert "enter your mobile number" in crm.client("ana").screen("/bell/choices/").text
    assert save(crm).status_code == 302 and stored(crm) == {}


def test_only_who_may_change_the_settings_can_do_it(crm: Crm) -> None:
    assert crm.client("ana").screen(URL).status_code == 403
    assert crm.client("ana").form(URL, {}).status_code == 403
    assert f'href="{URL}"' in crm.client("root").screen("/settings/").text


def test_an_outdated_page_changes_nothing(crm: Crm) -> None:
    assert crm.client("root").form(URL, {"version": "old"}).status_code == 409
    assert stored(crm) is None


@each_case(
    "body, more, sentence",
    [
        ("Hello {{first_name}}", {}, "Notifications have no value for “first_name”"),
        ("{{text}}", {"purpose": "promotional"}, "Notifications are no promotional messages"),
        ("{{text}}", {"approval": "rejected"}, "isn&#39;t approved by the provider"),
        ("{{text}}", {"channel": "whatsapp"}, "belongs to another channel or account"),
        ("{{1}}", {"channel": "whatsapp", "header": "image"}, "belongs to another channel or account"),
    ],
)
def test_a_template_that_does_not_fit_is_refused(crm: Crm, body: str, more: dict[str, Any], sentence: str) -> None:
    line, key = account(crm), template(crm, body, **more)
    answer = save(crm, sms_account=line, sms_template=key)
    assert answer.status_code == 422 and sentence in answer.text
    assert stored(crm) is None


@each_case(
    "posted",
    [
        {"sms_account": "1"},
        {"sms_template": "1"},
        {"sms_account": "99", "sms_template": "99"},
        {"sms_account": "x", "sms_template": "-1"},
        {"whatsapp_account": "9" * 40, "whatsapp_template": "1"},
    ],
)
def test_what_is_no_account_or_template_is_refused(crm: Crm, posted: dict[str, str]) -> None:
    account(crm), template(crm, "{{text}}")
    answer = save(crm, **posted)
    assert answer.status_code == 422 and "Please choose one of the options." in answer.text
    assert stored(crm) is None


def test_a_template_with_a_file_is_refused(crm: Crm) -> None:
    line, key = account(crm), template(crm, "{{1}}", "whatsapp", header="image")
    answer = save(crm, whatsapp_account=line, whatsapp_template=key)
    assert answer.status_code == 422 and "A file has to be sent with this template" in answer.text


def test_an_sms_to_india_has_a_dlt_template_with_short_values(crm: Crm) -> None:
    line = account(crm, exotel_provider.KIND, **EXOTEL)
    bodies = {
        "{{event}}: {{record}}. Eshin": "",
        "{{event}}: {{record}}. Eshin Broking": "110712345678901",
        "{{text}}. Eshin": "110712345678902",
    }
    keys = [template(crm, body, provider_id=number or None) for body, number in bodies.items()]
    answers = [save(crm, sms_account=line, sms_template=key) for key in keys]
    assert "has no DLT template ID" in answers[0].text
    assert "each variable takes at most 30 characters" in answers[2].text
    assert [each.status_code for each in answers] == [422, 302, 422]
    assert stored(crm) == {"sms": {"account": line, "template": keys[1]}}


def test_an_sms_leads_only_to_allowed_hosts(crm: Crm) -> None:
    crm.session.add(BusinessSetting(key="sms_link_hosts", value="eshin.example"))
    crm.session.commit()
    line, key = account(crm), template(crm, "{{event}} https://elsewhere.example/{{notice}}")
    answer = save(crm, sms_account=line, sms_template=key)
    assert answer.status_code == 422 and "aren&#39;t on the white list for SMS" in answer.text
