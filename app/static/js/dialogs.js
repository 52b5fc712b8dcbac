// Dialogs: a link with data-dialog-page opens its page as a dialog over this one. Its form is sent from there; what was wrong is shown
// in it with what was typed, and when all is well the browser goes where the answer says. Without JavaScript the link leads to the page.
const token = () => document.querySelector('meta[name="csrf-token"]')?.content || '';
const sentenceOf = (answer) => { try { return decodeURIComponent(answer.headers.get('X-Sentence') || '') || String(answer.status); } catch { return String(answer.status); } };
const say = (text, again = null) => dispatchEvent(new CustomEvent('crm:toast', { detail: { text, again } }));
/** Say that the server could not be reached; `again` is offered as a button. */
const lost = (again = null) => say(document.querySelector('[data-toasts]').dataset.unreached, again);

/** The answer to a GET, its text as `html`; null when the server could not be reached, which is said, with `again` to try it again. */
async function ask(url, again) {
  try {
    const answer = await fetch(url, { headers: { 'HX-Request': 'true' }, credentials: 'same-origin' });
    return Object.assign(answer, { html: await answer.text() });
  } catch { lost(again); return null; }
}

function dialog() {
  let made = document.getElementById('dialog-page');
  if (!made) {
    made = Object.assign(document.createElement('dialog'), { id: 'dialog-page', className: 'dialog' });
    made.setAttribute('aria-labelledby', 'dialog-page-title');
    document.body.append(made);
  }
  return made;
}
// `done`: called with the answer instead of following it. Returns the dialog, or null if there is nothing to show.
export function show(html, done = null) {
  const made = dialog();
  const opener = document.activeElement;
  made.innerHTML = html;
  made.crmDone = done;
  if (!made.open) {
    made.showModal();
    made.addEventListener('close', () => { made.crmClosed?.(); made.crmClosed = null; if (opener?.isConnected) opener.focus(); }, { once: true });
  }
  made.dispatchEvent(new CustomEvent('crm:shown', { bubbles: true }));
  const first = ['[aria-invalid="true"]', '[autofocus]', 'input:not([type=hidden], [type=checkbox]), select, textarea, .menu-item'].map((each) => made.querySelector(each)).find(Boolean);
  first?.focus();
  return made;
}
export async function open(url, done = null, again = () => open(url, done)) {
  const answer = await ask(url, again);
  if (!answer) return null;
  if (!answer.ok) { say(sentenceOf(answer)); return null; }
  return show(answer.html, done);
}
export async function send(url, body) {
  const answer = await fetch(url, { method: 'POST', body, headers: { 'HX-Request': 'true', 'X-CSRFToken': token() }, credentials: 'same-origin' });
  if (answer.headers.get('X-Page-Expired')) dispatchEvent(new Event('crm:expired'));
  return answer;
}
export { ask, lost, say, sentenceOf };

document.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-dialog-page]');
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    link.closest('details[data-menu]')?.removeAttribute('open');
    let url = link.getAttribute('href');
    // The address may have changed by htmx since the link was drawn.
    if ('withQuery' in link.dataset) { const now = new URL(url, location.href); now.searchParams.set('query', location.search); const view = new URLSearchParams(location.search).get('view'); if (view) now.searchParams.set('view', view); url = now.pathname + now.search; }
    open(url);
  }
  const closer = event.target.closest('[data-dialog-page-close]');
  if (closer?.closest('dialog')) { event.preventDefault(); closer.closest('dialog').close(); }
});
document.addEventListener('submit', async (event) => {
  const form = event.target;
  const made = form.closest('dialog#dialog-page');
  if (!made || form.method !== 'post' || event.submitter?.dataset.confirm) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (form.dataset.busy) return;
  form.dataset.busy = '1';
  try {
    const answer = await send(event.submitter?.getAttribute('formaction') || form.action, new FormData(form, event.submitter));
    const to = answer.headers.get('HX-Redirect');
    if (to) { location.assign(to); return; }
    if (answer.headers.get('X-Needs') || (!answer.ok && !answer.headers.get('X-Sentence'))) { show(await answer.text(), made.crmDone); return; }
    if (!answer.ok) { say(sentenceOf(answer)); return; }
    if (made.crmDone) { made.crmDone(answer); made.close(); } else location.reload();
  } catch { say(document.querySelector('[data-toasts]').dataset.offline); } finally { delete form.dataset.busy; }
}, true);

// --- the column chooser: up and down, by button or Alt and an arrow key
function moveColumn(row, step) {
  const other = step < 0 ? row.previousElementSibling : row.nextElementSibling;
  if (!other || !other.querySelector('[data-column-move]')) return;
  if (step < 0) other.before(row); else other.after(row);
}
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-column-move]');
  if (button) { moveColumn(button.closest('[data-column]'), Number(button.dataset.columnMove)); button.focus(); }
});
document.addEventListener('keydown', (event) => {
  const row = event.target.closest?.('[data-column]');
  if (!row || !event.altKey || !['ArrowUp', 'ArrowDown'].includes(event.key)) return;
  event.preventDefault();
  moveColumn(row, event.key === 'ArrowUp' ? -1 : 1);
  event.target.focus();
});
