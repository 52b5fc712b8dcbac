// Lists: shift-click chooses a run, bulk bar, quick filters; the URL holds the state of the list. Rows: list_rows.js.
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const CURSORS = ['page', 'after', 'before', 'cursor'];

// --- choosing rows
let last = null;
const boxes = (within = document) => $$('[data-list] [name="rowid"]', within);
function count() {
  for (const list of $$('[data-list]')) {
    const every = $$('[name="rowid"]', list);
    const chosen = every.filter((box) => box.checked).length;
    $$('[data-bulk-count]', list).forEach((place) => { place.textContent = chosen; });
    const all = list.querySelector('[data-check-all]');
    if (all) { all.checked = chosen > 0 && chosen === every.length; all.indeterminate = chosen > 0 && !all.checked; }
  }
}
document.addEventListener('click', (event) => {
  const box = event.target.closest('[data-list] [name="rowid"]');
  if (box) {
    const every = boxes(box.closest('[data-list]').parentElement);
    if (event.shiftKey && last && every.includes(last)) {
      const [from, to] = [every.indexOf(last), every.indexOf(box)].sort((a, b) => a - b);
      every.slice(from, to + 1).forEach((between) => { between.checked = box.checked; });
    }
    last = box;
    count();
  }
  const all = event.target.closest('[data-check-all]');
  if (all) { boxes(all.closest('[data-list]').parentElement).forEach((each) => { each.checked = all.checked; }); count(); }
  if (event.target.closest('[data-bulk-clear]')) { boxes().forEach((each) => { each.checked = false; }); count(); }
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !document.querySelector('dialog[open], details[data-menu][open]')) { boxes().forEach((each) => { each.checked = false; }); count(); }
});

// --- the filter builder and its script are fetched when its menu is pointed at or opened; else its link leads to a page
const menu = document.querySelector('[data-filter-menu]');
async function fetchFilters() {
  const body = menu.querySelector('[data-filter-body]');
  if (!window.htmx || 'asked' in body.dataset) return;
  body.dataset.asked = '';
  try {
    await import(menu.dataset.filtersJs);
    await window.htmx.ajax('GET', menu.dataset.filtersUrl + location.search, { target: body, swap: 'innerHTML' });
  } finally { if (!body.querySelector('form')) delete body.dataset.asked; }
}
menu?.addEventListener('toggle', () => { if (menu.open) fetchFilters(); });
menu?.querySelector('summary').addEventListener('pointerenter', fetchFilters);
// What htmx has changed since is asked for anew.
document.addEventListener('htmx:pushedIntoHistory', () => { const body = menu?.querySelector('[data-filter-body]'); if (body && !menu.open) delete body.dataset.asked; });

// --- quick filters and the search box change only their own part of the address
document.addEventListener('htmx:configRequest', (event) => {
  const form = event.target.closest?.('[data-list-form]');
  if (!form || event.detail.verb !== 'get') return;
  const own = form.dataset.listOwn.split(' ');
  const address = new URLSearchParams(location.search);
  [...own, ...CURSORS].forEach((name) => address.delete(name));
  for (const [name, value] of new FormData(form)) if (own.includes(name) && value) address.append(name, value);
  const query = String(address);
  event.detail.path = form.getAttribute('action') + (query ? `?${query}` : '');
  event.detail.useUrlParams = false;
  [...event.detail.formData.keys()].forEach((name) => event.detail.formData.delete(name));
});
document.addEventListener('htmx:afterSwap', (event) => {
  count();
  $$('.quick-field').forEach((field) => field.classList.toggle('is-set', Boolean(field.querySelector('select, input')?.value)));
  if (event.target.id === 'list') document.querySelector('.list-scroll')?.scrollTo(0, 0);
});

count();
