// The quick form of a new record, from anywhere: “+ New” and Shift+N. In it and in the full form, who is known already shows while
// one types; “Use this” fills their name, number and address in; “Full form” takes along what was typed.
import { open, send } from './dialogs.js';

let timer = null;
let mark = 0;
document.addEventListener('input', (event) => {
  const form = event.target.closest?.('[data-known-url]');
  if (!form || !['mobile', 'email', 'pan'].includes(event.target.name)) return;
  clearTimeout(timer);
  timer = setTimeout(look, 300, form, event.target.closest('.field'));
});
// `field`: what was typed in; who is known stands below it.
async function look(form, field) {
  const mine = mark += 1;
  const place = form.querySelector('[data-known]');
  if (field && field.nextElementSibling !== place) { place.replaceChildren(); field.after(place); }
  let html = '';
  try { const answer = await send(form.dataset.knownUrl, new FormData(form)); html = answer.ok ? await answer.text() : ''; } catch { /* saving tells */ }
  if (mine === mark && place.isConnected) place.innerHTML = html;
}
function fill(form, name, value) {
  const control = form.elements[name];
  if (!control) return;
  if (value && typeof value === 'object') {
    if (control.tomselect) { control.tomselect.addOption(value); control.tomselect.setValue(value.value); } else { control.append(new Option(value.label, value.value, true, true)); }
  } else if (value) control.value = value;
}
document.addEventListener('click', (event) => {
  const use = event.target.closest('[data-use]');
  if (use) {
    const form = use.closest('[data-known-url]');
    for (const [name, value] of Object.entries(JSON.parse(use.dataset.use))) fill(form, name, value);
    form.querySelector(':is(.dialog-foot, .form-foot) .btn-primary').focus();
  }
  const full = event.target.closest('[data-quick-full]');
  if (full) {
    const given = [...new FormData(full.closest('form'))].filter(([name, value]) => value && name !== 'csrf_token');
    full.href = `${full.getAttribute('href').split('?')[0]}?${new URLSearchParams(given)}`;
  }
  const link = event.target.closest('a[data-quick-open]');
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); link.closest('details')?.removeAttribute('open'); open(link.href); }
});
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.key !== 'N' || event.target.closest('input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], dialog, .ts-wrapper') || document.querySelector('dialog[open]')) return;
  const links = [...document.querySelectorAll('a[data-quick-open]')];
  // The one of the list or record on this page, else the first.
  const link = links.find((each) => location.pathname.startsWith(each.dataset.quickOpen)) || links[0];
  if (link) { event.preventDefault(); open(link.href); }
});
