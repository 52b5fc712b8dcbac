// Notes: “@” offers the colleagues who may see the record; a note being edited keeps its input.
import { offerList } from './suggestions.js';

offerList({
  name: 'mention',
  rows: 'mention-list',
  option: 'mention-option',
  leading: /(?:^|[^\w@/.+-])@([\w.+-]*)$/u,
  fieldOf: (target) => (target.matches?.('textarea[data-mention]') ? target : null),
  before: (area) => area.value.slice(0, area.selectionStart),
  label: (area) => area.getAttribute('aria-label') || '@',
  url: (area, typed) => {
    const url = new URL(area.dataset.mention, location.href);
    url.searchParams.set('q', typed);
    return url;
  },
  parts: (hit) => [
    Object.assign(document.createElement('span'), { textContent: hit.label }),
    Object.assign(document.createElement('span'), { textContent: `@${hit.hint}`, className: 'quiet' }),
  ],
  choose: (area, hit, typed) => { area.setRangeText(`${hit.hint} `, area.selectionStart - typed.length, area.selectionStart, 'end'); },
});

// --- changing a note in its place
let opening = null; // the note whose form is being loaded
document.addEventListener('htmx:beforeRequest', ({ detail }) => { if (detail.elt.matches?.('.note-edit')) opening = detail.xhr; });
document.addEventListener('htmx:afterRequest', ({ detail }) => { if (detail.xhr === opening) opening = null; });
document.addEventListener('htmx:beforeSwap', (event) => {
  const { target, xhr } = event.detail;
  // A live refresh must not discard what is being typed.
  if (target.matches?.('[data-timeline]') && (opening || target.querySelector('[data-note-form]'))) event.detail.shouldSwap = false;
  const form = event.detail.requestConfig?.elt?.closest?.('[data-note-form]');
  if (!form || event.detail.requestConfig.verb !== 'post' || ![409, 422].includes(xhr.status)) return;
  Object.assign(event.detail, { shouldSwap: true, isError: false, target: form, swapOverride: 'outerHTML' });
});
document.addEventListener('htmx:afterSettle', () => {
  const area = document.querySelector('.timeline [data-note-form] textarea');
  if (!area || area.dataset.met) return;
  area.dataset.met = '1';
  area.focus();
  area.setSelectionRange(area.value.length, area.value.length);
});
