// Live: one socket a page. Bell news becomes badges and one toast across tabs; a record's timeline refreshes itself;
// when the socket is down the page says so and asks for the count every minute.
const root = document.documentElement;
const notice = document.querySelector('[data-live-state]');
const { watchKind, watchId } = document.body.dataset;
const tabs = 'BroadcastChannel' in window ? new BroadcastChannel('crm-bell') : null;
const POLL = 60_000;
const shown = new Set();
let poll = null;

const badge = (unread) => dispatchEvent(new CustomEvent('crm:bell', { detail: { unread } }));

// --- the first tab that claims an item shows its toast
function claim(news) {
  const key = String(news.id ?? `${news.url}|${news.text}`);
  if (shown.has(key)) return;
  shown.add(key);
  tabs?.postMessage({ key, unread: news.unread });
  if (document.visibilityState === 'visible') return tell(news);
  if (window.Notification?.permission === 'granted') {
    const note = new Notification(document.title.split(' · ').pop(), { body: news.text, tag: key });
    note.onclick = () => { focus(); if (news.url) location.assign(news.url); };
  } else tell(news);
}
const tell = (news) => { if (news.text) dispatchEvent(new CustomEvent('crm:toast', { detail: news })); };
if (tabs) tabs.onmessage = ({ data }) => { shown.add(data.key); badge(data.unread); };
function bell(news) {
  badge(news.unread);
  // Visible tabs go first; hidden ones wait for their claim.
  setTimeout(() => claim(news), document.visibilityState === 'visible' ? Math.random() * 40 : 300 + Math.random() * 300);
}

// --- somebody else changed the record on this page
let waiting = null;
function refresh() {
  const timeline = document.querySelector('[data-timeline]');
  clearTimeout(waiting);
  waiting = setTimeout(() => timeline && window.htmx?.ajax('GET', timeline.dataset.timeline, { target: timeline, swap: 'outerHTML' }), 250);
}
function activity(news) {
  if (news.id !== undefined && watchId && String(news.id) !== watchId) return;
  refresh();
  dispatchEvent(new CustomEvent('crm:activity', { detail: news }));
}

// --- down: say so, poll
async function ask() {
  try {
    const answer = await fetch('/bell/count', { headers: { Accept: 'application/json' }, credentials: 'same-origin' });
    if (answer.ok) { const { unread } = await answer.json(); badge(unread); }
  } catch { /* the next minute asks again */ }
}
function down() {
  if (poll) return;
  notice?.removeAttribute('hidden');
  poll = setInterval(ask, POLL);
}
function up() {
  if (poll) { clearInterval(poll); poll = null; ask(); if (watchId) refresh(); }
  notice?.setAttribute('hidden', '');
}

async function start() {
  const { io } = await import(root.dataset.socketJs);
  const socket = io({ path: '/socket.io', transports: ['websocket'], reconnectionDelay: 1000, reconnectionDelayMax: 30_000 });
  socket.on('connect', () => { up(); if (watchKind && watchId) socket.emit('watch', { kind: watchKind, id: watchId }); });
  socket.on('bell', bell);
  socket.on('activity', activity);
  // A moment's grace: a page that is being left, or a server that restarts, is no news.
  let grace = null;
  const later = () => { grace ??= setTimeout(() => { grace = null; if (!socket.connected) down(); }, 5000); };
  socket.on('disconnect', later);
  socket.on('connect_error', later);
}
start();
