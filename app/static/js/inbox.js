// The inbox: the newest message in view, the list kept fresh. The form to answer: message_form.js.
import { arm } from './message_form.js';

const $ = (selector, within = document) => within.querySelector(selector);

// --- what was said: the newest message is in view, and stays so while the reader is at the end
const body = () => $('[data-thread]');
const isAtEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 120;
function toEnd() { const box = body(); if (box && !location.hash.startsWith('#message-')) box.scrollTop = box.scrollHeight; }
let wasAtEnd = true;
document.addEventListener('htmx:beforeSwap', ({ target }) => { if (target.matches?.('[data-thread]')) wasAtEnd = isAtEnd(target); });
document.addEventListener('htmx:afterSettle', () => { if (wasAtEnd) toEnd(); });
// A picture has no height until it is loaded: the newest message stays in view meanwhile, unless the reader scrolls away.
document.addEventListener('scroll', ({ target }) => { if (target.matches?.('[data-thread]')) wasAtEnd = isAtEnd(target); }, true);
document.addEventListener('load', ({ target }) => { if (wasAtEnd && target.matches?.('[data-thread] img')) toEnd(); }, true);
toEnd();

// --- the list: asked again when a conversation or the bell has changed, and every half minute while it is seen
let soon = null;
function refresh() {
  clearTimeout(soon);
  soon = setTimeout(() => {
    const list = $('[data-conversations]');
    if (list && document.visibilityState === 'visible' && !list.contains(document.activeElement)) window.htmx?.ajax('GET', list.dataset.conversations, { target: list, swap: 'outerHTML' });
  }, 300);
}
addEventListener('crm:activity', refresh);
addEventListener('crm:bell', refresh);
document.addEventListener('visibilitychange', refresh);
setInterval(refresh, 30_000);

// --- the form to answer
const write = $('[data-write]');
if (write) {
  const text = arm(write);
  if (text && matchMedia('(min-width: 768px)').matches && !location.hash) text.focus({ preventScroll: true });
}
