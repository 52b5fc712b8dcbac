// Toasts: dispatchEvent(new CustomEvent('crm:toast', {detail: {text, url, again}})); `again`: what “Try again” does
// An open dialog covers the page, and nothing beside it can be clicked: what is said then stands in it.
function placeOf(home) {
  const dialog = [...document.querySelectorAll('dialog:modal')].at(-1);
  if (!dialog) return home;
  let place = dialog.querySelector(':scope > .toasts');
  if (!place) {
    place = Object.assign(document.createElement('div'), { className: 'toasts', role: 'status' });
    dialog.append(place);
    dialog.addEventListener('close', () => { home.append(...place.children); place.remove(); }, { once: true });
  }
  return place;
}
// The number of a record stays on one line (html_parts.py: whole).
function whole(text) {
  const pieces = String(text).split(/\b([A-Z]+(?:-[A-Z]+)?-\d{4}-\d{4,})\b/);
  return pieces.map((piece, at) => (at % 2 ? Object.assign(document.createElement('span'), { className: 'whole', textContent: piece }) : piece));
}
// How long a toast stays, in ms; one with a button stays longer.
const SHOWN = 8000, SHOWN_WITH_BUTTON = 20_000;

function toast({ text, url, again }) {
  const home = document.querySelector('[data-toasts]');
  if (!home || !text) return;
  const note = document.createElement(url ? 'a' : 'div');
  note.className = 'toast-note';
  const words = document.createElement('span');
  words.append(...whole(text));
  note.append(words);
  if (url) note.href = url;
  if (again) {
    const button = Object.assign(document.createElement('button'), { type: 'button', className: 'btn btn-small', textContent: home.dataset.again });
    button.addEventListener('click', () => { note.remove(); again(); });
    note.append(button);
  }
  document.querySelectorAll('.toast-note').forEach((old) => { if (old.textContent === note.textContent) old.remove(); });
  placeOf(home).append(note);
  setTimeout(() => note.remove(), again ? SHOWN_WITH_BUTTON : SHOWN);
}
addEventListener('crm:toast', (event) => toast(event.detail));
