// Live: one socket per page. New notices update badges and show one toast across tabs; a record's timeline refreshes itself and
// says when it is lost; when the socket is down the page says so and asks for the count every minute.
import { badge, bell } from './live_notices.js';

const root = document.documentElement;
const notice = document.querySelector('[data-live-state]');
const { watchKind, watchId, watchBoard } = document.body.dataset;
const POLL = 60_000;
// A lost socket is tried again after this many milliseconds, at first and at most.
const [RETRY_FROM, RETRY_UP_TO] = [1000, 30_000];
let socket = null;

addEventListener('crm:shown-notice', ({ detail: id }) => socket?.emit('shown', { id }));

// --- somebody else changed the record on this page, or access to it was lost
let soon = null;
// One question for the timeline at a time: an answer for one that was replaced meanwhile would be lost. Whoever opens another tab goes first.
const asking = new Set();
const late = new WeakSet(); // their answers are not shown any more
let isWanted = false;
document.addEventListener('htmx:beforeSend', ({ detail: { xhr, elt, target } }) => {
  if (!target.matches?.('[data-timeline]')) return;
  if (elt !== target) for (const each of asking) { isWanted = true; late.add(each); }
  asking.add(xhr);
  xhr.addEventListener('loadend', () => {
    asking.delete(xhr);
    if (isWanted && !asking.size) { isWanted = false; refresh(); }
  });
});
document.addEventListener('htmx:beforeSwap', ({ detail }) => { if (late.has(detail.xhr)) detail.shouldSwap = false; });
function askAnew() {
  const timeline = document.querySelector('[data-timeline]'); // another one may have come since
  if (asking.size) isWanted = true;
  else if (timeline) window.htmx?.ajax('GET', timeline.dataset.timeline, { source: timeline, target: timeline, swap: 'outerHTML' }).catch(() => { /* offline.js says so */ });
}
function refresh() {
  clearTimeout(soon);
  const sound = [...document.querySelectorAll('[data-timeline] audio')].find((each) => !each.paused);
  if (sound) { sound.addEventListener('pause', refresh, { once: true }); return; } // not while somebody listens
  soon = setTimeout(askAnew, 250);
}
const isOurs = (news) => news.id === undefined || !watchId || String(news.id) === watchId;
function activity(news) {
  if (!isOurs(news)) return;
  refresh();
  dispatchEvent(new CustomEvent('crm:activity', { detail: news }));
}
function gone(news) {
  if (!isOurs(news)) return;
  clearTimeout(soon);
  document.querySelector('[data-gone]')?.removeAttribute('hidden');
}

// --- disconnected: show it and poll; stop once signed out
let poll = null;
let met = false;
async function ask() {
  try {
    const answer = await fetch('/bell/count', { headers: { Accept: 'application/json' }, credentials: 'same-origin', redirect: 'error' });
    if (!answer.ok) return;
    badge((await answer.json()).unread);
    dispatchEvent(new Event('crm:call'));
    if (!socket) start().catch(down); else if (!socket.active) socket.connect();
  } catch { /* the next minute asks again */ }
}
function down() {
  if (poll) return;
  notice?.removeAttribute('hidden');
  dispatchEvent(new CustomEvent('crm:presence', { detail: { people: [] } })); // nobody knows
  poll = setInterval(ask, POLL);
}
function up() {
  clearInterval(poll);
  poll = null;
  notice?.setAttribute('hidden', '');
  if (watchKind && watchId) socket.emit('watch', { kind: watchKind, id: watchId });
  if (watchBoard) { socket.emit('board', { kind: watchBoard }); if (met) dispatchEvent(new Event('crm:board')); }
  if (met) { ask(); dispatchEvent(new Event('crm:call')); } // what happened meanwhile
  // A message may be sent, and its picture made small, before a new page is heard of.
  if (watchId && met) dispatchEvent(new CustomEvent('crm:activity', { detail: {} }));
  if (watchId && (met || watchKind === 'conversation')) refresh();
  met = true;
}

// The other modules of the page listen by then; what comes earlier, such as who else is here, would be lost.
const ready = new Promise((done) => {
  if (document.readyState === 'complete') done();
  for (const name of ['DOMContentLoaded', 'load']) addEventListener(name, done, { once: true });
});
async function start() {
  if (document.querySelector('[data-viewing]')) return; // a view as another user hears nothing of what they hear
  const { io } = await import(root.dataset.socketJs);
  await ready;
  socket = io({ path: '/socket.io', transports: ['websocket'], reconnectionDelay: RETRY_FROM, reconnectionDelayMax: RETRY_UP_TO });
  socket.on('connect', up);
  socket.on('bell', bell);
  socket.on('activity', activity);
  socket.on('gone', gone);
  socket.on('board', () => dispatchEvent(new Event('crm:board')));
  // Who else is writing in the conversation on this page; and this page says when its own person is.
  socket.on('typing', (news) => { if (isOurs(news)) dispatchEvent(new CustomEvent('crm:typing', { detail: news })); });
  addEventListener('crm:writes', () => { if (socket.connected && watchKind === 'conversation' && watchId) socket.emit('typing', { kind: watchKind, id: watchId }); });
  // Who else has the record on this page open; and this page says which of its values is being edited.
  socket.on('presence', (news) => { if (isOurs(news)) dispatchEvent(new CustomEvent('crm:presence', { detail: news })); });
  addEventListener('crm:edits', (event) => { if (socket.connected && watchId) socket.emit('editing', { kind: watchKind, id: watchId, field: event.detail }); });
  socket.on('call', () => dispatchEvent(new Event('crm:call')));
  // Wait a moment: leaving a page or a server restart is not worth a message.
  let grace = null;
  const later = () => { grace ??= setTimeout(() => { grace = null; if (!socket.connected) down(); }, 5000); };
  // Disconnected by the server: the session ended. Another tab may have signed in since.
  socket.on('disconnect', (why) => { later(); if (why === 'io server disconnect') { setTimeout(ask, 1500); dispatchEvent(new Event('crm:ended')); } });
  socket.on('connect_error', later);
}
start().catch(down); // the part for it did not come: the page asks every minute
