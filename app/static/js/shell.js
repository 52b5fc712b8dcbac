// The shell: menu, drawer, look, dialogs that ask, notes and toasts. Everything is found by data- attributes.
const root = document.documentElement;
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const keep = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };

// --- look: theme, density, folded menu
const LOOK = { themeChoice: ['theme', 'system'], densityChoice: ['density', 'comfortable'] };
function pressed() {
  for (const [name, [key, other]] of Object.entries(LOOK)) {
    let now = other;
    try { now = localStorage.getItem(key) || other; } catch { /* private mode */ }
    const attribute = name.replace(/[A-Z]/g, (sign) => `-${sign.toLowerCase()}`);
    $$(`[data-${attribute}] button`).forEach((button) => button.setAttribute('aria-pressed', String(button.value === now)));
  }
}
document.addEventListener('click', (event) => {
  const box = event.target.closest('[data-theme-choice], [data-density-choice]');
  const button = event.target.closest('button');
  if (!box || !button) return;
  keep('themeChoice' in box.dataset ? 'theme' : 'density', button.value);
  dispatchEvent(new Event('crm:look'));
  pressed();
});
pressed();

// --- tabs: on a narrow screen, the one of this page is in sight
for (const tab of $$('.tabs [aria-current]')) {
  const bar = tab.parentElement, place = tab.getBoundingClientRect(), frame = bar.getBoundingClientRect();
  if (place.right > frame.right) bar.scrollLeft += place.right - frame.right + 16;
}

// --- sidebar and drawer
function drawer(open) {
  if (open) root.dataset.drawer = 'open'; else delete root.dataset.drawer;
  if (open) document.querySelector('#sidebar a')?.focus();
}
document.addEventListener('click', (event) => {
  if (event.target.closest('[data-sidebar-toggle]')) {
    keep('sidebar', root.dataset.sidebar === 'folded' ? 'open' : 'folded');
    dispatchEvent(new Event('crm:look'));
  }
  const opener = event.target.closest('[data-drawer-open]');
  if (opener) { event.preventDefault(); drawer(true); }
  if (event.target.closest('[data-drawer-close]')) { event.preventDefault(); drawer(false); }
  if (event.target.closest('[data-dismiss]')) {
    event.target.closest('.note, .toast-note')?.remove();
    document.getElementById('main')?.focus({ preventScroll: true });
  }
});

// --- menus are <details>: one open at a time, closed from outside and by Escape
document.addEventListener('click', (event) => {
  $$('details[data-menu][open]').forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    const menu = event.target.closest?.('details[data-menu][open]');
    if (menu) { menu.open = false; menu.querySelector('summary').focus(); }
    if (root.dataset.drawer) { drawer(false); document.querySelector('[data-drawer-open]')?.focus(); }
  }
  if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    const menu = event.target.closest?.('details[data-menu][open]');
    if (!menu || event.target.closest('input, select, textarea, .ts-wrapper')) return;
    const items = $$('.menu-item, .bell-item a', menu);
    const next = items.indexOf(document.activeElement) + (event.key === 'ArrowDown' ? 1 : -1);
    items[(next + items.length) % items.length]?.focus();
    event.preventDefault();
  }
});

// --- what the palette remembers ends with the session, however that ended
if (document.body.classList.contains('signed-out')) { try { localStorage.removeItem('recent'); } catch { /* private mode */ } }

// --- confirm irreversible actions: data-confirm on a submit button or a form
const asking = document.getElementById('confirm');
function ask(sentence, danger) {
  asking.querySelector('[data-confirm-text]').textContent = sentence;
  const ok = asking.querySelector('[data-confirm-ok]');
  ok.classList.toggle('btn-danger', danger);
  ok.classList.toggle('btn-primary', !danger);
  asking.returnValue = '';
  asking.showModal();
  return new Promise((tell) => asking.addEventListener('close', () => tell(asking.returnValue === 'ok'), { once: true }));
}
document.addEventListener('submit', async (event) => {
  const form = event.target;
  const button = event.submitter;
  const sentence = button?.dataset.confirm || form.dataset.confirm;
  if (!sentence || form.dataset.confirmed) return;
  if (!asking) { if (!confirm(sentence)) event.preventDefault(); return; } // the dialogs didn't come
  event.preventDefault();
  event.stopImmediatePropagation();
  const danger = 'danger' in (button?.dataset || {}) || button?.classList.contains('is-danger') || 'danger' in form.dataset;
  if (!(await ask(sentence, danger))) return;
  form.dataset.confirmed = '1';
  form.requestSubmit(button);
  delete form.dataset.confirmed;
}, true);

