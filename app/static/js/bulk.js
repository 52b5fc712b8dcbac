// What a bulk action asks for, fetched when the first row is chosen; and what it would do, before it is done: asked when its dialog
// opens and whenever something in it changes.
import { say, send, sentenceOf } from './dialogs.js';

const bar = () => document.querySelector('[data-bulk]');

// --- the dialogs: the same for each page of the list, whose bar htmx draws anew
let forms = null;
async function fetchForms() {
  const answer = await fetch(bar().dataset.bulkForms, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin' });
  if (!answer.ok) throw new Error(sentenceOf(answer));
  return answer.text();
}
async function complete() {
  if (!bar()?.querySelector('[data-dialog]') || bar().querySelector('dialog')) return;
  forms ??= fetchForms();
  try {
    const html = await forms;
    if (bar() && !bar().querySelector('dialog')) bar().insertAdjacentHTML('beforeend', html);
  } catch (error) { forms = null; throw error; }
}
document.addEventListener('change', (event) => { if (event.target.closest?.('[data-list] :is([name="rowid"], [data-check-all])')) complete().catch(() => {}); });
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-bulk] [data-dialog]');
  if (!button || document.getElementById(button.dataset.dialog)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  try {
    await complete();
    if (document.getElementById(button.dataset.dialog)) button.click();
  } catch (error) { say(error instanceof TypeError ? document.querySelector('[data-toasts]').dataset.unreached : error.message); }
}, true);

// --- what it would do
async function preview(place, name, fields) {
  const form = new FormData(bar());
  form.set('action', name);
  for (const [key, value] of fields) form.set(key, value);
  const mark = Symbol(name);
  place.crmMark = mark;
  place.dataset.waits = '';
  allow(place, true);
  let html = '';
  let sentence = '';
  try {
    const answer = await send(`${bar().getAttribute('action').replace(/action_post$/, '')}bulk/preview`, form);
    if (answer.ok) html = await answer.text(); else sentence = sentenceOf(answer);
  } catch { sentence = document.querySelector('[data-toasts]').dataset.unreached; }
  if (place.crmMark !== mark) return;
  delete place.dataset.waits;
  if (sentence) place.replaceChildren(Object.assign(document.createElement('p'), { className: 'tone-ink tone-red small', textContent: sentence })); else place.innerHTML = html;
  allow(place, !place.querySelector('[data-none]'));
}
// A dialog that would change nothing can't be confirmed: the preview says why.
function allow(place, may) {
  const dialog = place.closest('dialog');
  const main = dialog.querySelector('[data-ok], button[name=action]');
  if (!may && document.activeElement === main) dialog.querySelector('[data-dialog-close]').focus();
  main.disabled = !may;
}
const isFilled = (dialog) => [...dialog.querySelectorAll('[required]')].every((each) => each.value);
function ask(dialog) {
  const place = dialog.querySelector('[data-bulk-preview]');
  if (!place) return;
  const main = dialog.querySelector('button[name=action]');
  const some = [...dialog.querySelectorAll('select, input, textarea')].some((each) => each.name && each.value);
  if (isFilled(dialog) && some) preview(place, main.value, []); else { place.innerHTML = ''; allow(place, true); }
}
document.addEventListener('crm:shown', (event) => { const dialog = event.target.closest?.('[data-bulk] dialog'); if (dialog) ask(dialog); });
document.addEventListener('change', (event) => { const dialog = event.target.closest?.('[data-bulk] dialog'); if (dialog) ask(dialog); });

// --- actions that ask for nothing get a dialog of their own
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-bulk] button[data-bulk-try]');
  if (!button || button.dataset.sure) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const dialog = document.createElement('dialog');
  dialog.className = 'dialog';
  dialog.setAttribute('aria-label', button.dataset.bulkTry);
  const sure = document.getElementById('confirm');
  dialog.innerHTML = '<h2 class="dialog-title"></h2><p class="quiet"></p><div class="bulk-preview" data-bulk-preview aria-live="polite"></div><div class="dialog-foot"><button type="button" class="btn" data-dialog-close></button><button type="button" class="btn btn-primary" data-ok></button></div>';
  dialog.querySelector('h2').textContent = button.dataset.bulkTry;
  dialog.querySelector('p').textContent = button.dataset.confirm || '';
  dialog.querySelector('[data-dialog-close]').textContent = sure?.querySelector('[value=cancel], [data-confirm-cancel], button:not([data-confirm-ok])')?.textContent || '×';
  const ok = dialog.querySelector('[data-ok]');
  ok.textContent = button.dataset.bulkTry;
  ok.classList.toggle('btn-danger', 'confirm' in button.dataset);
  document.body.append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  ok.addEventListener('click', () => { dialog.close(); button.dataset.sure = '1'; delete button.dataset.confirm; button.click(); });
  dialog.showModal();
  ok.focus();
  preview(dialog.querySelector('[data-bulk-preview]'), button.value, []);
}, true);
