// A calendar: a task dragged to another day or time is there at once; if the server refuses, it goes back and says why. Without a
// pointer: arrows go from item to item, Shift with an arrow moves a task by a day (← →) or by 15 minutes (↑ ↓). A click shows it.
import { lost, say, sentenceOf, send } from './dialogs.js';
import { sortable } from './drag.js';

const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const calendar = () => document.querySelector('[data-calendar]');
const mayMove = (item) => item.classList.contains('can-move');
const place = (key) => calendar()?.querySelector(`[data-cell="${CSS.escape(key)}"]`);
const placeOf = (item) => place(item.dataset.slot) || place(item.dataset.day);
const find = (name) => calendar()?.querySelector(`[data-item="${CSS.escape(name)}"]`);
const titleOf = (item) => item.querySelector('.cal-title').textContent;
const announce = (text) => { const said = document.querySelector('[data-cal-said]'); if (said) said.textContent = text; };
let busy = 0; // moves on their way: nothing is redrawn meanwhile

// --- moving: at once, and back with the reason if it is refused. Moves of one task follow each other, each with the version of the last.
const lines = new Map();
function move(name, fields, back) {
  const made = (lines.get(name) || Promise.resolve()).then(() => ask(name, fields, back));
  lines.set(name, made.catch(() => {}));
  return made;
}
async function ask(name, fields, back) {
  const item = find(name);
  if (!item) return;
  busy += 1;
  item.classList.add('is-busy');
  const form = new FormData();
  for (const [key, value] of Object.entries({ ...fields, version: item.dataset.version })) form.set(key, value);
  try {
    const answer = await send(`${calendar().dataset.base}calendar/move/${item.dataset.id}`, form);
    if (!answer.ok) { back?.(); say(`${titleOf(item)}: ${sentenceOf(answer)}`); announce(sentenceOf(answer)); return; }
    if (answer.headers.get('X-Sentence')) say(sentenceOf(answer));
    put(item, await answer.text());
  } catch { back?.(); say(document.querySelector('[data-toasts]').dataset.offline); } finally { busy -= 1; find(name)?.classList.remove('is-busy'); soon(); }
}
function put(item, html) {
  const had = item.contains(document.activeElement);
  const made = document.createElement('template');
  made.innerHTML = html.trim();
  const fresh = made.content.firstElementChild;
  if (!fresh) { item.remove(); return; }
  announce(`${titleOf(fresh)}: ${fresh.dataset.when}`);
  const to = placeOf(fresh);
  const next = to && $$('[data-item]', to).find((each) => each !== item && each.dataset.time > fresh.dataset.time);
  if (!to) { const other = neighbour(item, 1) || neighbour(item, -1); item.remove(); say(`${titleOf(fresh)}: ${fresh.dataset.when}`); if (had) focus(other); return; }
  if (next && next.parentElement === to) next.before(fresh); else to.append(fresh);
  item.remove();
  if (had) focus(fresh);
}

// --- dragging (SortableJS)
let after = null;
async function arm() {
  if (!('moves' in (calendar()?.dataset || {}))) return;
  let Sortable;
  try { Sortable = await sortable(calendar().dataset.sortable); } catch { lost(arm); return; }
  $$('[data-cell]').filter((cell) => !cell.crmSortable).forEach((cell) => {
    cell.crmSortable = new Sortable(cell, {
      group: 'calendar', draggable: '.can-move', sort: false, animation: 0, delay: 180, delayOnTouchOnly: true, ghostClass: 'is-ghost', emptyInsertThreshold: 2,
      onStart({ item }) { busy += 1; after = item.nextElementSibling; document.documentElement.dataset.dragging = ''; },
      onEnd({ item, from, to }) {
        busy -= 1;
        delete document.documentElement.dataset.dragging;
        if (from === to) return;
        const before = after;
        move(item.dataset.item, { to: to.dataset.cell }, () => from.insertBefore(item, before?.parentElement === from ? before : null));
      },
    });
  });
}

