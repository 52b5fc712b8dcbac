// Keys of every page: ? lists the shortcuts, / goes to the search of the list, or opens the palette, J and K move through rows, X selects one.
const typing = (target) => target.closest('input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], .ts-wrapper');
const rows = () => [...document.querySelectorAll('main .rows tbody tr, #day [data-row], .notices .bell-item')].filter((row) => row.checkVisibility());
const link = (row) => row.querySelector('[data-act="open"], .first a, a');

function move(step) {
  const every = rows();
  if (!every.length) return false;
  const at = every.findIndex((row) => row.contains(document.activeElement));
  const next = at < 0 ? (step > 0 ? 0 : every.length - 1) : Math.min(Math.max(at + step, 0), every.length - 1);
  link(every[next])?.focus();
  every[next].scrollIntoView({ block: 'nearest' });
  return true;
}
function choose() {
  const box = rows().find((row) => row.contains(document.activeElement))?.querySelector('[name="rowid"]');
  box?.click();
  return Boolean(box);
}
const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  x: choose,
  p: () => { const place = document.querySelector('[data-card] textarea') || document.querySelector('[data-card] a, [data-card] button'); place?.focus(); return Boolean(place); },
  '/': () => { const field = document.getElementById('list-q'); field?.focus(); field?.select(); if (!field) dispatchEvent(new Event('crm:palette')); return true; },
  '?': () => { document.querySelector('[data-dialog="shortcuts"]')?.click(); return true; },
};
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return;
  if (document.querySelector('dialog[open]') || event.target.closest('details[data-menu][open]')) return;
  if (KEYS[event.key.toLowerCase()]?.()) event.preventDefault();
});
