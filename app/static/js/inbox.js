// The inbox: the newest message in view, the list kept fresh, templates filled in, the 24-hour window counted down.
const $ = (selector, within = document) => within.querySelector(selector);

// --- what was said: the newest message is in view, and stays so while the reader is at the end
const body = () => $('[data-thread]');
const isAtEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 120;
function toEnd() { const box = body(); if (box && !location.hash.startsWith('#message-')) box.scrollTop = box.scrollHeight; }
let wasAtEnd = true;
document.addEventListener('htmx:beforeSwap', ({ target }) => { if (target.matches?.('[data-thread]')) wasAtEnd = isAtEnd(target); });
document.addEventListener('htmx:afterSettle', () => { if (wasAtEnd) toEnd(); });
// A picture has no height until it is loaded: the newest message stays in view meanwhile, unless the reader scrolls away.
document.addEventListener('scroll', ({ target }) => { if (target.matches?.('[data-thread]')) wasAtEnd = isAtEnd(target); }, true);
document.addEventListener('load', ({ target }) => { if (wasAtEnd && target.matches?.('[data-thread] img')) toEnd(); }, true);
toEnd();

// --- the list: asked again when a conversation or the bell has changed, and every half minute while it is seen
let soon = null;
function refresh() {
  clearTimeout(soon);
  soon = setTimeout(() => {
    const list = $('[data-conversations]');
    if (list && document.visibilityState === 'visible' && !list.contains(document.activeElement)) window.htmx?.ajax('GET', list.dataset.conversations, { target: list, swap: 'outerHTML' });
  }, 300);
}
addEventListener('crm:activity', refresh);
addEventListener('crm:bell', refresh);
document.addEventListener('visibilitychange', refresh);
setInterval(refresh, 30_000);

// --- a template: its variables as fields, and the text as it will be sent
const write = $('[data-write]');
function preview() {
  const chosen = $('[data-template]', write)?.selectedOptions[0];
  const shown = $('[data-preview]', write);
  if (!shown) return;
  const text = chosen?.dataset.body || '';
  shown.hidden = !text;
  shown.textContent = text.replace(/\{\{\s*(\w{1,40})\s*\}\}/g, (whole, name) => $(`[name="var.${CSS.escape(name)}"]`, write)?.value.trim() || whole);
}
function fields() {
  const chosen = $('[data-template]', write).selectedOptions[0];
  const box = $('[data-values]', write);
  const names = (chosen?.dataset.names || '').split(' ').filter(Boolean);
  box.replaceChildren(...names.map((name) => {
    const label = Object.assign(document.createElement('label'), { className: 'write-value' });
    const word = Object.assign(document.createElement('span'), { className: 'form-label', textContent: box.dataset.label.replace('{}', name) });
    const field = Object.assign(document.createElement('input'), { className: 'form-control', name: `var.${name}`, maxLength: 300, required: true });
    label.append(word, field);
    return label;
  }));
  const text = $('[data-text]', write);
  if (text) { text.hidden = Boolean(chosen?.value); text.required = !chosen?.value && !$('[name=file]', write); }
  preview();
}
if (write) {
  const text = $('[data-text]', write);
  $('[data-template]', write)?.addEventListener('change', fields);
  write.addEventListener('input', preview);
  if (text) { text.required = !$('[data-template]', write)?.value && !$('[name=file]', write); text.hidden = Boolean($('[data-template]', write)?.value); }
  write.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); write.requestSubmit(); }
  });
  // A second click sends nothing twice; the server knows the form's key, too.
  write.addEventListener('submit', () => { const button = $('[type=submit]', write); setTimeout(() => { button.disabled = true; }); });
  addEventListener('pageshow', () => { const button = $('[type=submit]', write); if ($('[data-text]', write)) button.disabled = false; });
  // What is typed survives a reload and a lost connection, until it is sent.
  const kept = `crm-draft:${write.getAttribute('action')}`;
  if (text && !text.value) { try { text.value = sessionStorage.getItem(kept) || ''; } catch { /* private mode */ } }
  text?.addEventListener('input', () => { try { sessionStorage.setItem(kept, text.value); } catch { /* private mode */ } });
  if (new URLSearchParams(location.search).has('sent')) { try { sessionStorage.removeItem(kept); } catch { /* private mode */ } if (text) text.value = ''; history.replaceState(null, '', location.pathname + location.hash); }
  if (text && matchMedia('(min-width: 768px)').matches && !location.hash) text.focus({ preventScroll: true });
}

// --- the 24-hour window
const left = $('[data-window]');
if (left) {
  const ends = Date.parse(left.dataset.window);
  const tick = () => {
    const minutes = Math.floor((ends - Date.now()) / 60_000);
    if (minutes < 0) { left.textContent = left.dataset.over; return; }
    left.textContent = left.dataset.left.replace('{}', minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes} min`);
  };
  tick();
  setInterval(tick, 20_000);
}
