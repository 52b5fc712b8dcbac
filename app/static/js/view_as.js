// In a view as another user nothing can be changed: what would be refused can't be chosen, and says why. Loaded by shell/view_as.html.
const bar = document.querySelector('[data-viewing]');
const reason = bar.dataset.viewing;
// What changes something without being the button of a form: calls, the composer, forms of changes.
const LINKS = '[data-dial], .row-call, a[href^="tel:"], a[href^="https://wa.me/"], a[href^="/calls/outcome/"], [data-compose], [data-part-open], [data-mail-open], [data-reveal], [data-cell-form], [data-save-view]';
// How a view ends.
const isAllowed = (form) => form.closest('[data-viewing]') || /\/logout\/?$/.test(form.action);
const changes = (form) => form && !isAllowed(form) && (form.method === 'post' || form.matches('[hx-post], [hx-put], [hx-patch], [hx-delete]'));

function refuse(element) {
  element.title = reason;
  if ('disabled' in element) { element.disabled = true; return; }
  element.removeAttribute('href');
  for (const name of ['data-dial', 'data-compose', 'data-part-open', 'data-mail-open', 'data-reveal', 'data-key']) element.removeAttribute(name);
  element.setAttribute('role', element.getAttribute('role') || 'link');
  element.setAttribute('aria-disabled', 'true');
}

function refuseAll() {
  document.querySelectorAll('[data-composer]').forEach((box) => {
    box.replaceWith(Object.assign(document.createElement('p'), { className: 'note tone-violet', textContent: reason }));
  });
  document.querySelectorAll(LINKS).forEach(refuse);
  document.querySelectorAll('button, input, select, textarea').forEach((each) => { if (changes(each.form)) refuse(each); });
  document.querySelectorAll('button:is([hx-post], [hx-put], [hx-patch], [hx-delete])').forEach(refuse);
}

refuseAll();
new MutationObserver(refuseAll).observe(document.body, { childList: true, subtree: true });
