// Notes: “@” offers the colleagues who may see the record; a note being edited keeps its input.
const LEADING = /(?:^|[^\w@/.+-])@([\w.+-]*)$/u;
const WAIT = 120;
let field = null; // the textarea whose list is open
let list = null;
let asked = 0;
let timer = null;

// --- the list under the field
const options = () => [...(list?.querySelectorAll('[role=option]') || [])];
const current = () => list?.querySelector('[aria-selected=true]');

function close() {
  clearTimeout(timer);
  asked += 1;
  list?.remove();
  field?.removeAttribute('aria-controls');
  field?.removeAttribute('aria-activedescendant');
  list = field = null;
}
function select(option) {
  options().forEach((each) => each.setAttribute('aria-selected', String(each === option)));
  field.setAttribute('aria-activedescendant', option.id);
  option.scrollIntoView({ block: 'nearest' });
}
function line(hit, at) {
  const made = document.createElement('li');
  Object.assign(made, { id: `mention-${at}`, className: 'mention-option' });
  made.setAttribute('role', 'option');
  made.dataset.name = hit.hint;
  const name = document.createElement('span');
  const hint = document.createElement('span');
  name.textContent = hit.label;
  hint.textContent = `@${hit.hint}`;
  hint.className = 'quiet';
  made.append(name, hint);
  return made;
}
function open(area, hits) {
  close();
  if (!hits.length) return;
  field = area;
  list = document.createElement('ul');
  Object.assign(list, { id: 'mention-list', className: 'mention-list' });
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', area.getAttribute('aria-label') || '@');
  list.append(...hits.map(line));
  area.insertAdjacentElement('afterend', list);
  area.setAttribute('aria-controls', list.id);
  select(options()[0]);
}

// --- what is being typed
const before = (area) => area.value.slice(0, area.selectionStart);
async function ask(area, typed) {
  const mine = (asked += 1);
  const url = new URL(area.dataset.mention, location.href);
  url.searchParams.set('q', typed);
  try {
    const answer = await fetch(url, { headers: { Accept: 'application/json' }, credentials: 'same-origin' });
    if (!answer.ok || mine !== asked) return;
    const { results } = await answer.json();
    if (mine === asked && LEADING.exec(before(area))?.[1] === typed) open(area, results);
  } catch { /* offline: a name can still be typed in full */ }
}
document.addEventListener('input', ({ target }) => {
  if (!target.matches?.('textarea[data-mention]')) return;
  const typed = LEADING.exec(before(target))?.[1];
  clearTimeout(timer);
  if (typed === undefined) close();
  else timer = setTimeout(ask, WAIT, target, typed);
});

function choose(option) {
  const area = field;
  const end = area.selectionStart;
  const start = end - LEADING.exec(before(area))[1].length;
  area.setRangeText(`${option.dataset.name} `, start, end, 'end');
  close();
  area.focus();
  area.dispatchEvent(new Event('input', { bubbles: true }));
}
// Before the page's own keys, which would send the form or close a menu.
document.addEventListener('keydown', (event) => {
  if (!list || event.target !== field || event.ctrlKey || event.metaKey) return;
  const all = options();
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) select(all[(all.indexOf(current()) + step + all.length) % all.length]);
  else if (event.key === 'Enter' || event.key === 'Tab') choose(current());
  else if (event.key === 'Escape') close();
  else return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);
document.addEventListener('mousedown', (event) => {
  const option = event.target.closest?.('.mention-option');
  if (option) { event.preventDefault(); choose(option); } else if (list && event.target !== field) close();
});
document.addEventListener('focusout', (event) => { if (event.target === field) close(); });

// --- changing a note in its place
let opening = null; // the note whose form is being loaded
document.addEventListener('htmx:beforeRequest', ({ detail }) => { if (detail.elt.matches?.('.note-edit')) opening = detail.xhr; });
document.addEventListener('htmx:afterRequest', ({ detail }) => { if (detail.xhr === opening) opening = null; });
document.addEventListener('htmx:beforeSwap', (event) => {
  const { target, xhr } = event.detail;
  // A live refresh must not discard what is being typed.
  if (target.matches?.('[data-timeline]') && (opening || target.querySelector('[data-note-form]'))) event.detail.shouldSwap = false;
  const form = event.detail.requestConfig?.elt?.closest?.('[data-note-form]');
  if (!form || event.detail.requestConfig.verb !== 'post' || ![409, 422].includes(xhr.status)) return;
  Object.assign(event.detail, { shouldSwap: true, isError: false, target: form, swapOverride: 'outerHTML' });
});
document.addEventListener('htmx:afterSettle', () => {
  const area = document.querySelector('.timeline [data-note-form] textarea');
  if (!area || area.dataset.met) return;
  area.dataset.met = '1';
  area.focus();
  area.setSelectionRange(area.value.length, area.value.length);
});
