// A board: a card dragged to another column gets that status at once; if the server refuses, it goes back and says why; if the
// status asks for something, a dialog does. Without a pointer: arrows go from card to card, Shift with ← and → moves it, M chooses.
import { ask, lost, open as openDialog, say, sentenceOf, send, show } from './dialogs.js';
import { sortable } from './drag.js';

const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const board = () => document.querySelector('[data-board]');
const columnOf = (card) => card.closest('[data-column]');
const cardsOf = (column) => column.querySelector('[data-cards]');
const cards = (column) => $$('[data-card]', column);
const mayMove = () => 'moves' in (board()?.dataset || {});
let busy = 0; // moves on their way: nothing is redrawn meanwhile

function recount(column, by) {
  const place = column.querySelector('[data-column-count]');
  const now = Number(place.textContent.replace(/[^0-9]/g, ''));
  if (!place.textContent.includes('+')) place.textContent = (now + by).toLocaleString('en-IN');
  column.classList.toggle('is-empty', !cards(column).length);
}
function announce(text) { const place = document.querySelector('[data-board-said]'); if (place) place.textContent = text; }
const nameOf = (column) => column.querySelector('.state-label').textContent;
const titleOf = (card) => card.querySelector('.card-title').textContent;

// --- moving: at once, and back with the reason if it is refused
async function move(card, from, to, after = null) {
  const back = () => { const place = cardsOf(from); place.insertBefore(card, after?.parentElement === place ? after : place.firstElementChild); recount(from, 1); recount(to, -1); };
  recount(from, -1);
  recount(to, 1);
  busy += 1;
  const form = new FormData();
  form.set('status', to.dataset.column);
  form.set('from', from.dataset.column);
  const url = `${board().dataset.base}board/move/${card.dataset.card}`;
  try {
    const answer = await send(url, form);
    if (answer.headers.get('X-Needs') && answer.ok) {
      let moved = false;
      const made = show(await answer.text(), async (done) => { moved = true; replace(card, await done.text(), to); });
      await new Promise((closed) => { made.crmClosed = closed; });
      if (!moved) { back(); card.querySelector('.card-title').focus(); }
      return;
    }
    if (!answer.ok) { back(); say(`${titleOf(card)}: ${sentenceOf(answer)}`); announce(sentenceOf(answer)); return; }
    if (answer.headers.get('X-Sentence')) say(sentenceOf(answer));
    replace(card, await answer.text(), to);
  } catch { back(); say(document.querySelector('[data-toasts]').dataset.offline); } finally { busy -= 1; }
}
function replace(card, html, column) {
  const had = card.contains(document.activeElement);
  const made = document.createElement('template');
  made.innerHTML = html.trim();
  const fresh = made.content.firstElementChild;
  if (fresh) card.replaceWith(fresh); else { card.remove(); recount(column, -1); }
  announce(`${titleOf(fresh || card)}: ${nameOf(column)}`);
  if (had) fresh?.querySelector('.card-title').focus();
}

// --- dragging (SortableJS, fetched for boards only)
let after = null;
async function arm() {
  if (!mayMove()) return;
  let Sortable;
  try { Sortable = await sortable(board().dataset.sortable); } catch { lost(arm); return; }
  $$('[data-cards]').filter((place) => !place.crmSortable).forEach((place) => {
    place.crmSortable = new Sortable(place, {
      group: 'board', draggable: '[data-card]', filter: '.card-move', preventOnFilter: false, animation: 120, delay: 180, delayOnTouchOnly: true, ghostClass: 'is-ghost', dragClass: 'is-dragged', emptyInsertThreshold: 40,
      onStart({ item }) { busy += 1; after = item.nextElementSibling; document.documentElement.dataset.dragging = ''; },
      onEnd({ item, from, to }) {
        busy -= 1;
        delete document.documentElement.dataset.dragging;
        if (from !== to) move(item, from.closest('[data-column]'), to.closest('[data-column]'), after);
      },
    });
  });
}

