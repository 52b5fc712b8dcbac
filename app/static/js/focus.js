// After a swap the focus stays where it was: on the control that came back, else on its neighbour, never on the body.
const FOCUSABLE = 'a[href], button:not(:disabled), input:not([type=hidden], :disabled), select:not(:disabled), textarea, summary, [tabindex="0"]';
const name = (control) => `${control.tagName} ${control.getAttribute('aria-label') || control.name || control.textContent.trim()}`;
let left = null;

// The target is asked for what it holds before it goes.
function note({ detail }) {
  const control = document.activeElement;
  if (!detail.target?.contains(control) || control === document.body) return;
  const scope = detail.target.id ? `#${CSS.escape(detail.target.id)}` : null;
  const place = [...detail.target.querySelectorAll(FOCUSABLE)].indexOf(control);
  left = { id: control.id, name: name(control), href: control.getAttribute('href'), scope, place };
}
document.addEventListener('htmx:beforeSwap', note);
// Parts that are swapped beside the target: by then the focus is still in the old one.
document.addEventListener('htmx:oobBeforeSwap', note);
function find(within) {
  const every = [...within.querySelectorAll(FOCUSABLE)].filter((each) => each.checkVisibility());
  return (left.id && document.getElementById(left.id))
    || every.find((each) => name(each) === left.name)
    || (left.href && every.find((each) => each.getAttribute('href') === left.href))
    || every[Math.min(Math.max(left.place, 0), every.length - 1)];
}
document.addEventListener('htmx:afterSettle', () => setTimeout(() => {
  if (!left || (document.activeElement && document.activeElement !== document.body)) { left = null; return; }
  const main = document.getElementById('main');
  const within = (left.scope && document.querySelector(left.scope)) || main;
  const control = within && find(within);
  (control || main)?.focus({ preventScroll: true });
  left = null;
}));
// A control that is removed or hidden without a swap.
document.addEventListener('focusout', (event) => setTimeout(() => {
  if (document.activeElement !== document.body || event.relatedTarget || event.target.isConnected || left) return;
  document.getElementById('main')?.focus({ preventScroll: true });
}));
