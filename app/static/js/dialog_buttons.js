// Buttons that ask before they act (data-confirm), and that open dialogs of the page or fetch them (data-dialog).
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// --- confirm irreversible actions: data-confirm on a submit button or a form
const asking = document.getElementById('confirm');
function ask(sentence, danger) {
  asking.querySelector('[data-confirm-text]').textContent = sentence;
  const ok = asking.querySelector('[data-confirm-ok]');
  ok.classList.toggle('btn-danger', danger);
  ok.classList.toggle('btn-primary', !danger);
  asking.returnValue = '';
  asking.showModal();
  return new Promise((tell) => asking.addEventListener('close', () => tell(asking.returnValue === 'ok'), { once: true }));
}
document.addEventListener('submit', async (event) => {
  const form = event.target;
  const button = event.submitter;
  const sentence = button?.dataset.confirm || form.dataset.confirm;
  if (!sentence || form.dataset.confirmed) return;
  if (!asking) { if (!confirm(sentence)) event.preventDefault(); return; } // the dialogs didn't come
  event.preventDefault();
  event.stopImmediatePropagation();
  const danger = 'danger' in (button?.dataset || {}) || button?.classList.contains('is-danger') || 'danger' in form.dataset;
  if (!(await ask(sentence, danger))) return;
  form.dataset.confirmed = '1';
  form.requestSubmit(button);
  delete form.dataset.confirmed;
}, true);

// --- a dialog that is fetched when it is first opened; again only under another address, such as that of a newer version
const asked = new Map();
async function fetched(opener) {
  const { dialog: id, dialogUrl: url } = opener.dataset;
  if (!asked.has(url)) asked.set(url, fetch(url, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin' }).then(async (answer) => {
    if (!answer.ok || answer.redirected) throw Object.assign(new Error(), { sentence: decodeURIComponent(answer.headers.get('X-Sentence') || '') });
    document.getElementById(id)?.remove();
    document.body.insertAdjacentHTML('beforeend', await answer.text());
    return document.getElementById(id);
  }));
  try { const dialog = await asked.get(url); if (dialog.isConnected) return dialog; } catch (refused) {
    const text = refused.sentence || document.querySelector('[data-toasts]').dataset.unreached;
    dispatchEvent(new CustomEvent('crm:toast', { detail: { text, again: refused.sentence ? null : () => opener.click() } }));
  }
  asked.delete(url);
  return null;
}

// --- dialogs: data-dialog="id" opens, data-dialog-close closes; fields of a closed dialog are not sent
document.addEventListener('click', async (event) => {
  const opener = event.target.closest('[data-dialog]');
  const isFetched = Boolean(opener?.dataset.dialogUrl);
  if (isFetched && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
  if (isFetched) event.preventDefault();
  const dialog = isFetched ? await fetched(opener) : opener && document.getElementById(opener.dataset.dialog);
  if (dialog) {
    event.preventDefault();
    $$('[data-dialog-fields]', dialog).forEach((fields) => { fields.disabled = false; });
    opener.closest('details[data-menu]')?.removeAttribute('open');
    if (!dialog.open) dialog.showModal();
    dialog.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true }));
    dialog.addEventListener('close', () => {
      $$('[data-dialog-fields]', dialog).forEach((fields) => { fields.disabled = true; });
      if (!opener.checkVisibility()) opener.closest('details')?.querySelector('summary').focus(); // its menu is closed by now
    }, { once: true });
  }
  if (event.target.closest('dialog [data-dialog-close]')) { event.preventDefault(); event.target.closest('dialog').close(); }
});
