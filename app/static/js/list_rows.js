// Rows of a list: a click shows the record beside the list, its name opens it; cells are edited in place; columns have the width
// that was chosen; the record's page knows which row comes next.
import { ask, say, sentenceOf } from './dialogs.js';

const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const list = () => document.querySelector('[data-list]');
// Where a row leads: the link in its first cell, unless that has a link of its own.
const hrefOf = (row) => row?.dataset.href || row?.querySelector('a.row-link')?.getAttribute('href') || '';
const base = () => document.querySelector('[data-list-form]')?.getAttribute('action') || location.pathname;

// --- width of columns
function widths() { $$('[data-list] th[data-width]').forEach((head) => { head.style.width = `${head.dataset.width}px`; }); }

// --- on a phone, where the heads are not shown, some cells say what they are (list.css)
const LABELLED = ':is(.kind-moment, .kind-date, .kind-flag, .kind-number, tr:has(.kind-person ~ .kind-person) .kind-person)';
const isNarrow = matchMedia('(max-width: 767.98px)');
function labels() {
  if (isNarrow.matches) for (const cell of $$(`[data-list] tbody ${LABELLED}`)) cell.dataset.label ||= heads(cell).textContent.trim();
}
isNarrow.addEventListener('change', labels);

// --- next and previous on the record's page: the order and place of the list, kept for this tab
function remember() {
  const hrefs = $$('[data-list] tbody tr').map(hrefOf).filter(Boolean);
  if (!hrefs.length) return;
  const kept = { url: location.pathname + location.search, hrefs, next: document.querySelector('.pager [rel=next]')?.getAttribute('href') || null, prev: document.querySelector('.pager [rel=prev]')?.getAttribute('href') || null };
  try { sessionStorage.setItem(`crm-list:${base()}`, JSON.stringify(kept)); } catch { /* private mode */ }
}

// --- the record beside its list
let panel = null;
let shown = null;
async function preview(row) {
  if (!panel) {
    panel = Object.assign(document.createElement('aside'), { className: 'preview', tabIndex: -1 });
    panel.setAttribute('aria-label', hrefOf(row));
    document.querySelector('.list-page').append(panel);
  }
  shown?.classList.remove('is-shown');
  shown = row;
  row.classList.add('is-shown');
  const answer = await ask(`${row.dataset.base || base()}preview/${row.dataset.id}`, () => preview(row));
  if (shown !== row) return;
  if (!answer?.ok) {
    if (answer) say(sentenceOf(answer));
    if (!close()) { row.classList.remove('is-shown'); shown = null; }
    return;
  }
  panel.innerHTML = answer.html;
  panel.hidden = false;
  panel.setAttribute('aria-label', panel.querySelector('h2')?.textContent || '');
}
function close() {
  if (!panel || panel.hidden) return false;
  panel.hidden = true;
  shown?.classList.remove('is-shown');
  shown?.querySelector('a')?.focus();
  shown = null;
  return true;
}
// An item of a calendar is shown as a row is.
addEventListener('crm:preview', (event) => { if (!isWide.matches) location.assign(event.detail.dataset.href); else if (event.detail === shown && !panel?.hidden) close(); else preview(event.detail); });
const isWide = matchMedia('(min-width: 768px)');
document.addEventListener('click', (event) => {
  if (event.target.closest('[data-preview-close]')) close();
  const row = event.target.closest('[data-list] tbody tr');
  if (!hrefOf(row) || event.defaultPrevented || event.target.closest('a, button, input, select, label, form, .col-check') || String(getSelection())) return;
  if (event.metaKey || event.ctrlKey) open(hrefOf(row), '_blank', 'noopener');
  else if (!isWide.matches || !row.dataset.id || !document.getElementById('list-views')) location.assign(hrefOf(row));
  else if (row === shown && !panel?.hidden) close();
  else waiting(row);
});
// A second click edits the cell instead.
let timer = null;
function waiting(row) { clearTimeout(timer); timer = setTimeout(() => preview(row), 220); }
document.addEventListener('auxclick', (event) => {
  const row = event.target.closest('[data-list] tbody tr');
  if (hrefOf(row) && event.button === 1 && !event.target.closest('a, button, input')) open(hrefOf(row), '_blank', 'noopener');
});

// --- one cell edited in place
const heads = (cell) => $$('thead th', cell.closest('table'))[cell.cellIndex];
function edit(cell) {
  const name = heads(cell)?.dataset.edit;
  const row = cell.closest('tr[data-id]');
  if (!name || !row) return false;
  const how = {
    url: `${base()}cell/${row.dataset.id}/${name}`,
    rest: () => (row.querySelector('.first a') || cell).focus({ preventScroll: true }),
    next: (back) => {
      const cells = $$('td, th', row).filter((each) => heads(each)?.dataset.edit);
      const other = cells[cells.indexOf(cell) + (back ? -1 : 1)];
      return other ? edit(other) : false;
    },
    saved: () => cell.classList.toggle('is-missing', Boolean(cell.querySelector('.missing'))),
  };
  import('./value_editor.js').then(({ edit: editPlace }) => editPlace(cell, how), () => say(document.querySelector('[data-toasts]').dataset.offline));
  return true;
}
document.addEventListener('dblclick', (event) => {
  const cell = event.target.closest('[data-list] tr[data-id] > td');
  if (!cell || event.target.closest('a, button, input, select')) return;
  clearTimeout(timer);
  getSelection()?.removeAllRanges();
  edit(cell);
});
const typing = (target) => target.closest('input:not([type=checkbox]), textarea, select, [contenteditable], .ts-wrapper, dialog');
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || !(list() || document.querySelector('[data-calendar]'))) return;
  const row = event.target.closest('tr[data-id]');
  if (event.key === 'Escape' && close()) { event.preventDefault(); return; }
  if (!row) return;
  if (event.key === 'F2' || event.key === 'e') {
    const first = $$('td', row).find((cell) => heads(cell)?.dataset.edit);
    if (first) { event.preventDefault(); edit(first); }
  }
  if (event.key === 'v' || (event.key === ' ' && event.target.type !== 'checkbox')) { event.preventDefault(); preview(row); }
});

widths();
labels();
remember();
document.addEventListener('htmx:afterSwap', (event) => { if (event.target.id === 'list' || event.detail.target?.id === 'list') { close(); panel = panel?.isConnected ? panel : null; widths(); labels(); setTimeout(remember, 0); } });
document.addEventListener('htmx:pushedIntoHistory', remember);
