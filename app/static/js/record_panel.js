// The values of a record's page, in its right third and above its timeline, are edited in place; what others change appears by itself, and never under somebody's hands.
import { edit } from './value_editor.js';

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const page = $('[data-record]');
const side = $('[data-side]');
const head = () => $('[data-head]');
const PLACES = ':is([data-side], [data-texts])';
const named = (name, within = document) => $(`${PLACES} [data-pair="${CSS.escape(name)}"]`, within);

// --- editing
function start(pair) {
  const { pair: name } = pair.dataset;
  const rest = () => $('.inline-edit', named(name) || pair)?.focus({ preventScroll: true });
  edit($('.inline-value', pair), {
    url: `${side.dataset.base}cell/${side.dataset.id}/${name}`,
    leaves: true,
    rest,
    instead: name === 'status' ? asked : null,
    next: (back) => {
      const pairs = $$('[data-inline]', page);
      const other = pairs[pairs.indexOf(named(name)) + (back ? -1 : 1)];
      if (!other) return false;
      start(other);
      return true;
    },
    began: () => { pair.classList.add('is-edited'); edits(name); },
    ended: () => { pair.classList.remove('is-edited'); edits(''); if (missed) soon(0); },
    saved: () => { own = name; soon(250); },
  });
}
/** The dialog that asks for what a status needs, as the menu in the head does. */
function asked(status) {
  const opener = document.querySelector(`[data-dialog="move-${CSS.escape(status)}"]`);
  return opener && (() => opener.click());
}
const edits = (field) => dispatchEvent(new CustomEvent('crm:edits', { detail: field }));
page?.addEventListener('click', (event) => {
  const pair = event.target.closest('[data-inline]');
  if (!pair || event.target.closest('form')) return;
  const pencil = event.target.closest('.inline-edit');
  if (!pencil && (!event.target.closest('.inline-value') || event.target.closest('a, button') || String(getSelection()))) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  start(pair);
});

// --- what is shown, as it is now
let timer = null, missed = false, own = '';
function soon(wait) { clearTimeout(timer); timer = setTimeout(refresh, wait); }
/** The head again, once nobody is in it: its menus are looked at again; a dialog, which gives the focus back to it, says when it closes. */
function later() {
  const dialog = $('dialog[open]');
  if (dialog) dialog.addEventListener('close', () => soon(0), { once: true }); else soon(2000);
}
const isInUse = () => $('dialog[open]') || $('details[open]', head());
async function refresh() {
  missed = false;
  let made;
  try {
    const answer = await fetch(`${side.dataset.base}panel/${side.dataset.id}`, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin' });
    if (!answer.ok || answer.redirected) return;
    made = document.createElement('template');
    made.innerHTML = await answer.text();
  } catch { return; } // the next change asks again
  if (isInUse()) later(); else swapHead($('[data-head]', made.content));
  swapNext($('[data-next]', made.content));
  swapSide(made.content);
  own = '';
}
// Parts with a life of their own stay: who is here, the way to the next record, a value that is revealed for a moment.
function swapHead(fresh) {
  const old = head();
  const stops = (within) => $$('a[href], button, summary', within);
  const at = stops(old).indexOf(document.activeElement);
  ['[data-presence]', '[data-record-nav]'].forEach((part) => { const kept = $(part, old); if (kept) $(part, fresh)?.replaceWith(kept); });
  $$('[data-strip-item]:has([data-revealed])', old).forEach((item) => $(`[data-strip-item="${item.dataset.stripItem}"]`, fresh)?.replaceWith(item));
  old.replaceChildren(...fresh.childNodes);
  window.htmx?.process(old);
  if (at >= 0) stops(old)[at]?.focus({ preventScroll: true });
}
/** The next steps, unless somebody is in them. */
function swapNext(fresh) {
  const old = $('[data-next]');
  if (old && fresh && !old.contains(document.activeElement)) old.replaceChildren(...fresh.childNodes);
}
function swapSide(fresh) {
  const names = (within) => $$(`${PLACES} [data-pair]`, within).map((pair) => `${pair.dataset.pair}${'inline' in pair.dataset}${Boolean($('[data-reveal]', pair))}`).join();
  if (names(fresh) !== names(document)) { swapAll(fresh); return; }
  $$(`${PLACES} [data-pair]`, fresh).forEach((pair) => swapValue(named(pair.dataset.pair), $('.inline-value', pair)));
  swapParts('[data-related]', fresh);
}
/** Parts of this kind as they are now; those that are loaded by themselves (files, duplicates) stay. */
function swapParts(kind, fresh) {
  const old = $$(kind, side);
  if (old.some((part) => part.contains(document.activeElement) && kind === '[data-related]')) return;
  const mark = document.createComment('');
  if (old.length) old[0].before(mark); else side.append(mark);
  old.forEach((part) => part.remove());
  mark.replaceWith(...$$(kind, fresh));
}
/** Other values than before may be changed or revealed. */
function swapAll(fresh) {
  if ($(`${PLACES} :is([data-cell-form], [data-revealed])`)) { missed = true; return; }
  const at = document.activeElement?.closest(`${PLACES} [data-pair]`)?.dataset.pair;
  $('[data-texts]')?.replaceChildren(...($('[data-texts]', fresh)?.childNodes || []));
  swapParts('[data-values]', fresh);
  swapParts('[data-related]', fresh);
  if (at) $('.inline-edit', named(at) || side)?.focus({ preventScroll: true });
}
function swapValue(pair, fresh) {
  const old = $('.inline-value', pair);
  if ($('[data-cell-form], [data-revealed]', old)) { missed = true; return; }
  if (old.innerHTML === fresh.innerHTML) return;
  const isNews = pair.dataset.pair !== own && !$('time, [data-clock]', fresh) && old.textContent !== fresh.textContent;
  if (old.contains(document.activeElement)) $('.inline-edit', pair)?.focus({ preventScroll: true });
  old.replaceChildren(...fresh.childNodes);
  pair.classList.toggle('is-fresh', isNews);
}
if (side) {
  addEventListener('crm:activity', () => soon(400));
  page.addEventListener('animationend', (event) => event.target.closest('.is-fresh')?.classList.remove('is-fresh'));
}
