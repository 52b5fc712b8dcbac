// Draws the charts of a dashboard from their tables, which stay beside them; a click on a bar, point or slice opens its list.
import { bars, lines, slices } from './chart_drawing.js';

const DRAWING = { bar: bars, line: lines, pie: slices };
const drawn = new WeakMap();

function read(part) {
  const table = part.querySelector('table');
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const rows = [...table.tBodies[0].rows].map((row) => ({
    label: row.cells[0].textContent.trim(),
    cells: [...row.cells].slice(1).map((cell) => ({
      value: Number(cell.dataset.value || 0),
      text: cell.textContent.trim(),
      url: cell.querySelector('a')?.getAttribute('href'),
    })),
  }));
  return { heads: heads.slice(1), rows };
}

function open(event) {
  const url = event.target.closest('[data-url]')?.dataset.url;
  if (!url) return;
  if (event.ctrlKey || event.metaKey) window.open(url);
  else window.location.assign(url);
}

const draw = (place) => DRAWING[drawn.get(place).kind](place, drawn.get(place).found);

// Lines are as long as their place is wide; the others fit any width.
const widths = new ResizeObserver((changes) => changes.forEach(({ target, contentRect }) => {
  const known = drawn.get(target);
  if (known.kind !== 'line' || known.width === contentRect.width || !contentRect.width) return;
  known.width = contentRect.width;
  draw(target);
}));

function drawAll() {
  document.querySelectorAll('[data-chart]').forEach((part) => {
    const place = part.querySelector('[data-canvas]');
    if (drawn.has(place)) return;
    place.hidden = false;
    drawn.set(place, { kind: part.dataset.chart, found: read(part), width: place.clientWidth });
    draw(place);
    place.addEventListener('click', open);
    part.querySelector('details').open = false;
    widths.observe(place);
  });
}

drawAll();
document.addEventListener('htmx:afterSettle', drawAll);

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
// On paper, every table is open, and charts have the colours of the light theme.
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
