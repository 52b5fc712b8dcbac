// Rows of a list: a click shows the record beside the list, its name opens it; cells are edited in place; columns have the width
// that was chosen; the record's page knows which row comes next.
import { say, sentenceOf, send } from './sheet.js';

const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const list = () => document.querySelector('[data-list]');
const base = () => document.querySelector('[data-list-form]')?.getAttribute('action') || location.pathname;
const get = (url) => fetch(url, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin' });

// --- width of columns
function widths() { $$('[data-list] th[data-width]').forEach((head) => { head.style.width = `${head.dataset.width}px`; }); }

// --- next and previous on the record's page: the order and place of the list, kept for this tab
function remember() {
  const hrefs = $$('[data-list] tr[data-href]').map((row) => row.dataset.href);
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
    panel.setAttribute('aria-label', row.dataset.href);
    document.querySelector('.list-page').append(panel);
  }
  shown?.classList.remove('is-shown');
  shown = row;
  row.classList.add('is-shown');
  const answer = await get(`${row.dataset.base || base()}preview/${row.dataset.id}`);
  if (shown !== row) return;
  if (!answer.ok) { say(sentenceOf(answer)); close(); return; }
  panel.innerHTML = await answer.text();
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
  const row = event.target.closest('[data-list] tr[data-href]');
  if (!row || event.defaultPrevented || event.target.closest('a, button, input, select, label, form, .col-check') || String(getSelection())) return;
  if (event.metaKey || event.ctrlKey) open(row.dataset.href, '_blank', 'noopener');
  else if (!isWide.matches || !row.dataset.id || !document.getElementById('list-views')) location.assign(row.dataset.href);
  else if (row === shown && !panel?.hidden) close();
  else waiting(row);
});
// A second click edits the cell instead.
let timer = null;
function waiting(row) { clearTimeout(timer); timer = setTimeout(() => preview(row), 220); }
document.addEventListener('auxclick', (event) => {
  const row = event.target.closest('[data-list] tr[data-href]');
  if (row && event.button === 1 && !event.target.closest('a, button, input')) open(row.dataset.href, '_blank', 'noopener');
});

// --- one cell edited in place
const heads = (cell) => $$('thead th', cell.closest('table'))[cell.cellIndex];
async function edit(cell) {
  const name = heads(cell)?.dataset.edit;
  const row = cell.closest('tr[data-id]');
  if (!name || !row || cell.querySelector('[data-cell-form]')) return;
  const url = `${base()}cell/${row.dataset.id}/${name}`;
  const answer = await get(url);
  if (!answer.ok) { say(sentenceOf(answer)); return; }
  const before = cell.innerHTML;
  draw(cell, await answer.text(), url, before);
}
function draw(cell, html, url, before) {
  cell.innerHTML = html;
  cell.classList.add('is-edited');
  const form = cell.querySelector('form');
  form.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true }));
  const control = form.querySelector('select, input:not([type=hidden])');
  const restore = () => { cell.innerHTML = before; cell.classList.remove('is-edited'); (cell.closest('tr').querySelector('.first a') || cell).focus(); };
  const save = async (next = null) => {
    if (form.dataset.busy) return;
    form.dataset.busy = '1';
    let result;
    try { result = await send(url, new FormData(form)); } catch { say(document.querySelector('[data-toasts]').dataset.offline); delete form.dataset.busy; return; }
    const text = await result.text();
    if (!result.ok && result.headers.get('X-Sentence')) { say(sentenceOf(result)); restore(); return; }
    if (!result.ok) { draw(cell, text, url, before); return; }
    if (result.headers.get('X-Sentence')) say(sentenceOf(result));
    const isName = cell.querySelector('a.row-link');
    cell.innerHTML = text;
    cell.classList.remove('is-edited');
    cell.classList.toggle('is-missing', Boolean(cell.querySelector('.missing')));
    if (!isName) (cell.closest('tr').querySelector('.first a'))?.focus({ preventScroll: true });
    if (next) edit(next);
  };
  form.addEventListener('submit', (event) => { event.preventDefault(); event.stopPropagation(); save(); });
  form.querySelector('[data-cell-keep]')?.addEventListener('click', () => { location.reload(); });
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') { event.stopPropagation(); restore(); }
    if (event.key === 'Enter' && !event.target.closest('button, .ts-wrapper.dropdown-active')) { event.preventDefault(); save(); }
    if (event.key === 'Tab') {
      const cells = $$('td, th', cell.closest('tr')).filter((each) => heads(each)?.dataset.edit);
      const next = cells[cells.indexOf(cell) + (event.shiftKey ? -1 : 1)];
      event.preventDefault();
      save(next);
    }
  });
  if (control?.tagName === 'SELECT' && !control.dataset.lookup) control.addEventListener('change', () => save());
  else form.addEventListener('change', (event) => { if (event.target.matches('select[data-lookup]') && event.target.value) save(); });
  setTimeout(() => (form.querySelector('.ts-control input') || control)?.focus(), 0);
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
remember();
document.addEventListener('htmx:afterSwap', (event) => { if (event.target.id === 'list' || event.detail.target?.id === 'list') { close(); panel = panel?.isConnected ? panel : null; widths(); setTimeout(remember, 0); } });
document.addEventListener('htmx:pushedIntoHistory', remember);