// --- a dialog that is fetched when it is first opened; again only under another address, such as that of a newer version
const asked = new Map();
async function fetched(opener) {
  const { dialog: id, dialogUrl: url } = opener.dataset;
  if (!asked.has(url)) asked.set(url, fetch(url, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin' }).then(async (answer) => {
    if (!answer.ok || answer.redirected) throw Object.assign(new Error(), { sentence: decodeURIComponent(answer.headers.get('X-Sentence') || '') });
    document.getElementById(id)?.remove();
    document.body.insertAdjacentHTML('beforeend', await answer.text());
    return document.getElementById(id);
  }));
  try { const dialog = await asked.get(url); if (dialog.isConnected) return dialog; } catch (refused) {
    const text = refused.sentence || document.querySelector('[data-toasts]').dataset.unreached;
    dispatchEvent(new CustomEvent('crm:toast', { detail: { text, again: refused.sentence ? null : () => opener.click() } }));
  }
  asked.delete(url);
  return null;
}

// --- what a narrow place cuts off, and what an icon of a row means, is told by a tooltip
const CUT = '.clip, .state-label, .rows :is(.state, .row-link, .lines, .person > span), .rows td:not(:has(> :not(i)))';
document.addEventListener('pointerover', ({ target }) => {
  const sign = target.closest?.('.row-call, .row-edit');
  if (sign) sign.title ||= sign.ariaLabel;
  const link = target.closest?.('a.side-link');
  if (link) link.title = root.dataset.sidebar === 'folded' ? link.querySelector('span').textContent : '';
  const cut = target.closest?.(CUT);
  if (cut && !cut.title && (cut.scrollWidth > cut.clientWidth || cut.scrollHeight > cut.clientHeight + 3)) cut.title = cut.textContent;
});

// --- dialogs: data-dialog="id" opens, data-dialog-close closes; fields of a closed dialog are not sent
document.addEventListener('click', async (event) => {
  const opener = event.target.closest('[data-dialog]');
  const isFetched = Boolean(opener?.dataset.dialogUrl);
  if (isFetched && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
  if (isFetched) event.preventDefault();
  const dialog = isFetched ? await fetched(opener) : opener && document.getElementById(opener.dataset.dialog);
  if (dialog) {
    event.preventDefault();
    $$('[data-dialog-fields]', dialog).forEach((fields) => { fields.disabled = false; });
    opener.closest('details[data-menu]')?.removeAttribute('open');
    if (!dialog.open) dialog.showModal();
    dialog.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true }));
    dialog.addEventListener('close', () => {
      $$('[data-dialog-fields]', dialog).forEach((fields) => { fields.disabled = true; });
      if (!opener.checkVisibility()) opener.closest('details')?.querySelector('summary').focus(); // its menu is closed by now
    }, { once: true });
  }
  if (event.target.closest('dialog [data-dialog-close]')) { event.preventDefault(); event.target.closest('dialog').close(); }
});

// --- htmx: send the CSRF token with every change; show refusals
document.addEventListener('htmx:configRequest', (event) => {
  const token = document.querySelector('meta[name="csrf-token"]')?.content;
  if (token && event.detail.verb !== 'get') event.detail.headers['X-CSRFToken'] = token;
});
function sentenceOf(xhr) {
  const sent = xhr.getResponseHeader('X-Sentence'); // percent-encoded, see sentence_header in app/web/core/fab_access.py
  try { return decodeURIComponent(sent || '') || String(xhr.status); } catch { return sent; }
}
document.addEventListener('htmx:responseError', ({ detail: { xhr } }) => {
  if (xhr.getResponseHeader('X-Page-Expired')) dispatchEvent(new Event('crm:expired'));
  toast({ text: sentenceOf(xhr) });
});

// --- a page whose token is no longer valid gets a new one as soon as its person is signed in (expired_forms.py)
let isExpired = Boolean(document.querySelector('[data-expired]'));
async function renew() {
  if (!isExpired) return;
  try {
    const answer = await fetch('/offline/state', { headers: { Accept: 'application/json' }, credentials: 'same-origin', cache: 'no-store' });
    const { user, token } = await answer.json();
    const own = document.querySelector('[data-offline]')?.dataset.user;
    if (!token || (own && own !== String(user))) return;
    const meta = document.querySelector('meta[name="csrf-token"]');
    if (meta) meta.content = token;
    $$('[name=csrf_token]').forEach((each) => { each.value = token; });
    isExpired = false;
  } catch { /* without a connection */ }
}
addEventListener('crm:expired', () => { isExpired = true; renew(); });
addEventListener('focus', renew);
document.addEventListener('visibilitychange', renew);
// What a person has asked for can be asked again; what refreshes itself does so by itself, and offline.js tells what was not saved.
document.addEventListener('htmx:sendError', ({ detail: { requestConfig: { verb, triggeringEvent } = {}, elt } }) => {
  if (verb !== 'get' || !triggeringEvent) return;
  const again = () => { if (triggeringEvent.type === 'submit') elt.requestSubmit(); else elt.dispatchEvent(new Event(triggeringEvent.type, { bubbles: true, cancelable: true })); };
  toast({ text: document.querySelector('[data-toasts]').dataset.unreached, again: elt.isConnected ? again : null });
});

