// A list of choices under a field, offered by the server while something is typed: “@” for colleagues, “/” for templates.
// kind: name; leading (the typed part is its first group); fieldOf(element) or null; before(field); url(field, typed);
// label(field); rows, option (classes); parts(hit) -> nodes; choose(field, hit, typed) ->
// what gets the focus, the field unless it says; and, if wanted, around(rows) ->
// the element that holds the list, selected(hit, list), placed(field, list).
const WAIT = 120;

export function offerList(kind) {
  let field = null; // the one whose list is open
  let list = null;
  let asked = 0;
  let timer = null;
  const options = () => [...(list?.querySelectorAll('[role=option]') || [])];
  const current = () => list?.querySelector('[aria-selected=true]');
  const typedIn = (each) => kind.leading.exec(kind.before(each))?.[1];
  const isIn = (element) => Boolean(field) && field.contains(element);

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
    kind.selected?.(option.hit, list);
  }
  function line(hit, at) {
    const made = Object.assign(document.createElement('li'), { id: `${kind.name}-${at}`, className: kind.option, hit });
    made.setAttribute('role', 'option');
    made.append(...kind.parts(hit));
    return made;
  }
  function open(each, hits) {
    close();
    if (!hits.length) return;
    field = each;
    const rows = Object.assign(document.createElement('ul'), { id: `${kind.name}-list`, className: kind.rows });
    rows.setAttribute('role', 'listbox');
    rows.setAttribute('aria-label', kind.label(each));
    rows.append(...hits.map(line));
    list = kind.around ? kind.around(rows) : rows;
    each.insertAdjacentElement('afterend', list);
    each.setAttribute('aria-controls', rows.id);
    select(options()[0]);
    kind.placed?.(each, list);
  }
  async function ask(each, typed) {
    const mine = (asked += 1);
    try {
      const answer = await fetch(kind.url(each, typed), { headers: { Accept: 'application/json' }, credentials: 'same-origin' });
      if (!answer.ok || mine !== asked) return;
      const { results } = await answer.json();
      if (mine === asked && typedIn(each) === typed) open(each, results);
    } catch { /* offline: all can still be typed in full */ }
  }
  function choose(option) {
    const [each, typed] = [field, typedIn(field)];
    close();
    if (typed === undefined) return;
    const next = kind.choose(each, option.hit, typed) ?? each;
    next.focus();
    if (next === each) each.dispatchEvent(new Event('input', { bubbles: true }));
  }

  document.addEventListener('input', ({ target }) => {
    const each = kind.fieldOf(target);
    if (!each) return;
    const typed = typedIn(each);
    clearTimeout(timer);
    if (typed === undefined) close(); else timer = setTimeout(ask, WAIT, each, typed);
  });
  // Before the page's own keys, which would send the form or close a menu.
  document.addEventListener('keydown', (event) => {
    if (!list || !isIn(event.target) || event.ctrlKey || event.metaKey) return;
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
    const option = event.target.closest?.('[role=option]');
    if (option && list?.contains(option)) { event.preventDefault(); choose(option); } else if (list && !list.contains(event.target) && !isIn(event.target)) close();
  });
  document.addEventListener('focusout', (event) => { if (field && event.target === field) close(); });
  // The list would be left behind; what scrolls elsewhere, such as a conversation to a new message, doesn't move it.
  addEventListener('scroll', ({ target }) => { if (kind.placed && list && target.contains(field)) close(); }, true);
}
