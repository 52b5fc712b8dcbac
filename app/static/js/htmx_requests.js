// What all requests of htmx have in common: the token, what is said of refusals, and when their answers wait.
const toast = (text, again = null) => dispatchEvent(new CustomEvent('crm:toast', { detail: { text, again } }));

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
  toast(sentenceOf(xhr));
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
    document.querySelectorAll('[name=csrf_token]').forEach((each) => { each.value = token; });
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
  toast(document.querySelector('[data-toasts]').dataset.unreached, elt.isConnected ? again : null);
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