// --- keys and the menu of a card
function go(card, step, isMove) {
  const columns = $$('[data-column]');
  const at = columns.indexOf(columnOf(card));
  let next = columns[at + step];
  if (!isMove) while (next && !cards(next).length) next = columns[columns.indexOf(next) + step];
  if (!next) return;
  if (isMove) {
    const place = card.nextElementSibling;
    cardsOf(next).prepend(card);
    card.querySelector('.card-title').focus();
    card.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    move(card, columns[at], next, place);
  } else focus(cards(next)[Math.min(cards(columns[at]).indexOf(card), cards(next).length - 1)]);
}
function focus(card) { card?.querySelector('.card-title').focus(); card?.scrollIntoView({ block: 'nearest', inline: 'nearest' }); }
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const card = event.target.closest?.('[data-card]');
  if (event.key === 'ArrowDown' && event.target.matches?.('[data-board-columns]')) { event.preventDefault(); focus(event.target.querySelector('[data-card]')); }
  if (!card) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) { event.preventDefault(); if (!event.shiftKey || mayMove()) go(card, step, event.shiftKey); }
  const line = { ArrowUp: -1, ArrowDown: 1, k: -1, j: 1 }[event.key];
  if (line) { event.preventDefault(); event.stopPropagation(); const every = cards(columnOf(card)); focus(every[every.indexOf(card) + line]); }
  if (event.key === 'm') { event.preventDefault(); choose(card); }
});
async function choose(card) {
  const link = card.querySelector('[data-card-move]');
  if (!link) return;
  const form = await openDialog(link.href, null, () => choose(card));
  form?.addEventListener('click', (event) => {
    const button = event.target.closest('[data-move-form] button[name=status]');
    if (!button) return;
    event.preventDefault();
    form.close();
    const to = document.querySelector(`[data-column="${CSS.escape(button.value)}"]`);
    // The board may have been drawn anew while the choice was fetched.
    const held = card.isConnected ? card : document.querySelector(`[data-card="${CSS.escape(card.dataset.card)}"]`);
    if (!held) return;
    const from = columnOf(held);
    const place = held.nextElementSibling;
    cardsOf(to).prepend(held);
    move(held, from, to, place);
  });
}
document.addEventListener('click', async (event) => {
  const link = event.target.closest('[data-card-move]');
  if (link && !event.ctrlKey && !event.metaKey) { event.preventDefault(); choose(link.closest('[data-card]')); return; }
  const more = event.target.closest('[data-more-url]');
  if (more) { event.preventDefault(); await next(more.closest('[data-more]')); return; }
  const card = event.target.closest('[data-card]');
  if (card && !event.target.closest('a, button') && !String(getSelection())) card.querySelector('.card-title').click();
});

// --- further cards, when the end of a column comes into sight
const watcher = new IntersectionObserver((seen) => seen.filter((each) => each.isIntersecting).forEach((each) => next(each.target)), { rootMargin: '200px' });
async function next(place) {
  const link = place?.querySelector('[data-more-url]');
  if (!link || 'asked' in place.dataset) return;
  place.dataset.asked = '';
  watcher.unobserve(place);
  const answer = await ask(link.dataset.moreUrl, () => next(place));
  if (!answer?.ok) { if (answer) say(sentenceOf(answer)); delete place.dataset.asked; return; }
  const known = new Set(cards(columnOf(place)).map((card) => card.dataset.card));
  const made = document.createElement('template');
  made.innerHTML = answer.html;
  place.replaceWith(...[...made.content.children].filter((each) => !known.has(each.dataset.card)));
  watch();
}
function watch() { $$('[data-more]').forEach((place) => watcher.observe(place)); }

// --- others' moves: the board is asked again, at most every few seconds, never under the pointer
let due = null;
let asked = Date.now();
addEventListener('crm:board', () => { due ??= setTimeout(redraw, Math.max(600, 4000 - (Date.now() - asked))); });
async function redraw() {
  due = null;
  if (document.visibilityState !== 'visible') { document.addEventListener('visibilitychange', redraw, { once: true }); return; }
  if (busy || document.querySelector('dialog[open]')) { due = setTimeout(redraw, 1000); return; }
  asked = Date.now();
  const made = document.createElement('template');
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin' });
    if (!answer.ok || busy) return;
    made.innerHTML = await answer.text();
  } catch { due ??= setTimeout(redraw, 20_000); return; } // the bar says that the server is away
  for (const fresh of made.content.querySelectorAll('[data-column]')) {
    const old = document.querySelector(`[data-column="${CSS.escape(fresh.dataset.column)}"]`);
    if (!old || old.innerHTML === fresh.innerHTML) continue;
    const held = document.activeElement?.closest?.('[data-card]')?.dataset.card;
    const top = cardsOf(old).scrollTop;
    cardsOf(old).replaceChildren(...cardsOf(fresh).children);
    old.querySelector('[data-column-count]').textContent = fresh.querySelector('[data-column-count]').textContent;
    old.classList.toggle('is-empty', fresh.classList.contains('is-empty'));
    cardsOf(old).scrollTop = top;
    if (held && document.activeElement === document.body) focus(document.querySelector(`[data-card="${held}"]`));
  }
  const total = made.content.querySelector('#list-count');
  if (total) document.getElementById('list-count').textContent = total.textContent;
  watch();
}
arm();
watch();
document.addEventListener('htmx:afterSwap', () => { if (board()) { arm(); watch(); } });
