// Further cards of a column, when its end comes into sight.
import { $$, cards, columnOf } from './board_cards.js';
import { ask, say, sentenceOf } from './dialogs.js';

const watcher = new IntersectionObserver((seen) => seen.filter((each) => each.isIntersecting).forEach((each) => next(each.target)), { rootMargin: '200px' });
export async function next(place) {
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
export function watch() { $$('[data-more]').forEach((place) => watcher.observe(place)); }
