// My day: dialogs and focus around the steps (htmx swaps), keyboard shortcuts in a row, and refresh on live events.
import { recentOf } from './recent_records.js';

const QUIET_MS = 400, AGAIN_MS = 1000, MINUTES = 5 * 60_000, NOTE_MS = 20_000;
const dialog = document.querySelector('[data-day-dialog]');
const day = () => document.getElementById('day');
const $$ = (selector, within = day()) => [...within.querySelectorAll(selector)];

// --- restore focus: the same control if its row still exists, else the row in its place
let place = null;
function remember() {
  const row = document.activeElement?.closest('#day [data-row]');
  if (!row) return;
  const part = row.closest('[data-part]');
  const act = document.activeElement.closest('details')?.querySelector('[data-act]') || document.activeElement;
  place = { key: row.dataset.row, act: act.dataset.act, part: part.dataset.part, at: $$('[data-row]', part).indexOf(row) };
}
function restore() {
  if (!place) return;
  const { key, act, part, at } = place;
  place = null;
  const same = document.querySelector(`#day [data-row="${CSS.escape(key)}"]`);
  const rows = $$(`[data-part="${CSS.escape(part)}"] [data-row]`);
  const row = same || rows[Math.min(at, rows.length - 1)] || $$('[data-row]')[0];
  const control = (same && row?.querySelector(`[data-act="${CSS.escape(act || '')}"]`)) || row?.querySelector('[data-act="open"]');
  (control || document.querySelector('[data-undo] button') || document.getElementById('main')).focus({ preventScroll: Boolean(same) });
}

// --- steps and the dialog
const steps = new Set(); // steps in progress; live refreshes must not replace the page meanwhile
document.addEventListener('htmx:beforeRequest', ({ detail: { elt, xhr } }) => {
  if (elt.closest('#day')) remember();
  if (elt.closest('#day, #day-form, [data-undo]')) steps.add(xhr);
});
document.addEventListener('htmx:afterRequest', ({ detail }) => steps.delete(detail.xhr));
document.addEventListener('htmx:beforeSwap', ({ detail }) => {
  // A refresh from before the step; the response of the step is newer. One that waits (htmx_requests.js) moves no focus.
  if (detail.target.id === 'day-parts' && (steps.size || !detail.shouldSwap)) { detail.shouldSwap = false; place = null; }
  // Refused input is returned as the form with the input.
  if (detail.xhr.status === 422 && detail.target.id === 'day-form' && detail.xhr.responseText.includes('day-form-title')) {
    detail.shouldSwap = true;
    detail.isError = false;
  }
});
document.addEventListener('htmx:afterSwap', ({ detail }) => {
  if (detail.target.id === 'day-parts') restore(); // at once: a key that is pressed before it has settled counts, too
  if (detail.target.id === 'day-form') {
    if (!dialog.open) dialog.showModal();
    (dialog.querySelector('[aria-invalid=true]') || dialog.querySelector('textarea, input:not([type=hidden])'))?.focus();
    dialog.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true }));
  }
});
// The swapped #day is a new element: it is there only once the swap has settled.
document.addEventListener('htmx:afterSettle', ({ detail }) => {
  if (detail.target.id === 'day-form' && detail.xhr?.getResponseHeader('HX-Retarget') !== '#day') return;
  if (dialog.open && detail.xhr?.getResponseHeader('HX-Retarget') === '#day') dialog.close();
  restore();
  const notes = document.querySelector('.day-notes .notes');
  if (notes) setTimeout(() => notes.remove(), NOTE_MS);
});
document.addEventListener('htmx:responseError', ({ detail }) => { if (detail.elt.closest('#day')) { place = null; news(); } });

// --- keys in a row: arrows, D done, S put off, N done and next, C call; U takes the last "done" back
const KEYS = { d: 'done', s: 'snooze', n: 'next', c: 'call' };
document.addEventListener('keydown', (event) => {
  const { target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest('input, textarea, select, dialog, .menu-body')) return;
  if (event.key.toLowerCase() === 'u') { document.querySelector('[data-undo]')?.requestSubmit(); return; }
  const row = target.closest('#day [data-row]');
  if (!row || target.closest('details[open]')) return;
  if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    const rows = $$('[data-row]');
    rows[rows.indexOf(row) + (event.key === 'ArrowDown' ? 1 : -1)]?.querySelector('[data-act="open"]').focus();
    event.preventDefault();
    return;
  }
  const control = row.querySelector(`[data-act="${KEYS[event.key.toLowerCase()] || ''}"]`);
  if (!control) return;
  event.preventDefault();
  control.focus();
  control.click();
  if (control.matches('summary')) row.querySelector('.menu-item')?.focus();
});

// --- live events: reload the parts, but not while the person is using them
let waiting = null, missed = false;
const busy = () => steps.size || document.querySelector('details[data-menu][open], dialog[open]')
  || document.activeElement?.matches('input, textarea, select');
function ask() {
  if (document.hidden) { missed = true; return; }
  if (busy()) { waiting = setTimeout(ask, AGAIN_MS); return; }
  remember();
  window.htmx?.ajax('GET', day().dataset.day, { target: '#day-parts', select: '#day-parts', swap: 'outerHTML' });
}
function news() { clearTimeout(waiting); waiting = setTimeout(ask, QUIET_MS); }
addEventListener('crm:bell', news);
addEventListener('crm:activity', news);
document.addEventListener('visibilitychange', () => { if (!document.hidden && missed) { missed = false; news(); } });
// What was "later" becomes "soon", and "soon" overdue.
setInterval(news, MINUTES);

// --- beside the work: records opened last
const beside = document.querySelector('[data-day-recent]');
const rows = beside ? recentOf(document.querySelector('[data-offline]').dataset.user).slice(0, 6) : [];
if (rows.length) {
  beside.querySelector('ul').replaceChildren(...rows.map(({ url, text, hint }) => {
    const line = document.createElement('li');
    const link = Object.assign(document.createElement('a'), { href: url, textContent: text });
    link.append(Object.assign(document.createElement('span'), { textContent: hint === text ? '' : hint }));
    line.append(link);
    return line;
  }));
  beside.hidden = false;
}
