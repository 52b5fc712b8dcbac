// Keeps a form that could not be sent. Each form gets a key while it is filled in, so that one whose answer was lost is not done twice.
import { changed } from './offline_outbox.js';
import { newKey, store, tell, toast, words, worker } from './offline_state.js';

const FORMS = new RegExp(words.forms);
const pathOf = (url) => new URL(url, location.href).pathname;
const isKept = (form) => form.matches?.('form') && form.method === 'post' && FORMS.test(pathOf(form.getAttribute('action') || location.href));
const away = () => dispatchEvent(new Event('crm:away'));

const keys = new WeakMap();
// The same key until something else is typed; a form that is sent again as it is must not be done again.
document.addEventListener('input', (event) => { if (event.target.form) keys.delete(event.target.form); });
document.addEventListener('change', (event) => { if (event.target.form) keys.delete(event.target.form); });
document.addEventListener('formdata', (event) => {
  const form = event.target;
  if (!isKept(form)) return;
  if (!keys.has(form)) keys.set(form, newKey());
  event.formData.set(words.field, keys.get(form));
});
function labelOf(form, button) {
  const about = form?.closest('[data-row]')?.querySelector('[data-act="open"]') || document.querySelector('.record-name h1') || document.querySelector('h1');
  const act = (button?.textContent || form?.querySelector('button[type=submit]:not(.visually-hidden), .btn-primary')?.textContent || '').trim();
  return [act || button?.title, about?.textContent.trim()].filter(Boolean).join(' · ').slice(0, 160);
}
async function keep(url, data, label) {
  const fields = data.filter(([name, value]) => typeof value === 'string' && name !== words.field && name !== 'csrf_token');
  const key = data.find(([name]) => name === words.field)?.[1] || newKey();
  const { pathname, search } = new URL(url, location.href);
  const hadFiles = data.some(([, value]) => typeof value !== 'string' && value.size > 0);
  await store.add({ key, user: words.user, url: pathname + search, fields, label, at: Date.now(), tried: navigator.onLine ? Date.now() : null, state: 'waiting', sentence: '', hadFiles });
  toast(words.keeps);
  changed();
  away();
}
// A form that leaves the page is kept by the worker, which learns here what it is called; where there is none, by the page.
// All other forms stay as they are, with what was typed.
export function notSent() {
  document.querySelectorAll('form[data-sent]').forEach((form) => delete form.dataset.sent);
  toast(document.querySelector('[data-toasts]').dataset.unreached);
  away();
}
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== 'post' || form.hasAttribute('hx-post')) return;
  if (!isKept(form)) {
    if (!worker?.controller && !navigator.onLine) { event.preventDefault(); notSent(); }
    return;
  }
  const data = [...new FormData(form, event.submitter)];
  const label = labelOf(form, event.submitter);
  if (worker?.controller) { tell({ kind: 'label', key: keys.get(form), label, user: words.user }); return; }
  if (navigator.onLine) return;
  event.preventDefault();
  delete form.dataset.sent;
  keep(form.action, data, label).then(() => { keys.delete(form); form.reset(); });
});
document.addEventListener('htmx:sendError', ({ detail }) => {
  const { requestConfig, elt } = detail;
  const form = elt.closest?.('form') || elt;
  if (requestConfig?.verb === 'post' && FORMS.test(pathOf(requestConfig.path)) && requestConfig.formData) {
    keep(requestConfig.path, [...requestConfig.formData.entries()], labelOf(form, requestConfig.triggeringEvent?.submitter)).then(() => {
      keys.delete(form);
      elt.closest('[data-row]')?.setAttribute('data-waits', '');
      elt.closest('dialog')?.close();
    });
    return;
  }
  if (requestConfig && requestConfig.verb !== 'get') toast(document.querySelector('[data-toasts]').dataset.offline);
  away();
});
