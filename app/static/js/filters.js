// The filter builder of a list: conditions in groups, “all of these” or “any of these”, nested. Flat ones become arguments of
// the address as they always were (_flt_eq_status=3), others one argument with JSON (where=["any",…]).
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const CURSORS = ['page', 'after', 'before', 'cursor'];
const MOST = 4; // groups within groups

// --- one condition
const valueOf = (row) => row.querySelector('.filter-value select, .filter-value input, [data-filter-value]');
const isBare = (row) => ['null', 'not_null'].includes(row.querySelector('[data-filter-op]').value); // needs no value
const showValue = (row) => { row.querySelector('.filter-value').hidden = isBare(row); };
function conditionFrom(form, name, op, value) {
  const model = form.querySelector(`[data-filter-row="${CSS.escape(name)}"]`);
  if (!model) return null;
  const row = model.cloneNode(true);
  row.hidden = false;
  row.querySelector('[data-filter-drop]').hidden = false;
  const control = valueOf(row);
  control.removeAttribute('name');
  $$('select, input', row).forEach((each) => { each.disabled = false; });
  if (op) row.querySelector('[data-filter-op]').value = op;
  if (value) {
    if (control.tagName === 'SELECT' && ![...control.options].some((each) => each.value === value)) control.append(new Option(value, value));
    control.value = value;
  }
  row.dataset.condition = name;
  delete row.dataset.filterRow;
  showValue(row);
  return row;
}
const readCondition = (row) => [row.dataset.condition, row.querySelector('[data-filter-op]').value, isBare(row) ? '1' : valueOf(row)?.value || ''];

// --- a group of them
function groupFrom(form, depth = 1) {
  const group = form.querySelector('[data-filter-group-model]').content.firstElementChild.cloneNode(true);
  group.dataset.depth = depth;
  if (depth >= MOST) group.querySelector('[data-filter-nest]').remove();
  if (depth === 1) group.querySelector('[data-filter-ungroup]').remove();
  return group;
}
const parts = (group) => [...group.querySelector('[data-filter-parts]').children];
function readGroup(group) {
  const found = parts(group).map((part) => (part.matches('[data-filter-group]') ? readGroup(part) : readCondition(part)));
  return [group.querySelector('[data-filter-join]').value, ...found.filter((part) => (['all', 'any'].includes(part[0]) ? part.length > 1 : part[2]))];
}
function fill(form, group, wanted) {
  group.querySelector('[data-filter-join]').value = wanted[0];
  for (const part of wanted.slice(1)) {
    let made;
    if (['all', 'any'].includes(part[0])) { made = groupFrom(form, Number(group.dataset.depth) + 1); fill(form, made, part); } else made = conditionFrom(form, ...part);
    if (made) group.querySelector('[data-filter-parts]').append(made);
  }
}

// --- the form
function toAddress(form, group) {
  const address = new URLSearchParams(location.search);
  CURSORS.forEach((name) => address.delete(name));
  address.delete('where');
  // An address of conditions joined by “and” stays one that people can read.
  if (group[0] === 'all' && group.slice(1).every((part) => !['all', 'any'].includes(part[0]))) {
    for (const [name, op, value] of group.slice(1)) address.append(`_flt_${op}_${name}`, value);
  } else if (group.length > 1) address.set('where', JSON.stringify(group));
  return `${form.getAttribute('action') || location.pathname}?${address}`;
}
function start(form) {
  const model = form.querySelector('[data-filter-group-model]');
  if (!model || 'started' in form.dataset) return;
  form.dataset.started = '';
  $$('[data-filter-row]', form).forEach((row) => { row.hidden = true; });
  // The builder of a report is part of a larger form: its conditions go into one of its inputs, not into the address.
  const into = form.querySelector('[data-filter-where]');
  if (into) $$('[data-filter-row] :is(input, select)', form).forEach((control) => { control.disabled = true; });
  const root = groupFrom(form);
  (form.querySelector('[data-filter-place]') || form).prepend(root);
  let kept = null;
  try { kept = JSON.parse(into ? into.value : new URLSearchParams(location.search).get('where')); } catch { /* the server has refused it */ }
  if (Array.isArray(kept)) fill(form, root, kept);
  const write = () => {
    if (!into) return;
    const group = readGroup(root);
    into.value = group.length > 1 ? JSON.stringify(group) : '';
  };
  const take = (add, isFocused = true) => {
    const row = conditionFrom(form, add.value);
    add.closest('[data-filter-group]').querySelector('[data-filter-parts]').append(row);
    add.value = '';
    row.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true }));
    if (isFocused) row.querySelector('[data-filter-op]').focus();
  };
  // Letters and arrows change a closed list at once: by keyboard, what is chosen counts with Enter, or when it is left.
  let keyed = null;
  form.addEventListener('pointerdown', () => { keyed = null; });
  form.addEventListener('keydown', (event) => {
    keyed = event.target.closest('[data-filter-add]');
    if (!keyed?.value || event.shiftKey || !['Enter', 'Tab'].includes(event.key)) return;
    event.preventDefault();
    take(keyed);
    write();
  });
  form.addEventListener('focusout', (event) => {
    if (!keyed?.value || event.target !== keyed) return;
    take(keyed, false);
    write();
  });
  form.addEventListener('change', (event) => {
    const add = event.target.closest('[data-filter-add]');
    if (add?.value && add !== keyed) take(add);
    if (event.target.matches('[data-filter-op]')) showValue(event.target.closest('[data-condition]'));
    write();
  });
  form.addEventListener('click', (event) => {
    const group = event.target.closest('[data-filter-group]');
    if (event.target.closest('[data-filter-drop]')) event.target.closest('[data-condition]').remove();
    if (event.target.closest('[data-filter-ungroup]')) group.remove();
    if (event.target.closest('[data-filter-nest]')) {
      const made = groupFrom(form, Number(group.dataset.depth) + 1);
      made.querySelector('[data-filter-join]').value = group.querySelector('[data-filter-join]').value === 'all' ? 'any' : 'all';
      group.querySelector('[data-filter-parts]').append(made);
      made.querySelector('[data-filter-add]').focus();
    }
    if (into && event.target.closest('[data-filter-drop], [data-filter-ungroup]')) { write(); form.dispatchEvent(new CustomEvent('crm:changed')); }
  });
  if (into) { root.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true })); form.addEventListener('submit', write); return; }
  form.addEventListener('submit', (event) => { event.preventDefault(); location.assign(toAddress(form, readGroup(root))); });
}
$$('[data-filter-form]').forEach(start);
document.addEventListener('htmx:afterSwap', (event) => { if (event.target.matches('[data-filter-body]')) { $$('[data-filter-form]', event.target).forEach(start); event.target.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true })); } });
