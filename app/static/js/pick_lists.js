// Pick-lists with type-ahead (Tom Select), which is fetched only where one is seen.
const root = document.documentElement;
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const PICKS = 'select[data-lookup], select[data-pick], select.my_select2, input.my_select2_ajax, input.my_select2_ajax_slave';

const lost = (again = null) => dispatchEvent(new CustomEvent('crm:toast', { detail: { text: document.querySelector('[data-toasts]')?.dataset.unreached, again } }));

let loading = null;
function tomSelect() {
  loading ??= new Promise((ready, failed) => {
    const sheet = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: root.dataset.pickCss });
    document.head.prepend(sheet);
    const script = Object.assign(document.createElement('script'), { src: root.dataset.pickJs, onload: () => ready(window.TomSelect), onerror: () => { loading = null; failed(); } });
    document.head.append(script);
  });
  return loading;
}

// What stands in the text box of a pick-list without an entry having been chosen: it is sent, so that nothing is dropped.
const typed = new WeakMap();
document.addEventListener('formdata', (event) => {
  $$('select[data-lookup]', event.target).forEach((control) => {
    const text = (typed.get(control) || '').trim();
    if (text && control.name && !control.value) event.formData.set(`${control.name}--typed`, text);
  });
});

function option(item, escape) {
  return `<div>${escape(item.label)}${item.hint ? `<span class="hint">${escape(item.hint)}</span>` : ''}</div>`;
}

const nothing = () => Object.assign(document.createElement('div'), { className: 'no-results', textContent: root.dataset.pickNone });

async function hits(control, typed) {
  const url = new URL(control.dataset.lookup || control.getAttribute('endpoint'), location.href);
  url.searchParams.set('q', typed);
  let answer;
  try { answer = await fetch(url, { headers: { Accept: 'application/json' }, credentials: 'same-origin' }); } catch { lost(); return []; }
  if (!answer.ok) { lost(); return []; } // an empty list would say that there is nobody
  const found = await answer.json();
  // Ours: {results: [{value, label, hint}]}; FAB's: [{id, text}].
  return (found.results || found).map((hit) => ({ value: String(hit.value ?? hit.id), label: hit.label ?? hit.text, hint: hit.hint }));
}

function settings(control) {
  const remote = control.dataset.lookup || control.getAttribute('endpoint');
  const many = control.multiple;
  const shared = {
    plugins: { ...(many && { remove_button: { title: root.dataset.pickRemove } }), ...(!control.required && !many && { clear_button: { title: root.dataset.pickClear } }) },
    placeholder: control.dataset.placeholder || control.getAttribute('placeholder') || '',
    maxOptions: 200, hidePlaceholder: true, closeAfterSelect: !many, dropdownParent: control.closest('dialog') ? null : 'body',
    render: { no_results: nothing },
    onItemAdd() { typed.delete(control); this.setTextboxValue(''); },
    onBlur() { if (typed.get(control) && !this.items.length) this.setTextboxValue(typed.get(control)); },
  };
  if (!remote) return { ...shared, allowEmptyOption: false };
  return {
    ...shared, valueField: 'value', labelField: 'label', searchField: [], maxOptions: 20, preload: 'focus',
    options: $$('option', control).filter((each) => each.value).map((each) => ({ value: each.value, label: each.textContent })),
    // An answer to what no longer stands there would be offered beside the right ones.
    load(text, done) { hits(control, text).then((found) => done(this.inputValue() === text ? found : []), () => done()); },
    score: () => () => 1,
    onType() { this.clearOptions((kept) => this.items.includes(kept.value)); },
    render: { option, no_results: nothing, item: (item, escape) => `<div>${escape(item.label)}</div>` },
  };
}

// A list that was closed by a choice, Escape or by leaving it stays closed: neither the search that is due for what was typed nor an
// answer that comes late opens it again. Typing, a click or an arrow key does.
function staysClosed(pick) {
  let isDone = false;
  const refresh = pick.refreshOptions;
  pick.refreshOptions = (opens = true) => refresh.call(pick, opens && !isDone);
  pick.hook('before', 'close', (isFinal = true) => {
    if (!isFinal) return; // nothing to show at the moment
    clearTimeout(pick.refreshTimeout);
    pick.refreshTimeout = null;
    isDone = true;
  });
  pick.hook('before', 'open', () => { isDone = false; });
  pick.on('focus', () => { isDone = false; });
  pick.control_input.addEventListener('input', () => { isDone = false; }, true);
}

export async function boot(within = document) {
  const seen = $$(PICKS, within).filter((control) => !control.tomselect && !control.disabled && control.offsetParent && control.checkVisibility());
  if (!seen.length) return;
  let Pick;
  try { Pick = await tomSelect(); } catch { lost(() => boot(within)); return; }
  seen.filter((control) => !control.tomselect).forEach((control) => {
    const error = control.getAttribute('aria-describedby');
    const waited = document.activeElement === control;
    const pick = new Pick(control, { ...settings(control), openOnFocus: !waited });
    // A click into an open list must not close it: what was typed would be lost.
    pick.hook('instead', 'onClick', () => { pick.focus(); if (!pick.isOpen) pick.open(); });
    staysClosed(pick);
    if (waited) pick.focus();
    if (control.dataset.lookup) pick.control_input.addEventListener('input', () => typed.set(control, pick.control_input.value));
    setTimeout(() => { pick.settings.openOnFocus = true; }, 100); // its focus handler waits a moment
    control.setAttribute('aria-hidden', 'true');
    const label = control.getAttribute('aria-label');
    if (label) pick.control_input.setAttribute('aria-label', label);
    if (error) pick.control_input.setAttribute('aria-describedby', error);
  });
}
document.addEventListener('crm:shown', (event) => boot(event.target));
document.addEventListener('toggle', (event) => { if (event.target.open) boot(event.target); }, true);
document.addEventListener('htmx:afterSettle', () => boot());
