// The palette: Ctrl+K (caught in theme.js) or the search field opens it. Commands and pages are those of the menus of this page, so that
// it offers what the person may do; records come from the server while one types.
import { open as openSheet, sentenceOf } from './dialogs.js';
import { assignment, colleagues } from './palette_assign.js';
import { commands, fits, iconOf, pages, placeOf } from './palette_commands.js';
import { group } from './palette_lines.js';
import { MOST as MOST_RECENT, forget, recentOf, remember } from './recent_records.js';

const WAIT = 120; // ms without a key before the server is asked
const root = document.documentElement;
const dialog = document.getElementById('palette');
const input = dialog.querySelector('input');
const list = dialog.querySelector('[role=listbox]');
const note = dialog.querySelector('.palette-note');
const words = dialog.dataset;
const $$ = (selector) => [...document.querySelectorAll(selector)];

// --- recent records
const recent = () => recentOf(words.user);
remember(words.user);
document.addEventListener('submit', ({ target: form }) => { if (form.getAttribute('action') === '/logout/') forget(); }, true);

// --- the list
let asked = 0; // answers to earlier questions are dropped
let waiting = false;
let enterWanted = null; // Enter came before the answer: {isNewTab}
let timer = null;
let request = null;
let opener = null; // what had the focus
const options = () => [...list.querySelectorAll('[role=option]')];
const current = () => list.querySelector('[aria-selected=true]');

function select(option) {
  options().forEach((each) => each.setAttribute('aria-selected', String(each === option)));
  if (option) { input.setAttribute('aria-activedescendant', option.id); option.scrollIntoView({ block: 'nearest' }); } else input.removeAttribute('aria-activedescendant');
}
let found = []; // groups of the last answer
function draw() {
  const typed = input.value.trim();
  const kept = current()?.item;
  const here = recent().filter((row) => row.url !== location.pathname).slice(0, MOST_RECENT).map((row) => ({ ...row, icon: iconOf(placeOf(row.url)) }));
  const all = [[words.recent, here], [words.commands, commands()], [words.pages, pages()]];
  const own = all.map(([title, items]) => ({ title, items: typed ? items.filter((item) => fits(`${item.text} ${item.hint || ''}`, typed)) : items }));
  const last = typed.length > 1 && !waiting && found.length && !assignment(typed, words) ? [{ title: dialog.ariaLabel, items: [{ text: words.all.replace('{}', typed), url: `/search?${new URLSearchParams({ q: typed })}`, icon: iconOf(dialog) }] }] : [];
  list.replaceChildren(...[...own, ...found, ...last].filter((each) => each.items.length).map(group));
  const every = options();
  select(every.find((each) => kept && each.item.text === kept.text && each.item.url === kept.url) || every[0]);
  if (!waiting && !note.textContent && typed.length > 1 && !every.length) say(words.none);
}
function say(sentence) { note.textContent = sentence; note.hidden = !sentence; }

async function hits(typed, signal) {
  const answer = await fetch(`/search/hits?${new URLSearchParams({ q: typed })}`, { headers: { Accept: 'application/json' }, credentials: 'same-origin', signal });
  if (!answer.ok) return { groups: [], sentence: sentenceOf(answer) };
  const { groups } = await answer.json();
  return { groups: groups.map(({ title, url, rows }) => ({ title, items: rows.map((row) => ({ text: row.title, hint: row.hint, url: row.url, icon: iconOf(placeOf(url) ?? dialog) })) })) };
}
async function takers({ name, about }, signal) {
  const items = await colleagues(name, about, words, signal);
  return items.length ? { groups: [{ title: words.commands, items }], isOpen: items.length > 1 } : { groups: [], sentence: words.assignNobody };
}
async function ask(typed) {
  const mine = asked;
  request = new AbortController();
  const wanted = assignment(typed, words);
  let told;
  try { told = await (wanted ? takers(wanted, request.signal) : hits(typed, request.signal)); } catch { told = { groups: [], sentence: words.offline }; }
  if (mine !== asked) return;
  waiting = false;
  found = told.groups;
  say(told.sentence || '');
  draw();
  if (enterWanted && current() && !told.isOpen) choose(current(), enterWanted.isNewTab); // one of several colleagues is chosen by hand
  enterWanted = null;
}
function typedAnew() {
  const typed = input.value.trim();
  asked += 1;
  clearTimeout(timer);
  request?.abort();
  enterWanted = null;
  waiting = typed.length > 1;
  found = [];
  say('');
  draw();
  if (waiting) timer = setTimeout(ask, WAIT, typed);
}
function choose(option, isNewTab) {
  const { item } = option;
  if (item.url && (isNewTab || !item.url.startsWith('/'))) { // a support page is outside the CRM
    window.open(item.url, '_blank', 'noopener'); return; }
  if (item.typing) { input.value = item.typing; input.focus(); typedAnew(); return; }
  dialog.close();
  if (item.act) item.act();
  else if (item.isQuick) openSheet(item.url);
  else location.assign(item.url);
}

// --- open, keys, close
function open() {
  const typed = root.dataset.paletteWanted; // before this script had come
  delete root.dataset.paletteWanted;
  if (dialog.open) { input.select(); return; }
  opener = document.activeElement;
  dialog.showModal(); // the browser gives the focus back on closing, except to the text of an email
  input.focus();
  if (typed) input.value = typed; else input.select();
  typedAnew();
}
dialog.addEventListener('close', () => { asked += 1; clearTimeout(timer); request?.abort(); input.value = ''; if (document.activeElement === document.body || dialog.contains(document.activeElement)) opener?.focus({ preventScroll: true }); });
input.addEventListener('input', typedAnew);
dialog.addEventListener('keydown', (event) => {
  event.stopPropagation(); // the page behind has keys of its own
  const every = options();
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && every.length) {
    event.preventDefault();
    select(every[(every.indexOf(current()) + step + every.length) % every.length]);
  } else if (event.key === 'Enter' && event.target === input && !event.isComposing) {
    const isNewTab = event.ctrlKey || event.metaKey;
    if (current()) { event.preventDefault(); choose(current(), isNewTab); } else if (waiting) { event.preventDefault(); enterWanted = { isNewTab }; }
  } else if (event.key === 'Escape') {
    event.preventDefault(); // a search field would only empty itself
    dialog.close();
  }
});
list.addEventListener('click', (event) => {
  const option = event.target.closest('[role=option]');
  if (!option || event.ctrlKey || event.metaKey || event.shiftKey) return; // the browser opens a tab or window
  event.preventDefault();
  choose(option, false);
});
list.addEventListener('mousedown', (event) => { if (!event.target.closest('a')) event.preventDefault(); }); // typing goes on
dialog.addEventListener('click', ({ target }) => { if (target === dialog) dialog.close(); }); // beside it

addEventListener('crm:palette', open);
const field = document.querySelector('[data-palette] [data-search]');
document.querySelector('[data-palette]')?.addEventListener('mousedown', (event) => event.preventDefault()); // the focus stays where it was
document.querySelector('[data-palette]')?.addEventListener('click', () => { const typed = field.value; open(); if (typed) { input.value = typed; typedAnew(); } });
// Keys pressed in the text of an email do not reach this page.
function listen({ target }) {
  if (!target.matches?.('[data-mail-frame]')) return;
  target.contentDocument?.addEventListener('keydown', (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.code === 'KeyK') { event.preventDefault(); open(); }
  });
}
document.addEventListener('load', listen, true);
$$('[data-mail-frame]').forEach((target) => listen({ target }));
if ('paletteWanted' in root.dataset) open();
