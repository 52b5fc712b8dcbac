// Calls: a click on Call rings one's own phone; the card of a call stands on every page, and asks for the outcome at its end.
// The server says which calls are on; this file only asks, shows and counts the seconds.
import { send, style } from './call_requests.js';
import './recording_player.js';

const home = document.querySelector('[data-calls]');
const said = document.createElement('p');
const list = document.createElement('div');
const ASKED = 'crm-asked';
const FAST = 4000;
const SLOW = 20_000;
let poll = null;
let since = performance.now();
let asks = 0;

const seen = () => document.visibilityState === 'visible';
const toast = (text) => dispatchEvent(new CustomEvent('crm:toast', { detail: { text } }));
const shown = () => [...list.querySelectorAll('[data-card]')];

async function load() {
  clearTimeout(poll);
  const mine = ++asks;
  try {
    const html = await send('/calls/card');
    if (mine === asks) await show(html); // a later answer knows more
  } catch { later(SLOW); } // the server is away: the card stays as it was
}
async function change(url, body = new FormData()) {
  asks += 1;
  try { await show(await send(url, body)); } catch (refused) {
    if (refused.instead) { load(); offer(refused.message, refused.instead); } else if (refused.message) toast(refused.message); else load();
  }
}
// Nobody knows whether the last call was made: the page's dialog asks whether to make this one all the same.
function offer(sentence, url) {
  const form = Object.assign(document.createElement('form'), { method: 'post', hidden: true });
  form.dataset.confirm = sentence;
  form.addEventListener('submit', (event) => { event.preventDefault(); form.remove(); change(url); });
  document.body.append(form);
  form.requestSubmit();
}
function later(wait) { clearTimeout(poll); poll = setTimeout(load, wait); }

async function show(html) {
  if (html.includes('data-card')) await style(home.dataset.css);
  const states = new Map(shown().map((card) => [card.dataset.card, card.dataset.said]));
  const notes = new Map([...list.querySelectorAll('[data-note]')].map((note) => [note.id, note]));
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const place = focused?.selectionStart;
  list.innerHTML = html;
  since = performance.now();
  for (const note of list.querySelectorAll('[data-note]')) {
    const old = notes.get(note.id);
    if (old && (old === focused || old.dataset.dirty)) { note.value = old.value; note.dataset.dirty = old.dataset.dirty || ''; }
  }
  const again = focused?.id && document.getElementById(focused.id);
  again?.focus({ preventScroll: true });
  if (again?.matches('textarea')) again.setSelectionRange(place, place);
  const news = shown().find((card) => states.get(card.dataset.card) !== card.dataset.said);
  if (news) said.textContent = news.dataset.said;
  tick();
  const moving = shown().map((card) => card.dataset.state).filter((state) => state !== 'failed' && state !== 'ended');
  if (moving.length) later(moving.every((state) => state === 'talking') ? SLOW : FAST); else clearTimeout(poll);
  askOutcome();
}
function tick() {
  const gone = Math.floor((performance.now() - since) / 1000);
  for (const timer of list.querySelectorAll('[data-seconds]')) {
    const seconds = Number(timer.dataset.seconds) + gone;
    const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    timer.textContent = `${h ? `${h}:${String(m).padStart(2, '0')}` : m}:${String(s).padStart(2, '0')}`;
  }
}

// --- the note is kept while it is written
let typing = null;
async function keep(note) {
  if (!note?.dataset.dirty) return;
  note.dataset.dirty = '';
  const body = new FormData();
  body.append('note', note.value);
  try { await send(note.dataset.note, body); } catch (refused) { note.dataset.dirty = '1'; if (refused.message) toast(refused.message); }
}
const keepAll = () => Promise.all([...list.querySelectorAll('[data-note]')].map(keep));

// --- the outcome: asked once, in the tab that is looked at
function isNew(id) {
  let kept = [];
  try { kept = JSON.parse(localStorage.getItem(ASKED) || '[]'); } catch { /* private mode */ }
  if (kept.includes(id)) return false;
  try { localStorage.setItem(ASKED, JSON.stringify([...kept, id].slice(-50))); } catch { /* private mode */ }
  return true;
}
async function openOutcome(link) {
  try { await Promise.all([keepAll(), style(home.dataset.outcomeCss), import(home.dataset.outcomeJs)]); } catch { location.assign(link.href); return; }
  link.dataset.ready = '1';
  link.click();
}
function askOutcome() {
  const card = shown().find((each) => each.dataset.state === 'ended' && each.querySelector('[data-log]'));
  if (!card || !seen()) return;
  const open = document.querySelector('dialog[open]');
  if (open) { open.addEventListener('close', askOutcome, { once: true }); return; }
  if (isNew(card.dataset.card)) openOutcome(card.querySelector('[data-log]'));
}

// --- what people do
document.addEventListener('click', (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const log = event.target.closest('[data-log]');
  if (log && !log.dataset.ready) { event.preventDefault(); event.stopImmediatePropagation(); openOutcome(log); return; }
  if (log) delete log.dataset.ready;
  const dial = event.target.closest('a[data-dial]');
  if (!dial || !home) return;
  event.preventDefault();
  if (dial.ariaBusy === 'true') return;
  dial.ariaBusy = 'true';
  change(dial.getAttribute('href')).finally(() => { dial.ariaBusy = null; });
}, true);
if (home) {
  said.className = 'visually-hidden';
  said.setAttribute('aria-live', 'assertive');
  list.className = 'call-list';
  home.append(said, list);
  list.addEventListener('submit', (event) => {
    if (!event.target.matches('[data-step]')) return;
    event.preventDefault();
    keepAll().then(() => change(event.target.getAttribute('action'), new FormData(event.target)));
  });
  list.addEventListener('input', (event) => {
    const note = event.target.closest('[data-note]');
    if (!note) return;
    note.dataset.dirty = '1';
    clearTimeout(typing);
    typing = setTimeout(keepAll, 500);
  });
  list.addEventListener('focusout', keepAll);
  // A page that is left keeps what was typed in the last half second.
  addEventListener('pagehide', () => list.querySelectorAll('[data-note]').forEach((note) => {
    if (!note.dataset.dirty) return;
    const body = new FormData();
    body.append('note', note.value);
    body.append('csrf_token', document.querySelector('meta[name="csrf-token"]')?.content || '');
    navigator.sendBeacon(note.dataset.note, body);
  }));
  addEventListener('crm:call', load);
  document.addEventListener('visibilitychange', () => { if (seen() && shown().length) load(); });
  setInterval(tick, 1000);
  if ('open' in home.dataset) load();
}
