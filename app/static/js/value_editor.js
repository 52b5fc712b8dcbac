// One value edited in place: a cell of a list, a value on a record's page. The server draws the editor, and says what is wrong with
// what was typed. Nothing typed gets lost: what isn't saved stays in its editor.
import { say, sentenceOf, send } from './dialogs.js';

const $ = (selector, within) => within.querySelector(selector);
const offline = () => say(document.querySelector('[data-toasts]').dataset.offline);
const told = (form) => new URLSearchParams(new FormData(form)).toString();
/** Editors that are open: form -> whether something in it is not saved. */
const open = new Map();

/** how: url of the editor; rest() takes the focus at the end; next(back) starts a neighbour, false if there is none; leaves = saved
 *  when the focus leaves; instead(value) is what to do instead of saving this value, if anything; began(), ended(), saved(). */
export async function edit(place, how) {
  if ($('[data-cell-form]', place) || place.dataset.opening) return;
  place.dataset.opening = '1';
  try {
    const answer = await fetch(how.url, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin' });
    const html = await answer.text();
    if (!answer.ok || !html.includes('data-cell-form')) { say(sentenceOf(answer)); return; }
    how.began?.();
    draw(place, html, { ...how, before: place.innerHTML });
  } catch { offline(); } finally { delete place.dataset.opening; }
}

/** Says under the editor why it is still open. */
function note(form, sentence) {
  $('.cell-note', form)?.remove();
  form.append(Object.assign(document.createElement('p'), { className: 'cell-note field-error', role: 'alert', textContent: sentence }));
}

function draw(place, html, how) {
  open.delete($('[data-cell-form]', place));
  place.innerHTML = html;
  place.classList.add('is-edited');
  const form = $('form', place);
  form.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true }));
  const control = $('select, textarea, input:not([type=hidden])', form);
  const isConflict = Boolean($('[data-cell-conflict]', form));
  const first = told(form);
  open.set(form, () => how.isRefused || told(form) !== first);

  const end = (shown) => { open.delete(form); place.innerHTML = shown; place.classList.remove('is-edited'); how.ended?.(); };
  const cancel = () => { end(how.before); how.rest(); };
  const save = async (go = how.rest) => {
    if (form.dataset.busy) return;
    if (!how.isRefused && told(form) === first) { end(how.before); go(); return; }
    const other = how.instead?.(control.value);
    if (other) { cancel(); other(); return; }
    form.dataset.busy = '1';
    pending = post(go).finally(() => { delete form.dataset.busy; pending = null; });
    await pending;
  };
  const post = async (go) => {
    let answer, text;
    try { answer = await send(how.url, new FormData(form)); text = await answer.text(); } catch { offline(); return false; }
    if (answer.redirected) { note(form, form.dataset.signedOut); return false; }
    if (!answer.ok && text.includes('data-cell-form')) { draw(place, text, { ...how, isRefused: true }); return false; }
    if (!answer.ok) { note(form, sentenceOf(answer)); return false; }
    if (answer.headers.get('X-Sentence')) say(sentenceOf(answer));
    keepVersions(how.url, answer.headers);
    end(text);
    how.saved?.();
    go();
    return true;
  };

  form.addEventListener('submit', (event) => { event.preventDefault(); event.stopPropagation(); save(); });
  $('[data-cell-keep]', form)?.addEventListener('click', () => { end($('[data-cell-theirs]', form).innerHTML); how.saved?.(); how.rest(); });
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') { event.stopPropagation(); cancel(); }
    if (event.key === 'Enter' && !event.ctrlKey && !event.target.closest('button, textarea, .ts-wrapper.dropdown-active')) { event.preventDefault(); save(); }
    if (event.key === 'Tab' && !isConflict) { event.preventDefault(); save(() => { if (how.next(event.shiftKey) === false) how.rest(); }); }
  });
  // What is chosen by pointer is meant; the arrow keys pass by values that are not, until Enter, Tab or the focus says so.
  const isPick = control?.matches('select[data-lookup]');
  let isByKey = false;
  ['keydown', 'pointerdown'].forEach((kind) => form.addEventListener(kind, () => { isByKey = kind === 'keydown'; }, true));
  if (!isConflict) form.addEventListener('change', (event) => {
    if (!event.target.matches('select, [type=checkbox]') || (isPick ? !event.target.value : isByKey)) return;
    save();
  });
  // What is picked in the browser's own calendar or in the list below the field is still within the editor.
  if (how.leaves && !isConflict) form.addEventListener('focusout', () => setTimeout(() => {
    const now = document.activeElement;
    if (!form.isConnected || !document.hasFocus() || form.contains(now) || now?.closest('.ts-dropdown')) return;
    if (!how.isRefused || told(form) !== first) save(() => {});
  }, 0));
  setTimeout(() => { const field = $('.ts-control input', form) || control; field?.focus(); if (!how.isRefused && !field?.matches('textarea')) field?.select?.(); }, 0);
}

// A link that is clicked while a value is on its way waits for it, and isn't followed if it is refused.
let pending = null;
document.addEventListener('click', async (event) => {
  const link = event.target.closest?.('a[href]');
  if (!pending || !link || link.target || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (await pending) link.click();
}, true);

// One's own edits aren't a colleague's: a form that was drawn before them saves on top of them, wherever it is, and waits for one that is
// on its way. If somebody else has saved in between, the versions don't join, and the server refuses the form as ever.
/** Record, as “/leads/12 5” with a version: the version that one's own edit has made of it. */
const own = new Map();
function keepVersions(url, headers) {
  const [, base, id] = new URL(url, location.href).pathname.match(/^(.*\/)cell\/(\d+)\//) || [];
  if (id && headers.get('X-Version')) own.set(`${base}${id} ${headers.get('X-Version-Before')}`, headers.get('X-Version'));
}
function follow(form, version) {
  const [, base, id] = new URL(form.action).pathname.match(/^(\/[^/]+\/).*?(\d+)(?:\/|$)/) || [];
  const next = () => own.get(`${base}${id} ${version.value}`);
  while (next()) version.value = next();
}
addEventListener('submit', async (event) => {
  const form = event.target, version = form.elements.version;
  if (!version) return;
  if (pending) {
    event.preventDefault();
    event.stopImmediatePropagation();
    if (await pending) form.requestSubmit(event.submitter);
  } else follow(form, version);
}, true);
addEventListener('beforeunload', (event) => { if ([...open].some(([form, isDirty]) => form.isConnected && !form.dataset.busy && isDirty())) event.preventDefault(); });
