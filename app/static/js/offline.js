// Without a connection: the page says so and from when it is; what is typed is kept in this browser and sent once, in its order,
// when the network is back. Each form gets a key while it is filled in, so that one whose answer was lost is not done twice.
const root = document.documentElement;
const box = document.querySelector('[data-offline]');
const bar = box.querySelector('[data-offline-bar]');
const opener = box.querySelector('[data-outbox-open]');
const dialog = document.getElementById('outbox');
const words = box.dataset;
const FORMS = new RegExp(words.forms);
const EVERY = 15_000;
const SURE = 20 * 3_600_000; // the server knows a key for a day
const channel = 'BroadcastChannel' in window ? new BroadcastChannel('crm-outbox') : null;
const worker = 'serviceWorker' in navigator ? navigator.serviceWorker : null;
const store = self.crmOutbox;
const toast = (text) => dispatchEvent(new CustomEvent('crm:toast', { detail: { text } }));
const pathOf = (url) => new URL(url, location.href).pathname;
const newKey = () => crypto.randomUUID?.() || `${Date.now()}-${Math.random()}`; // without HTTPS there is no randomUUID
const isKept = (form) => form.matches?.('form') && form.method === 'post' && FORMS.test(pathOf(form.getAttribute('action') || location.href));

// --- the worker
if (worker && window.isSecureContext) {
  const files = () => performance.getEntriesByType('resource').map((each) => each.name).filter((each) => new URL(each).pathname.startsWith('/static/'));
  const wasAlone = !worker.controller;
  worker.register('/worker.js', { scope: '/', updateViaCache: 'none' }).then(() => worker.ready).then(({ active }) => {
    active.postMessage({ kind: 'hello', language: root.lang, url: wasAlone && !root.dataset.asOf ? location.href : null, files: wasAlone ? files() : [] });
  }).catch(() => { /* switched off by the browser: all works as without it */ });
}
const tell = (message) => worker?.controller?.postMessage(message);

// --- the bar
let isAway = false;
const asOf = Number(root.dataset.asOf) || performance.timeOrigin;
function moment(time) {
  const made = new Date(time);
  const isToday = made.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(root.lang.replace(/^en$/, 'en-IN'), isToday ? { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', numberingSystem: 'latn' } : { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23', numberingSystem: 'latn' }).format(made);
}
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

// --- who is signed in now; null without a connection
async function ask() {
  try {
    const answer = await fetch('/offline/state', { headers: { Accept: 'application/json' }, credentials: 'same-origin', cache: 'no-store' });
    return answer.ok ? await answer.json() : null;
  } catch { return null; }
}

// --- sending
const FAILED = { stop: true };
async function send(entry, token) {
  const headers = { 'HX-Request': 'true', 'X-CSRFToken': token, 'Idempotency-Key': entry.key, 'X-Crm-Meant-For': words.user };
  let answer;
  try { answer = await fetch(entry.url, { method: 'POST', body: new URLSearchParams(entry.fields), headers, redirect: 'manual', credentials: 'same-origin' }); } catch { return FAILED; }
  if (answer.headers.get('X-Crm-Done')) return { isDone: true };
  if (answer.type === 'opaqueredirect' || answer.status === 401 || answer.status === 429 || answer.status >= 500) return FAILED;
  return { status: answer.status, sentence: await sentenceOf(answer) };
}
async function sentenceOf(answer) {
  const sent = answer.headers.get('X-Sentence');
  try { if (sent) return decodeURIComponent(sent); } catch { /* as it is */ }
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const found = [...page.querySelectorAll('.field-error, .problem p, .note.tone-red')].map((each) => each.textContent.trim()).filter(Boolean);
  return [...new Set(found)].join(' ') || words.refused;
}
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

