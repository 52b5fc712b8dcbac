// Without a connection: the page says so and from when it is; what is typed is kept in this browser (offline_keeping.js) and sent once, in
// its order, when the network is back.
import { notSent } from './offline_keeping.js';
import { changed, open, opener, redraw } from './offline_outbox.js';
import { FAILED, send } from './offline_sending.js';
import { ask, box, moment, root, store, tell, toast, words, worker } from './offline_state.js';

const bar = box.querySelector('[data-offline-bar]');
const EVERY = 15_000;
const SURE = 20 * 3_600_000; // the server knows a key for a day

// --- the worker
if (worker && window.isSecureContext) {
  const files = () => performance.getEntriesByType('resource').map((each) => each.name).filter((each) => new URL(each).pathname.startsWith('/static/'));
  const wasAlone = !worker.controller;
  worker.register('/worker.js', { scope: '/', updateViaCache: 'none' }).then(() => worker.ready).then(({ active }) => {
    active.postMessage({ kind: 'hello', language: root.lang, url: wasAlone && !root.dataset.asOf ? location.href : null, files: wasAlone ? files() : [] });
  }).catch(() => { /* switched off by the browser: all works as without it */ });
}

// --- the bar
let isAway = false;
const asOf = Number(root.dataset.asOf) || performance.timeOrigin;
function show(text, hasReload = false) {
  bar.querySelector('[data-offline-text]').textContent = text;
  bar.querySelector('[data-offline-reload]').hidden = !hasReload;
  bar.classList.toggle('is-back', hasReload);
  bar.hidden = !text;
}
function away() {
  isAway = true;
  show(words.away.replace('{}', moment(asOf)));
  wake();
}
const isTyped = () => [...document.querySelectorAll('main textarea, main input, dialog[open] textarea, dialog[open] input')].some((each) => each.type !== 'hidden' && (['checkbox', 'radio'].includes(each.type) ? each.checked !== each.defaultChecked : each.value !== each.defaultValue));
function back(hasSent) {
  const was = isAway;
  isAway = false;
  if (!was && !hasSent) return;
  if (!root.dataset.asOf && !hasSent) { show(''); return; }
  if (!isTyped() && !document.querySelector('dialog[open]')) location.reload(); else show(words.back, true);
}

bar.querySelector('[data-offline-reload]').addEventListener('click', () => location.reload());

// --- sending
async function run() {
  const waiting = (await store.all(words.user)).filter((each) => each.state === 'waiting');
  let now = await ask();
  if (!now) { away(); return; }
  if (now.user === null) tell({ kind: 'ended' });
  let sent = 0;
  for (const entry of waiting) {
    // Of nobody else: what one has typed waits until they are signed in again.
    if (String(now.user) !== words.user) break;
    if (!(await store.all(words.user)).some((each) => each.id === entry.id)) continue; // discarded in another tab
    if (entry.tried && Date.now() - entry.tried > SURE) { await store.put({ ...entry, state: 'unsure' }); changed(); continue; }
    await store.put({ ...entry, tried: entry.tried || Date.now() });
    let result = await send(entry, now.token);
    if (result.status === 400) { // the session may be another one since
      now = await ask();
      result = now && String(now.user) === words.user ? await send(entry, now.token) : FAILED;
    }
    if (result.stop) break;
    if (result.isDone) { await store.remove(entry.id); sent += 1; } else await store.put({ ...entry, tried: null, state: 'refused', sentence: result.sentence });
    changed();
  }
  if (sent) toast(words.sent.replace('{}', sent));
  const left = await store.all(words.user);
  if (left.some((each) => each.state !== 'waiting') && sent + waiting.length) await open(); // before the page may load anew
  back(sent > 0 && left.length === 0);
}
// One tab sends at a time.
const flush = () => (navigator.locks ? navigator.locks.request('crm-outbox', { ifAvailable: true }, (lock) => lock && run()) : run()).catch(() => {});
let timer = null;
async function wake() {
  const isWaiting = isAway || (await store.all(words.user)).some((each) => each.state === 'waiting');
  if (isWaiting && !timer) timer = setInterval(() => flush().then(wake), EVERY);
  if (!isWaiting) { clearInterval(timer); timer = null; }
}

// --- when
addEventListener('offline', away);
addEventListener('crm:away', away);
addEventListener('crm:send-kept', () => flush().then(wake));
addEventListener('online', () => flush().then(wake));
// A page that comes back out of the browser's memory may be that of somebody who has signed out meanwhile. Nothing of it is seen before
// the worker has said whose pages it keeps: it knows that without a connection, too.
async function keptFor() {
  try {
    const kept = await (await caches.open('crm-meta')).match('/');
    return kept ? String((await kept.json()).person) : words.user;
  } catch { return words.user; } // without a worker
}
addEventListener('pageshow', async ({ persisted }) => {
  if (!persisted) return;
  root.style.visibility = 'hidden';
  if (await keptFor() !== words.user) { location.reload(); return; }
  root.style.visibility = '';
  const now = await ask();
  if (now && String(now.user) !== words.user) location.reload();
});
// Signed out in another tab: whoever comes next sees nothing of this one. What is being typed stays until it is left.
worker?.addEventListener('message', async ({ data }) => {
  if (data?.kind === 'not-sent') notSent();
  if (data?.kind !== 'signed-out') return;
  const now = await ask();
  if (now && String(now.user) !== words.user && !isTyped() && !document.querySelector('dialog[open]')) location.reload();
});
addEventListener('crm:ended', async () => { const now = await ask(); if (now && now.user === null) tell({ kind: 'ended' }); });
document.addEventListener('visibilitychange', () => { if (document.visibilityState === 'visible' && (isAway || !opener.hidden)) flush().then(wake); });
if (root.dataset.asOf || !navigator.onLine) away();
redraw().then(() => { if (!opener.hidden) flush().then(wake); });
