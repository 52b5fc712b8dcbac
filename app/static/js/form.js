// Forms: passwords, Enter in a dialog, double submits, the first field; pick-lists are in pick_lists.js.
import { boot } from './pick_lists.js';

const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// --- Enter in a dialog means its own main button, not the first of the surrounding form
document.addEventListener('keydown', (event) => {
  const dialog = event.target.closest?.('dialog');
  if (event.key !== 'Enter' || !dialog || event.target.matches('textarea, button, .ts-wrapper input')) return;
  const main = dialog.querySelector('.dialog-foot .btn-primary');
  if (main) { event.preventDefault(); main.click(); }
});
// --- Ctrl+Enter sends a textarea's form
document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && event.target.matches('textarea')) event.target.form?.requestSubmit();
});

// --- whoever chooses a person or role beside a radio button means that button
document.addEventListener('change', (event) => {
  const radio = event.target.matches('select') && event.target.value ? event.target.closest('.choice-with')?.querySelector('input[type=radio]') : null;
  if (radio) radio.checked = true;
});

// --- prevent double submits; enable the button again when the page is restored from the cache
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== 'post') return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = '1';
  setTimeout(() => delete form.dataset.sent, 4000);
});
addEventListener('pageshow', () => $$('form[data-sent]').forEach((form) => delete form.dataset.sent));

// --- browsers cut a pasted text to what fits, without a word
document.addEventListener('paste', ({ target, clipboardData }) => {
  if (!target.matches?.('textarea, input') || !(target.maxLength > 0)) return;
  const pasted = clipboardData?.getData('text/plain').replaceAll('\r\n', '\n') || '';
  const left = target.maxLength - target.value.length + (target.selectionEnd - target.selectionStart);
  const words = document.querySelector('[data-toasts]')?.dataset.cut;
  if (words && pasted.length > left) dispatchEvent(new CustomEvent('crm:toast', { detail: { text: words.replace('{}', pasted.length - left).replace('{most}', target.maxLength) } }));
});

// --- show and hide passwords
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-password-show]');
  if (!button) return;
  const field = button.closest('[data-password]').querySelector('input');
  field.type = field.type === 'password' ? 'text' : 'password';
  button.setAttribute('aria-pressed', String(field.type === 'text'));
});

// --- FAB's date fields get the browser's own picker
$$('.appbuilder_date input').forEach((field) => { field.type = 'date'; });
// --- the summary of errors takes the focus, else the first field of a page that is a form, if one types into it; a phone's keyboard stays away
const summary = document.querySelector('[data-error-summary]');
const first = matchMedia('(pointer: coarse)').matches ? null
  : document.querySelector(':is(.form-page [data-form], .fab-form) :is(input, select, textarea):not([type=hidden], :disabled, [readonly])');
const isTyped = !first?.matches('[type=checkbox], [type=radio]');
const wrong = summary ? null : document.querySelector('main :is([aria-invalid="true"], .is-invalid):not([type=hidden], [hidden])');
(summary || wrong || (isTyped && document.activeElement === document.body ? first : null))?.focus();
boot();