// --- keeping
const keys = new WeakMap();
// The same key until something else is typed; a form that is sent again as it is must not be done again.
document.addEventListener('input', (event) => { if (event.target.form) keys.delete(event.target.form); });
document.addEventListener('change', (event) => { if (event.target.form) keys.delete(event.target.form); });
document.addEventListener('formdata', (event) => {
  const form = event.target;
  if (!isKept(form)) return;
  if (!keys.has(form)) keys.set(form, newKey());
  event.formData.set(words.field, keys.get(form));
});
function labelOf(form, button) {
  const about = form?.closest('[data-row]')?.querySelector('[data-act="open"]') || document.querySelector('.record-name h1') || document.querySelector('h1');
  const act = (button?.textContent || form?.querySelector('button[type=submit]:not(.visually-hidden), .btn-primary')?.textContent || '').trim();
  return [act || button?.title, about?.textContent.trim()].filter(Boolean).join(' · ').slice(0, 160);
}
async function keep(url, data, label) {
  const fields = data.filter(([name, value]) => typeof value === 'string' && name !== words.field && name !== 'csrf_token');
  const key = data.find(([name]) => name === words.field)?.[1] || newKey();
  const { pathname, search } = new URL(url, location.href);
  const hadFiles = data.some(([, value]) => typeof value !== 'string' && value.size > 0);
  await store.add({ key, user: words.user, url: pathname + search, fields, label, at: Date.now(), tried: navigator.onLine ? Date.now() : null, state: 'waiting', sentence: '', hadFiles });
  toast(words.keeps);
  changed();
  away();
}
// A form that leaves the page is kept by the worker, which learns here what it is called; where there is none, by the page.
// All other forms stay as they are, with what was typed.
function notSent() {
  document.querySelectorAll('form[data-sent]').forEach((form) => delete form.dataset.sent);
  toast(document.querySelector('[data-toasts]').dataset.unreached);
  away();
}
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== 'post' || form.hasAttribute('hx-post')) return;
  if (!isKept(form)) {
    if (!worker?.controller && !navigator.onLine) { event.preventDefault(); notSent(); }
    return;
  }
  const data = [...new FormData(form, event.submitter)];
  const label = labelOf(form, event.submitter);
  if (worker?.controller) { tell({ kind: 'label', key: keys.get(form), label, user: words.user }); return; }
  if (navigator.onLine) return;
  event.preventDefault();
  delete form.dataset.sent;
  keep(form.action, data, label).then(() => { keys.delete(form); form.reset(); });
});
document.addEventListener('htmx:sendError', ({ detail }) => {
  const { requestConfig, elt } = detail;
  const form = elt.closest?.('form') || elt;
  if (requestConfig?.verb === 'post' && FORMS.test(pathOf(requestConfig.path)) && requestConfig.formData) {
    keep(requestConfig.path, [...requestConfig.formData.entries()], labelOf(form, requestConfig.triggeringEvent?.submitter)).then(() => {
      keys.delete(form);
      elt.closest('[data-row]')?.setAttribute('data-waits', '');
      elt.closest('dialog')?.close();
    });
    return;
  }
  if (requestConfig && requestConfig.verb !== 'get') toast(document.querySelector('[data-toasts]').dataset.offline);
  away();
});

// --- the panel
const $ = (html) => { const made = document.createElement('template'); made.innerHTML = html; return made.content.firstElementChild; };
const TEXTS = ['body', 'note', 'title', 'other']; // what a person may have typed most of
const textOf = (entry) => entry.fields.find(([name, value]) => TEXTS.includes(name) && value);
function draw(entry) {
  const row = dialog.querySelector('template').content.firstElementChild.cloneNode(true);
  const text = textOf(entry);
  row.dataset.id = entry.id;
  row.querySelector('[data-of=label]').textContent = entry.label || entry.url;
  row.querySelector('[data-of=when]').textContent = moment(entry.at);
  row.querySelector('[data-of=text]').textContent = text?.[1] || '';
  const note = row.querySelector('[data-of=note]');
  note.textContent = [entry.sentence || (entry.state === 'unsure' ? words.unsure : ''), entry.hadFiles ? words.files : ''].filter(Boolean).join(' ');
  note.hidden = !note.textContent;
  row.querySelector('[data-do=edit]').hidden = !text;
  row.querySelector('[data-do=again]').hidden = entry.state === 'waiting';
  return row;
}
async function redraw() {
  let entries = [];
  try { entries = await store.all(words.user); } catch { return; } // private mode
  opener.hidden = !entries.length;
  opener.querySelector('span').textContent = words.waiting.replace('{}', entries.length);
  opener.classList.toggle('is-refused', entries.some((each) => each.state !== 'waiting'));
  const list = dialog.querySelector('[data-outbox-list]');
  if (!list.querySelector('textarea')) list.replaceChildren(...entries.map(draw)); // not while one is edited
  if (!entries.length && dialog.open) dialog.close();
}
function changed() { redraw(); channel?.postMessage('changed'); }
async function open() {
  await redraw();
  if (!dialog.open && !document.querySelector('dialog[open]') && !opener.hidden) dialog.showModal();
}
async function edit(row, entry) {
  const [name, value] = textOf(entry);
  const area = $('<textarea class="form-control" rows="3"></textarea>');
  area.value = value;
  area.setAttribute('aria-label', row.querySelector('[data-of=label]').textContent);
  row.querySelector('[data-of=text]').replaceChildren(area);
  area.focus();
  row.querySelector('[data-do=edit]').hidden = true;
  row.querySelector('[data-do=again]').hidden = false;
  row.crmEdited = () => entry.fields.map(([each, old]) => [each, each === name && old === value ? area.value : old]);
}
dialog.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-do]');
  if (!button) return;
  const row = button.closest('[data-id]');
  const entry = row && (await store.all(words.user)).find((each) => String(each.id) === row.dataset.id);
  if (!entry) { redraw(); return; }
  if (button.dataset.do === 'edit') { edit(row, entry); return; }
  const fields = row.crmEdited?.();
  row.querySelector('textarea')?.remove();
  if (button.dataset.do === 'discard') await store.remove(entry.id);
  // Something else than before has a key of its own.
  else await store.put({ ...entry, fields: fields || entry.fields, key: fields ? newKey() : entry.key, tried: fields || entry.state === 'unsure' ? null : entry.tried, state: 'waiting', sentence: '' });
  changed();
  if (button.dataset.do === 'again') flush().then(wake);
});
opener.addEventListener('click', open);
bar.querySelector('[data-offline-reload]').addEventListener('click', () => location.reload());
if (channel) channel.onmessage = redraw;

// --- when
addEventListener('offline', away);
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
