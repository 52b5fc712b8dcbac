// A masked value, revealed: the reason is asked for in a dialog, the value stands in its place for some seconds, and then nowhere.
import { open } from './dialogs.js';

const running = new Map(); // the place -> how it looked before

function hide(place) {
  const kept = running.get(place);
  if (!kept) return;
  clearInterval(kept.ticks);
  running.delete(place);
  place.replaceChildren(...kept.nodes);
}
function show(place, html) {
  hide(place);
  const made = document.createElement('template');
  made.innerHTML = html;
  const value = made.content.querySelector('[data-revealed]');
  const left = value.querySelector('.revealed-left');
  let seconds = Number(value.dataset.revealed);
  const nodes = [...place.childNodes];
  place.replaceChildren(value);
  const tick = () => { left.textContent = value.dataset.left.replace('{}', seconds); if (!seconds || !place.isConnected) hide(place); seconds -= 1; };
  running.set(place, { nodes, ticks: setInterval(tick, 1000) });
  tick();
}
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-reveal]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const place = link.closest('dd').querySelector('.strip-value, .inline-value');
  open(link.getAttribute('href'), async (answer) => { show(place, await answer.text()); link.focus({ preventScroll: true }); });
});
// The browser keeps a page that is left: not with the value in it.
addEventListener('pagehide', () => [...running.keys()].forEach(hide));
