// A record's page: copy the number, panes on a phone, keys, the composer's parts.
const $ = (selector) => document.querySelector(selector);

// --- a click on the number copies it
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  try { await navigator.clipboard.writeText(button.dataset.copy); } catch { return; }
  button.classList.add('is-copied');
  dispatchEvent(new CustomEvent('crm:toast', { detail: { text: button.dataset.copied || button.dataset.copy } }));
  setTimeout(() => button.classList.remove('is-copied'), 1200);
});

// --- on a phone the panel is the first tab
const record = $('[data-record]');
function mark() {
  document.querySelectorAll('[data-pane-open]').forEach((tab) => {
    tab.dataset.on = String(tab.dataset.paneOpen === record.dataset.pane && (!tab.dataset.tab || tab.hasAttribute('aria-current')));
  });
}
function pane(name) { record.dataset.pane = name; mark(); }
document.addEventListener('click', (event) => {
  const tab = event.target.closest('[data-pane-open]');
  if (!tab || !record || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (tab.dataset.tab && window.htmx) event.preventDefault();
  pane(tab.dataset.paneOpen);
});
// What was written from the timeline is seen there when the page is back
const WRITTEN = 'crm-written';
const hasWritten = sessionStorage.getItem(WRITTEN) === location.pathname;
sessionStorage.removeItem(WRITTEN);
record?.addEventListener('submit', () => { if (record.dataset.pane === 'timeline') sessionStorage.setItem(WRITTEN, location.pathname); });
if (record) pane(hasWritten || location.search.includes('tab=') || location.hash.startsWith('#entry-') ? 'timeline' : 'details');
addEventListener('crm:pane', ({ detail }) => { if (record) pane(detail); });

// A new window gets the page of the tab, not the part that htmx would fetch.
document.addEventListener('click', (event) => {
  if ((event.ctrlKey || event.metaKey || event.shiftKey) && event.target.closest('.record-tabs [hx-get], .feed-bar [hx-get]')) event.stopPropagation();
}, true);

// --- the tabs of the timeline: which one is open, and how much is in each, as the timeline says that has just come
document.addEventListener('htmx:afterSwap', () => {
  const feed = $('#feed');
  if (!record || !feed || feed.dataset.met) return;
  feed.dataset.met = '1';
  const counts = JSON.parse(feed.dataset.counts || '{}');
  for (const tab of document.querySelectorAll('.record-tabs [data-tab]')) {
    const isOpen = tab.dataset.tab === feed.dataset.tab;
    if (isOpen && !tab.hasAttribute('aria-current')) dispatchEvent(new CustomEvent('crm:fits', { detail: tab.dataset.fits }));
    if (isOpen) tab.setAttribute('aria-current', 'true'); else tab.removeAttribute('aria-current');
    const place = tab.querySelector('[data-count]');
    place.textContent = counts[tab.dataset.tab] || '';
    place.hidden = !place.textContent;
    if (place.textContent || isOpen) tab.hidden = false;
  }
  mark();
});
// A live refresh closes neither filters that are being chosen nor a line that was opened to read.
document.addEventListener('htmx:beforeSwap', (event) => {
  const { target, requestConfig } = event.detail;
  if (target.id !== 'feed' || requestConfig.elt.closest?.('.feed-bar, .record-tabs')) return;
  if (target.querySelector('.feed-filter[open], .entry-fold[open], .entry-rest[open]')) event.detail.shouldSwap = false;
});

// --- keys: each opens or clicks the element with this data-key (S status, A assign, E edit where no email can be written, C call, W WhatsApp); those of the composer: composer.js
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest('input, textarea, select, [contenteditable], dialog, .ts-wrapper, .outcome-form')) return;
  const target = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.matches('details')) { target.open = !target.open; target.querySelector('.menu-item')?.focus(); } else target.click();
});
