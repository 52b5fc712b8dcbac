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
  window.htmx.ajax('GET', `${link.pathname}?back=${encodeURIComponent(here)}`, { target: dialog, swap: 'innerHTML' });
});
dialog.addEventListener('click', (event) => { if (event.target.closest('[data-cancel]')) event.preventDefault(); });

// Refused input comes back as the form with what was typed.
document.addEventListener('htmx:beforeSwap', ({ detail }) => {
  if (detail.xhr.status !== 422 || !detail.target.closest?.('.dialog-outcome, .outcome-page')) return;
  detail.shouldSwap = detail.xhr.responseText.includes('outcome-form');
  detail.isError = !detail.shouldSwap;
});
document.addEventListener('htmx:afterSettle', ({ detail }) => {
  if (!dialog.querySelector('.outcome-form') || !(detail.target === dialog || dialog.contains(detail.target) || detail.elt === dialog || dialog.contains(detail.elt))) return;
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector('[aria-invalid=true]') || dialog.querySelector('input[name=outcome]:checked') || dialog.querySelector('input[name=outcome]')).focus();
});
