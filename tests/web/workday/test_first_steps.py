"""The first steps of a new installation: checked off by the data, for admins only; and the guides as pages."""

from __future__ import annotations

import re
from datetime import date

import pytest

from app.lib import guide_html
from app.models import BackupRun, ChannelAccount, Holiday, PhoneSync
from tests.app_fixtures import Crm
from tests.factories import NOW

AT = {"created_on": NOW, "changed_on": NOW}


def ticked(crm: Crm, path: str = "/") -> list[bool]:
    """Whether each step of the card is done; empty without a card."""
    card = crm.client("root").screen(path).text.partition('class="first-steps"')[2].partition("</section>")[0]
    return [mark == ' class="is-done"' for mark in re.findall(r"<li( class=\"is-done\")?>", card)]


def test_each_step_is_ticked_by_what_is_there(crm: Crm) -> None:
    assert ticked(crm) == ticked(crm, "/dashboard/") == [False, True, False, False, False, False, False]
    assert 'class="first-steps"' not in crm.client("ana").screen("/").text
    crm.make.lead("ana")
    crm.session.add_all(
        [
            Holiday(day=date(2026, 12, 25), label="Christmas"),
            PhoneSync(employee_id=crm.people["ana"].id),
            BackupRun(kind="backup", outcome="failed", **AT),
            ChannelAccount(name="For trials", kind="console", token_hash="1", token_sealed="1", **AT),
        ]
    )
    crm.session.commit()
    assert ticked(crm) == [False, True, True, False, True, True, False]
    crm.session.add_all(
        [
            BackupRun(kind="backup", outcome="done", **AT),
            ChannelAccount(name="Office", kind="twilio", token_hash="2", token_sealed="2", **AT),
        ]
    )
    crm.session.commit()
    assert ticked(crm) == [False, *[True] * 6]
    root = crm.client("root")
    assert root.form("/first-steps/dismiss").status_code == 302
    assert 'class="first-steps"' not in root.screen("/").text


@pytest.mark.parametrize(
    "text, html",
    [
        ("Press **N** or `a<b`.", "<p>Press <strong>N</strong> or <code>a&lt;b</code>.</p>"),
        ("- one\n  more\n- two\n", "<ul>\n<li>one\nmore</li>\n<li>two</li>\n</ul>"),
        ("1. one\n   - inner\n2. two", "<ol>\n<li>one\n<ul>\n<li>inner</li>\n</ul>\n</li>\n<li>two</li>\n</ol>"),
        ("Text:\n- one", "<p>Text:</p>\n<ul>\n<li>one</li>\n</ul>"),
        ("[here](user.md#a) [there](x.md)", '<p><a href="/help/#a">here</a> there</p>'),
        ("![A lead](pictures/lead.png)", '<p><img src="/help/pictures/lead.png" alt="A lead" loading="lazy" /></p>'),
        ("| A | B |\n|---|---|\n| *c* | d |", "<td><em>c</em></td>\n<td>d</td>"),
        ("## My day & more", '<h2 id="my-day--more">My day &amp; more</h2>'),
        ("<script>", "<p>&lt;script&gt;</p>"),
    ],
)
def test_a_guide_is_drawn(text: str, html: str) -> None:
    from app.web.workday.help_pages import _place

    assert html in guide_html.guide(text, _place).html


def test_the_guides_are_pages(crm: Crm) -> None:
    ana, root = crm.client("ana"), crm.client("root")
    page = ana.screen("/help/").text
    assert 'id="my-day"' in page and "**" not in page.partition("help-text")[2] and "/help/admin" not in page
    assert 'id="first-start"' in root.screen("/help/admin").text
    assert ana.screen("/help/admin").status_code == 403
    for name in set(re.findall(r"/help/pictures/[\w.-]+", page)):
        with ana.screen(name) as picture:
            assert picture.mimetype == "image/png"
    assert ana.screen("/help/pictures/..%2Fuser.md").status_code == 404
    assert crm.client(None).screen("/help/pictures/lead.png").status_code == 302
    chapters = re.findall(r'href="#([\w-]+)"', page)
    assert [each for each in chapters if f'id="{each}"' not in page] == []
