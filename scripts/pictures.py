"""Take the pictures of docs/ from the product with demo data; with `--all FOLDER`, one of every page.

`.venv/bin/python scripts/pictures.py` renews docs/pictures. `--all FOLDER` takes every page of PAGES at 1440×900 and
390×844, light and dark, in English and Hindi (`--only leads,inbox`: these pages; `--theme dark --language gu mr`: these
themes and languages; `--plain`: light and English only). Needs what `make setup-test` installs.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.servers import LiveServer, browser_program  # noqa: E402  (the product as tests start it)

PICTURES = ROOT / "docs" / "pictures"
PASSWORD = LiveServer.ADMIN[1]
SELLER, MANAGER, ADMIN = "rohan.parikh", "asha.deshmukh", LiveServer.ADMIN[0]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SIZES = {"wide": WIDE, "phone": PHONE}
COLORS = 128
#: Links from a list to a record: a row, a conversation, or a link in the first cell.
FIRST = "main tbody .row-link, main tbody tr[data-href], main a:has(.inbox-what), main tbody th a[href]"
#: Every page of the menu and of the settings, and records; `first:` opens the first record of a list.
_ADDRESSES = """
/ /dashboard/ /dashboard/mine /dashboard/team /dashboard/calls /dashboard/referrals /dashboard/sla /dashboard/messages
/inbox/ /inbox/?folder=team first:/inbox/?folder=team /leads/ /leads/?layout=board first:/leads/ /leads/add /leads/quick
/tickets/ /tickets/?layout=board first:/tickets/ /tickets/add /customers/ first:/customers/ /customers/add
/complaints/?tab=pending /complaints/ first:/complaints/?tab=all /complaints/add /complaints-disclosure/
/settings/disclosure/ /settings/complaints/ /settings/personal-data/ /settings/complaint-categories/list/
/tasks/ /tasks/?layout=board /tasks/?layout=calendar /tasks/?layout=calendar&span=day /tasks/?layout=calendar&span=month
first:/tasks/?tab=all /tasks/add /calls/ first:/calls/ /calls/add /messages/ /requests/ /campaigns/ /exports/ /imports/
/imports/new /search?q=mehta /views/ /bell/ /bell/choices/ /me/ /phone/ /sessions/ /keys/ /signature/
/users/userinfo/ /help/ /offline/ /settings/ /users/list/ /users/add /roles/list/ /roles/matrix/ /users/can/
/groups/list/ /settings/brand/ /settings/business/ /settings/hours/ /settings/holidays/list/ /turns/ /settings/sla/list/
/settings/lists/ /settings/fields/ /settings/fields/add /settings/legal-holds/ /settings/files/ /reports/
/settings/lead-statuses/list/ /settings/ticket-statuses/list/ /settings/ticket-subjects/list/
/settings/account-types/list/ /settings/lead-sources/list/ /settings/support-pages/list/ /settings/notice-channels/
/settings/message-templates/list/ /settings/channels/ /undelivered/ /mails/ /settings/do-not-disturb/
/settings/caller-ids/ /health/ /self-test/ /jobs/ /queue/ /backups/ /settings/retention/ /webhooks/ /audit/
/reports/new first:/reports/ /settings/legal-holds/new /webhooks/add /campaigns/new /duplicates/ /calls/?tab=orders
/data-requests/ first:/data-requests/ /data-requests/add /breaches/ first:/breaches/ /breaches/add
"""
#: Name -> URL path.
PAGES = {re.sub(r"\W+", "-", address).strip("-") or "day": address for address in _ADDRESSES.split()}


class Shot(NamedTuple):
    """A picture of docs/."""

    path: str
    who: str = MANAGER
    size: dict[str, int] = WIDE
    #: Actions on the page before the picture is taken.
    act: Callable[[Any], None] | None = None


def _palette(page: Any) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("mehta")
    page.wait_for_selector("#palette .palette-item .palette-hint")


def _preview(page: Any) -> None:
    for key in "jjv":
        page.keyboard.press(key)
    page.wait_for_selector(".preview h2")


def _custom_fields(page: Any) -> None:
    """Add some, because the demo data has none."""
    for kind, name in (("choice", "Risk profile"), ("number", "Yearly income"), ("date", "Next review")):
        page.goto(page.url.partition("/settings/")[0] + "/settings/fields/add?record=leads")
        page.fill("[name=label]", name)
        page.select_option("[name=kind]", kind)
        for place, choice in enumerate(("Low", "Medium", "High") if kind == "choice" else ()):
            page.fill(f"[name=choice_label_{place}]", choice)
        page.click("main .form-foot button[type=submit]")
        page.wait_for_load_state("load")


#: Picture of docs/pictures -> how it is taken.
SHOTS = {
    "day": Shot("/", SELLER),
    "dashboard": Shot("/dashboard/"),
    "leads": Shot("/leads/", act=_preview),
    "board": Shot("/leads/?layout=board"),
    "calendar": Shot("/tasks/?layout=calendar", SELLER),
    "lead": Shot("first:/leads/", SELLER),
    "ticket": Shot("first:/tickets/", ADMIN),
    "inbox": Shot("first:/inbox/?folder=team"),
    "palette": Shot("/leads/", act=_palette),
    "phone": Shot("/leads/", SELLER, PHONE),
    "matrix": Shot("/roles/matrix/", ADMIN),
    "channels": Shot("/settings/channels/", ADMIN),
    "custom-fields": Shot("/settings/fields/add", ADMIN, act=_custom_fields),
}


class DemoSite:
    """The product with demo data, and a browser for it."""

    def __init__(self, server: LiveServer, browser: Any) -> None:
        self.server, self.browser = server, browser
        self.cookies: dict[str, Any] = {}

    def open_page(self, who: str, size: dict[str, int], theme: str = "light", language: str = "en") -> Any:
        """A page for this person."""
        options = {"viewport": size, "color_scheme": theme, "is_mobile": size is PHONE, "service_workers": "block"}
        page = self.browser.new_context(**options).new_page()
        if who not in self.cookies:
            page.goto(f"{self.server.url}/login/")
            page.fill("#username", who)
            page.fill("#password", PASSWORD)
            page.click("form[name=login] button[type=submit]")
            page.wait_for_load_state("load")
            self.cookies[who] = page.context.cookies()
        page.context.add_cookies(self.cookies[who])
        page.goto(f"{self.server.url}/lang/{language}")
        return page

    def open(self, page: Any, path: str) -> int:
        """Open a path of PAGES and wait until nothing moves. Returns the status."""
        answer = page.goto(self.server.url + path.removeprefix("first:"))
        if path.startswith("first:"):
            first = page.locator(FIRST).first
            href = first.get_attribute("data-href") or first.get_attribute("href")
            answer = page.goto(self.server.url + str(href))
        page.wait_for_load_state("load")
        page.evaluate("() => document.fonts.ready")
        page.wait_for_timeout(400)  # charts are drawn after the page has loaded
        return int(answer.status)


def small(picture: bytes) -> bytes:
    """The same picture in fewer colors."""
    from PIL import Image

    made = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLORS).save(made, "PNG", optimize=True)
    return made.getvalue()


def take(site: DemoSite, names: list[str]) -> None:
    """Renew these pictures of docs/."""
    for name in names:
        shot = SHOTS[name]
        page = site.open_page(shot.who, shot.size)
        site.open(page, shot.path)
        if shot.act is not None:
            shot.act(page)
            page.wait_for_timeout(300)
        (PICTURES / f"{name}.png").write_bytes(small(page.screenshot()))
        page.context.close()


def take_all(site: DemoSite, folder: Path, names: list[str], options: Any) -> Iterator[str]:
    """Take every page in every theme, size and language; yields a line about each error."""
    looks = [("light", "en")] if options.plain else list(itertools.product(options.theme, options.language))
    sizes = [(word, size) for word, size in SIZES.items() if options.size in (None, word)]
    for (theme, language), (word, size) in itertools.product(looks, sizes):
        page = site.open_page(ADMIN, size, theme, language)
        for name in names:
            status = site.open(page, PAGES[name])
            over = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            page.screenshot(path=folder / f"{name}-{word}-{theme}-{language}.png")
            if status != 200 or over > 0:
                yield f"{PAGES[name]} {word} {theme} {language}: status {status}, {over} px too wide"
        page.context.close()


def main() -> int:
    """Take the pictures. Returns 1 if a page has an error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", metavar="FOLDER", type=Path, help="every page in every look")
    parser.add_argument("--only", metavar="NAMES", default="", help="these pages or pictures, comma-separated")
    parser.add_argument("--plain", action="store_true", help="with --all: light and English only")
    parser.add_argument("--theme", nargs="+", choices=("light", "dark"), default=("light", "dark"), help="with --all")
    parser.add_argument(
        "--language", nargs="+", choices=("en", "hi", "gu", "mr"), default=("en", "hi"), help="with --all"
    )
    parser.add_argument("--size", choices=SIZES, help="with --all: this size only")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    known = PAGES if options.all else SHOTS
    names = [name for name in options.only.split(",") if name] or list(known)
    faults = []
    with tempfile.TemporaryDirectory() as place, LiveServer(Path(place)) as server, sync_playwright() as playwright:
        demo = [sys.executable, "-m", "flask", "--app", "run", "demo", "load", "--password", PASSWORD]
        subprocess.run(demo, cwd=ROOT, env=os.environ | dict(server.environment()), check=True, capture_output=True)  # noqa: S603
        site = DemoSite(server, playwright.chromium.launch(executable_path=browser_program()))
        if options.all is None:
            take(site, names)
        else:
            options.all.mkdir(parents=True, exist_ok=True)
            faults = list(take_all(site, options.all, names, options))
    print("\n".join(faults) or f"{len(names)} taken.")
    return bool(faults)


if __name__ == "__main__":
    raise SystemExit(main())
