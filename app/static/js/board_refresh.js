// Others' moves: the board is asked again, at most every few seconds, never under the pointer or behind a dialog.
import { cardsOf, focus, moves } from './board_cards.js';
import { watch } from './board_more.js';

let due = null;
let asked = Date.now();
addEventListener('crm:board', () => { due ??= setTimeout(redraw, Math.max(600, 4000 - (Date.now() - asked))); });
// A card may be on its way, or wait for a dialog to give the focus back to it.
const isHeld = () => moves.underway || document.querySelector('dialog[open]');
async function redraw() {
  due = null;
  if (document.visibilityState !== 'visible') { document.addEventListener('visibilitychange', redraw, { once: true }); return; }
  if (isHeld()) { due = setTimeout(redraw, 1000); return; }
  asked = Date.now();
  const made = document.createElement('template');
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin' });
    if (!answer.ok) return;
    made.innerHTML = await answer.text();
  } catch { due ??= setTimeout(redraw, 20_000); return; } // the bar says that the server is away
  if (isHeld()) { due ??= setTimeout(redraw, 1000); return; }
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