// --- what refreshes itself waits while somebody uses what it would replace: a click counts only if it begins and ends on the same
// element; a menu would close, and a field lose what was typed
let held = null;
const waiting = new WeakSet(); // elements whose refresh waits
const release = () => dispatchEvent(new Event('crm:released'));
addEventListener('pointerdown', ({ target }) => { held = target; }, true);
for (const name of ['pointerup', 'pointercancel']) addEventListener(name, () => setTimeout(() => { held = null; release(); }), true);
document.addEventListener('toggle', () => setTimeout(release), true);
addEventListener('focusout', () => setTimeout(release));
function isUsed(target, isAsked) {
  if (target.contains(held)) return true;
  if (isAsked) return false; // by the person themselves
  const active = document.activeElement;
  return target.querySelector('details[data-menu][open]') || (target.contains(active) && active.matches('textarea, select, input:not([type=checkbox], [type=radio], [type=file])'));
}
document.addEventListener('htmx:beforeSwap', ({ detail }) => {
  const { target, requestConfig: { elt, verb, path, triggeringEvent }, select, swapOverride } = detail;
  if (verb !== 'get' || !isUsed(target, Boolean(triggeringEvent))) return;
  detail.shouldSwap = false;
  if (waiting.has(target)) return;
  waiting.add(target);
  const again = { target, swap: swapOverride, ...(select && { select }), ...(elt !== document.body && { source: elt }) };
  addEventListener('crm:released', () => {
    waiting.delete(target);
    if (target.isConnected) window.htmx.ajax('GET', path, again);
  }, { once: true });
});

// --- toasts: dispatchEvent(new CustomEvent('crm:toast', {detail: {text, url, again}})); `again`: what “Try again” does
// An open dialog covers the page, and nothing beside it can be clicked: what is said then stands in it.
function placeOf(home) {
  const dialog = [...document.querySelectorAll('dialog:modal')].at(-1);
  if (!dialog) return home;
  let place = dialog.querySelector(':scope > .toasts');
  if (!place) {
    place = Object.assign(document.createElement('div'), { className: 'toasts', role: 'status' });
    dialog.append(place);
    dialog.addEventListener('close', () => { home.append(...place.children); place.remove(); }, { once: true });
  }
  return place;
}
// The number of a record stays on one line (html_parts.py: whole).
function whole(text) {
  const pieces = String(text).split(/\b([A-Z]+(?:-[A-Z]+)?-\d{4}-\d{4,})\b/);
  return pieces.map((piece, at) => (at % 2 ? Object.assign(document.createElement('span'), { className: 'whole', textContent: piece }) : piece));
}
// How long a toast stays, in ms; one with a button stays longer.
const SHOWN = 8000, SHOWN_WITH_BUTTON = 20_000;

function toast({ text, url, again }) {
  const home = document.querySelector('[data-toasts]');
  if (!home || !text) return;
  const note = document.createElement(url ? 'a' : 'div');
  note.className = 'toast-note';
  const words = document.createElement('span');
  words.append(...whole(text));
  note.append(words);
  if (url) note.href = url;
  if (again) {
    const button = Object.assign(document.createElement('button'), { type: 'button', className: 'btn btn-small', textContent: home.dataset.again });
    button.addEventListener('click', () => { note.remove(); again(); });
    note.append(button);
  }
  document.querySelectorAll('.toast-note').forEach((old) => { if (old.textContent === note.textContent) old.remove(); });
  placeOf(home).append(note);
  setTimeout(() => note.remove(), again ? SHOWN_WITH_BUTTON : SHOWN);
}
addEventListener('crm:toast', (event) => toast(event.detail));

// A picture of a person that can't be loaded gives way to their initials.
function initialsFor(face) {
  const made = Object.assign(document.createElement('span'), { className: face.className, textContent: face.dataset.initials || '?', title: face.title });
  made.setAttribute('aria-hidden', 'true');
  face.replaceWith(made);
}
addEventListener('error', (event) => { if (event.target.matches?.('img.avatar-round')) initialsFor(event.target); }, true);
document.querySelectorAll('img.avatar-round').forEach((face) => { if (face.complete && !face.naturalWidth && face.currentSrc) initialsFor(face); });
