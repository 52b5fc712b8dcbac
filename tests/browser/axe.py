"""What axe, and a few questions of our own, find wrong with the page that a browser shows."""

from __future__ import annotations

from typing import Any

from tests.servers import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
#: The impacts that are faults here.
IMPACTS = ["serious", "critical"]
#: What axe looks for that depends on colours. All else is the same in the other theme.
OF_COLOURS = ["color-contrast", "link-in-text-block"]
#: Let the colours of the other theme arrive: they are faded in. What turns for ever, or is held, is not waited for.
SETTLED = """() => Promise.race([new Promise((done) => setTimeout(done, 2000)), Promise.all(document.getAnimations()
  .filter((each) => each.effect?.getComputedTiming().endTime !== Infinity)
  .map((each) => each.finished.catch(() => null)))])"""
#: Ask axe for the faults that these rules, or all that are not in trial, find. A rule has one impact: those of others
#: are not run at all.
RUN = """([impacts, wanted]) => {
  const usual = (rule) => rule.enabled && !rule.tags.includes('experimental') && !rule.tags.includes('deprecated');
  const rules = axe._audit.rules.filter((rule) => (wanted.length ? wanted.includes(rule.id) : usual(rule)));
  const told = rules.filter((rule) => !rule.impact || impacts.includes(rule.impact)).map((rule) => rule.id);
  return axe.run(document, { resultTypes: ['violations'], runOnly: told });
}"""
#: Sentences about what a person with a screen reader would miss.
FAULTS = """() => {
  const faults = [], all = (selector) => [...document.querySelectorAll(selector)];
  const seen = (one) => one.checkVisibility({ checkVisibilityCSS: true }) && !one.closest('[aria-hidden=true]');
  if (!document.documentElement.lang) faults.push('no language');
  if (all('h1').filter(seen).length !== 1) faults.push(`${all('h1').filter(seen).length} h1`);
  if (all('main').length !== 1) faults.push('not one main');
  if (!document.title.trim()) faults.push('no title');
  const named = (one) => one.labels?.length || one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')
    || one.title;
  all('input:not([type=hidden]), select, textarea').filter((one) => seen(one) && !named(one))
    .forEach((one) => faults.push(`no label: ${one.outerHTML.slice(0, 120)}`));
  all('button, a[href], summary').filter((one) => seen(one) && !one.textContent.trim() && !named(one))
    .forEach((one) => faults.push(`no name: ${one.outerHTML.slice(0, 120)}`));
  all('img:not([alt])').forEach((one) => faults.push(`no alt: ${one.src}`));
  const ids = all('[id]').map((one) => one.id), twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  if (twice.length) faults.push(`twice the same id: ${[...new Set(twice)]}`);
  return faults;
}"""


def faults(page: Any) -> list[str]:
    """What axe calls serious or critical, of the colours in both themes."""
    page.evaluate(AXE.read_text())
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("() => document.documentElement.dataset.bsTheme === 'dark'")
    page.evaluate(SETTLED)
    found += violations(page, *OF_COLOURS)
    page.emulate_media(color_scheme="light")
    return found


def violations(page: Any, *rules: str) -> list[str]:
    """What axe, which the page has loaded, calls serious or critical; by these rules only, if any are named."""
    theme = page.evaluate("() => document.documentElement.dataset.bsTheme")
    found = page.evaluate(RUN, [IMPACTS, rules])
    assert found["passes"] or rules, "axe has run no rule"
    return [
        f"{page.url} {theme} {each['id']}: {node['html'][:120]}"
        for each in found["violations"]
        if each["impact"] in IMPACTS
        for node in each["nodes"]
    ]
