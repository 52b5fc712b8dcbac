// Lists: rows open on click, shift-click chooses a run, bulk bar, filter builder; the URL holds the state of the list.
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

// --- a click anywhere on a row opens it, unless the click is on a control in the row
document.addEventListener('click', (event) => {
  const row = event.target.closest('[data-list] tr[data-href]');
  if (!row || event.defaultPrevented || event.target.closest('a, button, input, label, form, .col-check') || String(getSelection())) return;
  if (event.metaKey || event.ctrlKey) open(row.dataset.href, '_blank', 'noopener'); else location.assign(row.dataset.href);
});
document.addEventListener('auxclick', (event) => {
  const row = event.target.closest('[data-list] tr[data-href]');
  if (row && event.button === 1 && !event.target.closest('a, button, input')) open(row.dataset.href, '_blank', 'noopener');
});

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

// --- the filter builder: fetched when its menu is pointed at or opened; a row of it shows when its field is chosen
const filterMenu = document.querySelector('[data-filter-menu]');
function fetchFilters() {
  const body = filterMenu.querySelector('[data-filter-body]');
  if (!window.htmx || 'asked' in body.dataset) return;
  body.dataset.asked = '';
  window.htmx.ajax('GET', filterMenu.dataset.filtersUrl + location.search, { target: body, swap: 'innerHTML' })
    .then(() => { if (!body.querySelector('form')) delete body.dataset.asked; });
}
filterMenu?.addEventListener('toggle', () => { if (filterMenu.open) fetchFilters(); });
filterMenu?.querySelector('summary').addEventListener('pointerenter', fetchFilters);
function showRow(form, name) {
  const rows = $$(`[data-filter-row="${CSS.escape(name)}"]`, form);
  let row = rows.find((each) => each.hidden);
  if (!row) {
    row = rows[0].cloneNode(true);
    $$('.ts-wrapper', row).forEach((wrapper) => wrapper.remove());
    $$('select, input', row).forEach((control) => { control.classList.remove('tomselected', 'ts-hidden-accessible'); if (!control.matches('[data-filter-op]')) control.value = ''; });
    rows.at(-1).after(row);
  }
  row.hidden = false;
  showValue(row);
  row.querySelector('[data-filter-drop]').hidden = false;
  form.querySelector('[data-filter-none]').hidden = true;
  row.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true }));
  row.querySelector('[data-filter-op]').focus();
}
// "is empty" and "is not empty" need no value
const bare = (row) => ['null', 'not_null'].includes(row.querySelector('[data-filter-op]').value);
const showValue = (row) => { row.querySelector('.filter-value').hidden = bare(row); };
function valueOf(row) { return row.querySelector('.filter-value select, .filter-value input, [data-filter-value]'); }
function startFilters(form) {
  const add = form.querySelector('[data-filter-add]');
  $$('[data-filter-row]', form).forEach((row) => { row.hidden = true; });
  form.querySelector('[data-filter-none]').hidden = false;
  add.hidden = false;
  add.addEventListener('change', () => { if (add.value) showRow(form, add.value); add.value = ''; });
  form.addEventListener('click', (event) => {
    const row = event.target.closest('[data-filter-drop]')?.closest('[data-filter-row]');
    if (!row) return;
    row.hidden = true;
    const control = valueOf(row);
    if (control.tomselect) control.tomselect.clear(); else control.value = '';
  });
  form.addEventListener('change', (event) => {
    if (event.target.matches('[data-filter-op]')) showValue(event.target.closest('[data-filter-row]'));
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const address = new URLSearchParams(location.search);
    CURSORS.forEach((name) => address.delete(name));
    for (const row of $$('[data-filter-row]', form)) {
      const value = bare(row) ? '1' : valueOf(row)?.value;
      if (!row.hidden && value) address.append(`_flt_${row.querySelector('[data-filter-op]').value}_${row.dataset.filterRow}`, value);
    }
    location.assign(`${form.getAttribute('action') || location.pathname}?${address}`);
  });
}
$$('[data-filter-form]').forEach(startFilters);
document.addEventListener('htmx:afterSwap', (event) => { if (event.target.matches('[data-filter-body]')) $$('[data-filter-form]', event.target).forEach(startFilters); });
count();
