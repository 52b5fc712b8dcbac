// Notices of the server: the badge of the bell, and one toast, or one notice of the desktop, across all tabs.
const tabs = 'BroadcastChannel' in window ? new BroadcastChannel('crm-bell') : null;
const KEPT = 'crm-shown';
const seen = () => document.visibilityState === 'visible';
export const badge = (unread) => dispatchEvent(new CustomEvent('crm:bell', { detail: { unread } }));

// --- a toast: the first tab that claims an item shows it; a page opened later knows it, too
const shown = new Set();
function isNew(id) {
  let kept = [];
  try { kept = JSON.parse(localStorage.getItem(KEPT) || '[]'); } catch { /* private mode */ }
  if (shown.has(id) || kept.includes(id)) return false;
  shown.add(id);
  try { localStorage.setItem(KEPT, JSON.stringify([...kept, id].slice(-50))); } catch { /* private mode */ }
  return true;
}
// One tab alone gets the lock of an item. It holds it until the others have surely heard of what it keeps: the storage of tabs is not in step.
const HELD = 10_000;
function first(id, show) {
  const take = () => { if (isNew(id)) show(); };
  if (!navigator.locks) { take(); return; } // without HTTPS
  navigator.locks.request(`crm-shown-${id}`, { ifAvailable: true }, (lock) => lock && new Promise((done) => { take(); setTimeout(done, HELD); })).catch(() => { /* the page is left */ });
}
let waiting = null;
function claim(news) {
  // No tab is visible: the first one that becomes visible shows it.
  if (!seen() && window.Notification?.permission !== 'granted') { waiting = news; return; }
  first(news.id, () => {
    tabs?.postMessage({ key: news.id, unread: news.unread });
    if (seen()) dispatchEvent(new CustomEvent('crm:toast', { detail: news }));
    else aloud(news);
    dispatchEvent(new CustomEvent('crm:shown-notice', { detail: news.id })); // live.js tells the server
  });
}
function aloud(news) {
  const note = new Notification(document.title.split(' · ').pop(), { body: news.text, tag: String(news.id) });
  note.onclick = () => { focus(); if (news.url) location.assign(news.url); };
}
if (tabs) tabs.onmessage = ({ data }) => { shown.add(data.key); badge(data.unread); };
document.addEventListener('visibilitychange', () => {
  if (!seen() || !waiting) return;
  const news = waiting;
  waiting = null;
  claim(news);
});
export function bell(news) {
  badge(news.unread);
  // Visible tabs go first; hidden ones wait for their claim.
  if (news.text) setTimeout(() => claim(news), seen() ? Math.random() * 40 : 300 + Math.random() * 300);
}
