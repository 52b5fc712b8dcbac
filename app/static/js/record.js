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
function pane(name) {
  record.dataset.pane = name;
  document.querySelectorAll('[data-pane-open]').forEach((tab) => { tab.dataset.on = String(tab.dataset.paneOpen === name); });
}
document.addEventListener('click', (event) => {
  const tab = event.target.closest('[data-pane-open]');
  if (tab && record) { event.preventDefault(); pane(tab.dataset.paneOpen); }
});
if (record) pane(location.search.includes('tab=') ? 'timeline' : 'details');

// --- the composer: note | task, opened by tabs, keys and the bottom bar
function compose(name) {
  if (!record) return;
  pane('timeline');
  document.querySelectorAll('[data-compose-part]').forEach((part) => { part.hidden = part.dataset.composePart !== name; });
  document.querySelectorAll('[data-compose][aria-pressed]').forEach((tab) => tab.setAttribute('aria-pressed', String(tab.dataset.compose === name)));
  const field = $(`[data-compose-part="${name}"] textarea, [data-compose-part="${name}"] input:not([type=hidden])`);
  field?.focus();
  field?.scrollIntoView({ block: 'center' });
}
document.querySelectorAll('[data-compose-part]').forEach((part, at) => { part.hidden = at > 0; });
document.addEventListener('click', (event) => {
  const opener = event.target.closest('[data-compose]');
  if (opener) { event.preventDefault(); compose(opener.dataset.compose); }
});

// --- keys: S status, A assign, E edit, N note, T task, C call, W WhatsApp
const KEYS = { n: () => compose('note'), t: () => compose('task') };
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, [contenteditable], dialog, .ts-wrapper')) return;
  const key = event.key.toLowerCase();
  if (KEYS[key] && record) { event.preventDefault(); KEYS[key](); return; }
  const target = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.matches('details')) { target.open = !target.open; target.querySelector('.menu-item')?.focus(); } else target.click();
});
