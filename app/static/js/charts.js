// A dashboard or report: its charts, which are pictures until somebody points at them, its filters, and how it is printed.

// What draws a chart is larger than all else of the page, so it comes once a chart is pointed at, focused or touched. Without it, the picture and its table stay.
async function wake(target) {
  const part = target.closest?.('[data-chart]');
  if (!part) return;
  try {
    const [drawing, library] = await Promise.all([import('./chart_drawing.js'), import(document.getElementById('charts').dataset.library)]);
    if (part.isConnected) drawing.draw(part, library);
  } catch { /* offline: the next touch tries again */ }
}
const wakeOnce = ({ target }) => {
  if (!target.closest?.('[data-chart]:not(.is-live)')) return;
  wake(target);
};
['pointerover', 'focusin', 'touchstart'].forEach((name) => document.addEventListener(name, wakeOnce, { passive: true }));

document.addEventListener('click', ({ target }) => {
  const key = target.closest('[data-key]');
  if (!key) return;
  key.setAttribute('aria-pressed', String(key.getAttribute('aria-pressed') === 'false'));
  wake(key);
});

function enableKeys() {
  document.querySelectorAll('[data-key]:disabled').forEach((key) => { key.disabled = false; });
}
enableKeys();
document.addEventListener('htmx:afterSettle', enableKeys);

// A heat map that doesn't fit begins where the office opens.
document.querySelectorAll('[data-begin]').forEach((place) => {
  const [label, ...hours] = place.querySelector('thead tr').cells;
  const first = hours[Number(place.dataset.begin) - 1];
  if (first) place.scrollLeft = first.offsetLeft - label.offsetWidth;
});

document.querySelectorAll('[data-submit]').forEach((select) => select.addEventListener('change', () => select.form.requestSubmit()));
document.querySelectorAll('[data-print]').forEach((button) => {
  button.hidden = false;
  button.addEventListener('click', () => window.print());
});
// On paper, every table is open, and charts have the colors of the light theme.
const root = document.documentElement;
window.addEventListener('beforeprint', () => {
  document.querySelectorAll('.dash-table:not([open])').forEach((each) => { each.dataset.shut = ''; each.open = true; });
  if (root.dataset.bsTheme !== 'dark') return;
  root.dataset.onScreen = 'dark';
  root.dataset.bsTheme = 'light';
});
window.addEventListener('afterprint', () => {
  document.querySelectorAll('.dash-table[data-shut]').forEach((each) => { delete each.dataset.shut; each.open = false; });
  if (!root.dataset.onScreen) return;
  root.dataset.bsTheme = root.dataset.onScreen;
  delete root.dataset.onScreen;
});