// --- keys
const items = (within) => $$('[data-item]', within);
const days = () => { const seen = new Map(); items(calendar()).forEach((item) => { if (!seen.has(item.dataset.day)) seen.set(item.dataset.day, []); seen.get(item.dataset.day).push(item); }); return [...seen.entries()].sort(([one], [other]) => (one < other ? -1 : 1)); };
function neighbour(item, step) {
  const every = days().flatMap(([, list]) => list);
  return every[every.indexOf(item) + step];
}
function across(item, step) {
  const every = days();
  const [, next] = every[every.findIndex(([day]) => day === item.dataset.day) + step] || [];
  return next?.reduce((best, each) => (Math.abs(minutes(each) - minutes(item)) < Math.abs(minutes(best) - minutes(item)) ? each : best));
}
const minutes = (item) => { const [hour, minute] = item.dataset.time.split(':'); return Number(hour) * 60 + Number(minute); };
function focus(item) { item?.querySelector('.cal-link').focus(); item?.scrollIntoView({ block: 'nearest', inline: 'nearest' }); }
document.addEventListener('keydown', (event) => {
  const item = event.target.closest?.('[data-calendar] [data-item]');
  if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
  const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const along = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (sideways || along) {
    event.preventDefault();
    event.stopPropagation();
    if (!event.shiftKey) focus(sideways ? across(item, sideways) : neighbour(item, along));
    else if (mayMove(item)) move(item.dataset.item, sideways ? { days: sideways } : { minutes: along * 15 });
  }
  if (event.key === 'v' || event.key === ' ') { event.preventDefault(); show(item); }
});
function show(item) { dispatchEvent(new CustomEvent('crm:preview', { detail: item })); }
document.addEventListener('click', (event) => {
  const item = event.target.closest('[data-calendar] [data-item]');
  if (!item || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  show(item);
});

// --- after a move and when others move something, the calendar is asked again, never during a drag
let due = null;
function soon() { clearTimeout(due); due = setTimeout(redraw, 600); }
addEventListener('crm:board', () => { due ??= setTimeout(redraw, 1500); });
async function redraw() {
  due = null;
  if (document.visibilityState !== 'visible') { document.addEventListener('visibilitychange', redraw, { once: true }); return; }
  if (busy || document.querySelector('dialog[open]')) { soon(); return; }
  const asked = location.href;
  const made = document.createElement('template');
  try {
    const answer = await fetch(asked, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin' });
    if (!answer.ok) return;
    made.innerHTML = await answer.text();
  } catch { due ??= setTimeout(redraw, 20_000); return; } // the bar says that the server is away
  const fresh = made.content.querySelector('[data-cal-scroll]');
  const old = document.querySelector('[data-cal-scroll]');
  if (busy || location.href !== asked || !fresh || !old) { if (busy) soon(); return; }
  const held = document.activeElement?.closest?.('[data-item]')?.dataset.item;
  const shown = old.querySelector('.is-shown')?.dataset.item;
  old.replaceChildren(...fresh.childNodes);
  if (held && find(held)) find(held).querySelector('.cal-link').focus({ preventScroll: true });
  if (shown) find(shown)?.classList.add('is-shown');
  const total = made.content.querySelector('#list-count');
  if (total) document.getElementById('list-count').textContent = total.textContent;
  arm();
}
arm();
document.addEventListener('htmx:afterSwap', () => { if (calendar()) arm(); });

// --- a week on a phone opens at today
function toToday() {
  const day = document.querySelector('.cal-of-week th.is-today');
  const scroll = day?.closest('.cal-scroll');
  if (scroll && scroll.scrollWidth > scroll.clientWidth) scroll.scrollLeft = day.offsetLeft - day.parentElement.firstElementChild.offsetWidth;
}
toToday();
document.addEventListener('htmx:afterSettle', (event) => { if (event.target.id === 'list') toToday(); });
