// A board: a card dragged to another column gets that status at once; if the server refuses, it goes back and says why; if the
// status asks for something, a dialog does. Without a pointer: arrows go from card to card, Shift with ← and → moves it, M chooses.
import { $$, announce, board, cards, cardsOf, columnOf, focus, moves, nameOf, recount, titleOf } from './board_cards.js';
import { next, watch } from './board_more.js';
import './board_refresh.js';
import { lost, open as openDialog, say, sentenceOf, send, show } from './dialogs.js';
import { sortable } from './drag.js';

const mayMove = () => 'moves' in (board()?.dataset || {});

// --- moving: at once, and back with the reason if it is refused
async function move(card, from, to, after = null) {
  const back = () => { const place = cardsOf(from); place.insertBefore(card, after?.parentElement === place ? after : place.firstElementChild); recount(from, 1); recount(to, -1); };
  recount(from, -1);
  recount(to, 1);
  moves.underway += 1;
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
  } catch { back(); say(document.querySelector('[data-toasts]').dataset.offline); } finally { moves.underway -= 1; }
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
      onStart({ item }) { moves.underway += 1; after = item.nextElementSibling; document.documentElement.dataset.dragging = ''; },
      onEnd({ item, from, to }) {
        moves.underway -= 1;
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

arm();
watch();
document.addEventListener('htmx:afterSwap', () => { if (board()) { arm(); watch(); } });
