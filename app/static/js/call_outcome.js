// "Log outcome" opens in a dialog over the page that it stands on; without this file it is a page of its own.
const dialog = document.createElement('dialog');
dialog.className = 'dialog dialog-outcome';
dialog.setAttribute('aria-labelledby', 'outcome-title');
document.body.append(dialog);

document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href^="/calls/outcome/"]');
  if (!link || !window.htmx || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const here = location.pathname + location.search;
  window.htmx.ajax('GET', `${link.pathname}?back=${encodeURIComponent(here)}`, { target: dialog, swap: 'innerHTML', event });
});
dialog.addEventListener('click', (event) => { if (event.target.closest('[data-cancel]')) event.preventDefault(); });

// --- keys: O opens the first call that waits for its outcome; in the form 1–8 choose, L links,
// H, T and D save with a follow-up
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('select, textarea, input:not([type=radio], [type=checkbox])')) return;
  const form = event.target.closest('.outcome-form') || (dialog.open && dialog) || document.querySelector('.outcome-page');
  const key = CSS.escape(event.key.toLowerCase());
  const target = form ? form.querySelector(`[data-outcome-key="${key}"]`)
    : key === 'o' && !document.querySelector('dialog[open]') && document.querySelector('a[href^="/calls/outcome/"]');
  if (!target || !(target.offsetParent || target.checkVisibility?.())) return;
  event.preventDefault();
  const { focus } = target.dataset;
  const field = focus ? document.getElementById(`${focus}-ts-control`) || document.getElementById(focus) : form && target;
  field?.focus();
  if (!focus) target.click();
});

// Refused input is returned as the form with the input.
document.addEventListener('htmx:beforeSwap', ({ detail }) => {
  if (detail.xhr.status !== 422 || !detail.target.closest?.('.dialog-outcome, .outcome-page, .composer')) return;
  detail.shouldSwap = detail.xhr.responseText.includes('outcome-form');
  detail.isError = !detail.shouldSwap;
});
document.addEventListener('htmx:afterSettle', ({ detail }) => {
  if (!dialog.querySelector('.outcome-form') || !(detail.target === dialog || dialog.contains(detail.target) || detail.elt === dialog || dialog.contains(detail.elt))) return;
  // A refusal that comes after Escape does not open it again.
  if (!dialog.open && detail.requestConfig?.verb === 'get') dialog.showModal();
  if (dialog.open) begin(dialog);
});
function begin(place) {
  (place.querySelector('[aria-invalid=true]') || place.querySelector('input[name=outcome]:checked') || place.querySelector('input[name=outcome]'))?.focus();
}
document.querySelectorAll('.outcome-page').forEach(begin);
