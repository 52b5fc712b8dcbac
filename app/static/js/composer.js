// The composer of a record's page: one box with a part for each way to write. A part that is not open keeps what was typed; those that
// are no forms of the page are fetched when they are opened. Letters: N note, T task, C call, W WhatsApp, E email.
const box = document.querySelector('[data-composer]');
const part = (name) => box.querySelector(`[data-compose-part="${CSS.escape(name)}"]`);
const parts = () => [...box.querySelectorAll('[data-compose-part]')];
const toast = (text) => dispatchEvent(new CustomEvent('crm:toast', { detail: { text } }));
const FIELDS = '[contenteditable=true], textarea, input:not([type=hidden], [type=file], [type=radio], [type=checkbox]), input[type=radio]';
const fieldOf = (each) => [...each.querySelectorAll(FIELDS)].find((field) => field.checkVisibility());

function show(name) {
  box.dataset.on = name;
  for (const each of parts()) { each.hidden = each.dataset.composePart !== name; delete each.dataset.closed; }
  for (const tab of box.querySelectorAll('[data-compose][aria-pressed]')) tab.setAttribute('aria-pressed', String(tab.dataset.compose === name));
}

// --- a part that is fetched
function styled() {
  const href = box.dataset.writeCss;
  if (document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  return new Promise((done) => { document.head.append(Object.assign(document.createElement('link'), { rel: 'stylesheet', href, onload: done, onerror: done })); });
}
async function arm(within) {
  const write = within.querySelector('[data-write]:not([data-armed])');
  if (!write) return;
  const [form, files, sms] = await Promise.all([import('./message_form.js'), import('./inbox_files.js'), import('./sms_counter.js')]);
  form.arm(write);
  files.armFiles(write);
  sms.armSms(within);
}
async function load(each) {
  if (each.querySelector('form') || each.dataset.busy) return;
  each.dataset.busy = '1';
  try {
    const address = new URL(each.dataset.partUrl, location.href);
    address.searchParams.set('back', location.pathname + location.search);
    const answer = await fetch(address, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin', redirect: 'error' });
    if (!answer.ok) throw new Error(decodeURIComponent(answer.headers.get('X-Sentence') || ''));
    const [html] = await Promise.all([answer.text(), styled()]);
    each.innerHTML = html;
    window.htmx?.process(each);
    await arm(each);
    each.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true }));
  } catch (refused) {
    if (refused.message && !(refused instanceof TypeError)) toast(refused.message); else location.assign(each.querySelector('a').href);
  } finally { delete each.dataset.busy; }
}

async function compose(name) {
  const each = box && part(name);
  if (!each) return false;
  dispatchEvent(new CustomEvent('crm:pane', { detail: 'timeline' }));
  show(name);
  if (each.dataset.partUrl) await load(each);
  else if (name === 'email' && !each.querySelector('[data-mail]')) { each.querySelector('[data-mail-open]').click(); return true; }
  if (box.dataset.on !== name) return true; // another one was opened meanwhile
  const field = fieldOf(each);
  field?.focus({ preventScroll: true });
  (field || each).scrollIntoView({ block: matchMedia('(max-width: 767.98px)').matches ? 'center' : 'nearest' });
  return true;
}

// What was typed into the part that is open; it stays open then.
const isTouched = (each) => [...each.querySelectorAll('textarea, input:not([type=hidden], [type=radio], [type=checkbox])')].some((field) => field.value !== field.defaultValue) || Boolean(each.querySelector('[data-mail]'));

if (box) {
  const first = part('note') || parts()[0];
  const fits = box.dataset.fits;
  show(part(fits) ? fits : first.dataset.composePart);
  // Another tab of the timeline was opened: the part that fits it, unless something was begun.
  addEventListener('crm:fits', ({ detail }) => {
    const now = part(box.dataset.on);
    if (part(detail) && !(now && isTouched(now))) show(detail);
  });

  document.addEventListener('click', (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const opener = event.target.closest('[data-compose]') || event.target.closest('[data-part-open]');
    const name = opener?.dataset.compose || opener?.closest('[data-compose-part]')?.dataset.composePart;
    if (opener && part(name)) { event.preventDefault(); compose(name); }
    if (event.target.closest('[data-mail-open]') && part('email')) { dispatchEvent(new CustomEvent('crm:pane', { detail: 'timeline' })); show('email'); }
  });

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.defaultPrevented) return;
    if (event.target.closest('input, textarea, select, [contenteditable], dialog, .ts-wrapper, .outcome-form')) return;
    if (document.querySelector('dialog[open]')) return;
    const letter = event.key.toLowerCase();
    const tab = /^[a-z]$/.test(letter) && box.querySelector(`[data-letter="${letter}"]`);
    // C calls where the CRM can call; the part is for calls that were made elsewhere.
    if (!tab || (letter === 'c' && document.querySelector('[data-key="c"][data-dial]'))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    compose(tab.dataset.compose);
  });

  // Escape leaves a field, so that the letters are keys again.
  box.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || event.defaultPrevented || !event.target.matches('textarea, input')) return;
    document.getElementById('main')?.focus({ preventScroll: true });
  });

  // A form that was refused comes back with what was typed and the reason.
  box.addEventListener('htmx:beforeSwap', ({ detail }) => {
    if (![403, 409, 422].includes(detail.xhr.status) || !detail.xhr.responseText.includes('data-write')) return;
    detail.shouldSwap = true;
    detail.isError = false;
  });
  box.addEventListener('htmx:afterSettle', () => {
    for (const each of parts()) { arm(each); each.querySelector('[role=alert]')?.scrollIntoView({ block: 'nearest' }); }
  });

  // --- a note that was not sent is there again after a reload; one that was refused, too
  for (const form of box.querySelectorAll('[data-draft]')) {
    const field = form.querySelector('textarea');
    const key = `crm-draft:${form.getAttribute('action')}`;
    const store = (what) => { try { if (what) sessionStorage.setItem(key, what); else sessionStorage.removeItem(key); } catch { /* private mode */ } };
    let kept = null;
    try { kept = JSON.parse(sessionStorage.getItem(key)); } catch { /* private mode */ }
    const isRefused = Boolean(document.querySelector('[data-notes] .tone-red'));
    if (kept && (!kept.sent || isRefused)) field.value = kept.text; else store('');
    if (kept?.sent) { // the page was loaded by sending it: whoever writes goes on writing
      dispatchEvent(new CustomEvent('crm:pane', { detail: 'timeline' }));
      show('note');
      if (!matchMedia('(pointer: coarse)').matches) field.focus({ preventScroll: true });
    }
    field.addEventListener('input', () => store(field.value && JSON.stringify({ text: field.value })));
    form.addEventListener('submit', () => store(JSON.stringify({ text: field.value, sent: true })));
  }
}
