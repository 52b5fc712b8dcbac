"""Errors on the current page of a browser, found by axe and by a few checks of our own."""

from __future__ import annotations

from typing import Any

from tests.servers import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
#: The impacts that are faults here.
IMPACTS = ["serious", "critical"]
#: What axe looks for that depends on colors. All else is the same in the other theme.
OF_COLORS = ["color-contrast", "link-in-text-block"]
#: All rules that are not in trial, then those of colors in the other theme. A rule has one impact: those of others are
#: not run at all.
RUN = """async ([impacts, colors, stays, part]) => {
  const root = document.documentElement, now = root.dataset.bsTheme;
  const usual = (rule) => rule.enabled && !rule.tags.includes('experimental') && !rule.tags.includes('deprecated');
  const told = axe._audit.rules.filter((rule) => usual(rule) && (!rule.impact || impacts.includes(rule.impact)));
  // The colors of a theme are faded in. What turns for ever, or is held, is not waited for.
  const moving = () => document.getAnimations().filter((each) => each.effect?.getComputedTiming().endTime !== Infinity);
  const settled = () => Promise.race([new Promise((done) => setTimeout(done, 2000)),
    Promise.all(moving().map((each) => each.finished.catch(() => null)))]);
  const faults = [];
  const run = async (runOnly) => {
    const { passes, violations } = await axe.run(part ?? document, { runOnly, resultTypes: ['violations'] });
    for (const { impact, id, nodes } of violations.filter((each) => impacts.includes(each.impact)))
      faults.push(...nodes.map((node) => `${location.href} ${root.dataset.bsTheme} ${id}: ${node.html.slice(0, 120)}`));
    return passes.length;
  };
  if (!await run(told.map((rule) => rule.id))) throw new Error('axe has run no rule');
  root.dataset.bsTheme = now === 'dark' ? 'light' : 'dark';
  await settled();
  await run(colors);
  if (stays) {
    root.dataset.bsTheme = now;
    await settled();
  }
  return faults;
}"""
#: Leaves on the page what axe has not seen before; answers how that looks. A look is an element without its words, with
#: its parent; the first of a row, or around the main part, with all that it is in. Two rows of a table may differ by
#: their place, so two of a look stay.
THIN = """(known) => {
  const seen = new Map(known.map((each) => [each, 2])), main = document.querySelector('main');
  const states = ['type', 'role', 'aria-current', 'aria-expanded', 'aria-hidden', 'aria-sort'];
  const look = (one) => [one.tagName, one.getAttributeNames().sort(), one.getAttribute('class'), one.style?.cssText,
    ...states.map((name) => one.getAttribute(name)), one.textContent.trim() && 'text'].join(' ');
  const path = (one) => one ? `${path(one.parentElement)} ${one.tagName}.${one.className}` : '';
  const looks = (root) => [...new Set([`${path(root.parentElement)} > ${look(root)}`,
    ...[...root.querySelectorAll('*')].map((one) => `${look(one.parentElement)} > ${look(one)}`)])];
  const count = (each) => seen.set(each, (seen.get(each) ?? 0) + 1).get(each);
  const around = [...document.body.querySelectorAll('*')].filter((one) =>
    !one.contains(main) && !main.contains(one) && one.parentElement.contains(main));
  const outside = [...new Set(around.flatMap(looks))];
  const empty = (one) => (one.matches('a, button') ? one.remove() : one.replaceChildren()); // its box keeps its place
  if (outside.every((each) => seen.has(each))) around.forEach(empty);
  outside.forEach((each) => seen.set(each, 2));
  for (const row of main.querySelectorAll('tbody tr, li')) {
    if (row.isConnected && Math.min(...looks(row).map(count)) > 2 && !row.matches(':first-child')) row.remove();
  }
  return [...seen].filter(([, times]) => times > 1).map(([each]) => each);
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

#: In a window of a desktop: what is wider than it, or than the part that scrolls, and cells of a list that are cut off.
CUT = """() => [document.documentElement, ...document.querySelectorAll('.list-scroll')]
  .filter((part) => part.scrollWidth > part.clientWidth).map((part) => `${part.tagName} is wider`)
  .concat([...document.querySelectorAll(
      '.rows tbody :is(.col-number, .col-created_on, .kind-phone, .kind-person, .kind-clock)')]
    .filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => `cut off: ${cell.innerText}`))"""
#: On a phone: what is wider than the window.
SIDEWAYS = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('main *')]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1).slice(0, 5)
  .map((one) => one.outerHTML.slice(0, 140)).concat(`${document.documentElement.scrollWidth} > ${innerWidth}`)"""


def thin(page: Any, known: set[str]) -> None:
    """Leave on the page what looks unlike all that is known; that is known then too."""
    known.update(page.evaluate(THIN, sorted(known)))


def faults(page: Any, stays: bool = True, part: str | None = None) -> list[str]:
    """What axe calls serious or critical, of the colors in both themes; with a selector, in that part of the page.

    The page stays in its own theme only if asked to.
    """
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(RUN, [IMPACTS, OF_COLORS, stays, part])
    return found
