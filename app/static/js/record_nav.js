// Next and previous record, in the order of the list from which this one was opened: K and J, or the arrows in the head.
import { ask, say, sentenceOf } from './dialogs.js';

const place = document.querySelector('[data-record-nav]');
const key = place && `crm-list:${place.dataset.recordNav}`;
const read = () => { try { return JSON.parse(sessionStorage.getItem(key)); } catch { return null; } };
const here = decodeURI(location.pathname);

async function more(kept, side) {
  const answer = await ask(kept[side], () => go(side === 'next' ? 1 : -1));
  if (!answer?.ok) { if (answer) say(sentenceOf(answer)); return null; }
  const made = document.createElement('template');
  made.innerHTML = answer.html;
  const hrefs = [...made.content.querySelectorAll('tbody tr')].map((row) => row.dataset.href || row.querySelector('a.row-link')?.getAttribute('href')).filter(Boolean);
  const link = made.content.querySelector(`.pager [rel=${side}]`)?.getAttribute('href') || null;
  if (side === 'next') kept.hrefs.push(...hrefs); else kept.hrefs.unshift(...hrefs);
  kept[side] = link;
  try { sessionStorage.setItem(key, JSON.stringify(kept)); } catch { /* private mode */ }
  return kept;
}
async function go(step) {
  let kept = read();
  let at = kept.hrefs.indexOf(here);
  if (!kept.hrefs[at + step] && kept[step > 0 ? 'next' : 'prev']) { kept = await more(kept, step > 0 ? 'next' : 'prev') || kept; at = kept.hrefs.indexOf(here); }
  if (kept.hrefs[at + step]) location.assign(kept.hrefs[at + step]);
}
const kept = place && read();
const at = kept ? kept.hrefs.indexOf(here) : -1;
if (at >= 0) {
  const [back, forth] = place.querySelectorAll('button');
  place.hidden = false;
  back.disabled = at === 0 && !kept.prev;
  forth.disabled = at === kept.hrefs.length - 1 && !kept.next;
  back.addEventListener('click', () => go(-1));
  forth.addEventListener('click', () => go(1));
  // The way back leads to the list as it was.
  document.querySelectorAll('.crumbs a').forEach((link) => { if (link.getAttribute('href') === place.dataset.recordNav) link.href = kept.url; });
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, [contenteditable], dialog, .ts-wrapper')) return;
    if (event.key === 'j') { event.preventDefault(); go(1); }
    if (event.key === 'k') { event.preventDefault(); go(-1); }
  });
}
