// Draws bars, lines and slices as HTML and SVG. Their colours are classes of dashboards.css: they follow the theme and are printed.
// `found` is what charts.js reads from a table: { heads: [name], rows: [{ label, cells: [{ value, text, url }] }] }.
const SVG = 'http://www.w3.org/2000/svg';
const TONES = 5;
const tone = (place) => `chart-tone-${place % TONES}`;

function html(name, className, ...inside) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...inside);
  return made;
}

function svg(name, attributes, ...inside) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

// What a click opens: charts.js follows it.
function opening(element, cell) {
  if (cell.url) element.dataset.url = cell.url;
  return element;
}

// One name needs none: it is the title of the part.
function legend(heads) {
  if (heads.length < 2) return '';
  return html('div', 'chart-legend', ...heads.map((name, place) => html('span', 'chart-key', html('i', `chart-swatch ${tone(place)}`), name)));
}

// --- bars

export function bars(place, { heads, rows }) {
  const values = rows.flatMap((row) => row.cells.map((cell) => cell.value));
  const least = Math.min(0, ...values);
  const span = Math.max(0, ...values) - least || 1;
  const bar = (cell, series) => {
    const fill = html('span', `chart-fill ${tone(series)}`);
    const before = (Math.min(0, cell.value) - least) / span;
    fill.style.setProperty('width', `${(100 * Math.abs(cell.value)) / span}%`);
    const track = opening(html('span', 'chart-track', fill, html('span', 'chart-value', cell.text)), cell);
    track.style.setProperty('padding-left', `${100 * before}%`);
    return track;
  };
  const lines = rows.flatMap((row) => {
    const label = html('span', 'chart-label', row.label);
    label.title = row.label;
    return [label, html('span', 'chart-tracks', ...row.cells.map(bar))];
  });
  place.replaceChildren(legend(heads), html('div', 'chart-bars', ...lines));
}

// --- lines

const TOP = 12;
const BOTTOM = 24;
const LETTER = 6.5;
const GAP = 14;

// Round numbers from `least` to beyond `most`, about four steps.
function steps(least, most) {
  const rough = (most - least) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].find((each) => each * power >= rough) * power);
  const first = Math.floor(least / step) * step;
  return Array.from({ length: Math.ceil((most - first) / step) + 1 }, (_, place) => first + place * step);
}

const MARKS = [
  (x, y) => svg('circle', { cx: x, cy: y, r: 3.5 }),
  (x, y) => svg('path', { d: `M${x} ${y - 5}L${x + 5} ${y}L${x} ${y + 5}L${x - 5} ${y}Z` }),
  (x, y) => svg('path', { d: `M${x} ${y - 5}L${x + 5} ${y + 4}L${x - 5} ${y + 4}Z` }),
];

function scales(place, { rows }, ticks) {
  const [wide, high] = [place.clientWidth, place.querySelector('.chart-plot').clientHeight];
  const left = Math.max(...ticks.map((each) => String(each).length)) * LETTER + 12;
  const right = wide - GAP;
  const across = right - left;
  return {
    wide, high, left, right,
    x: (index) => left + (rows.length > 1 ? (across * index) / (rows.length - 1) : across / 2),
    y: (value) => TOP + ((high - TOP - BOTTOM) * (ticks.at(-1) - value)) / (ticks.at(-1) - ticks[0]),
    nearest: (x) => Math.max(0, Math.min(rows.length - 1, Math.round(((x - left) * (rows.length - 1)) / across))),
    every: Math.ceil((rows.length * (Math.max(...rows.map((row) => row.label.length)) * LETTER + GAP)) / across),
  };
}

function axes(at, rows, ticks, words) {
  const across = ticks.flatMap((each) => [
    svg('path', { class: 'chart-grid', d: `M${at.left} ${at.y(each)}H${at.right}` }),
    svg('text', { class: 'chart-text', x: at.left - 8, y: at.y(each) + 4, 'text-anchor': 'end' }, words(each)),
  ]);
  const days = rows.flatMap((row, index) => {
    if (index % at.every) return [];
    const half = (row.label.length * LETTER) / 2;
    const x = Math.max(half, Math.min(at.wide - half, at.x(index)));
    return [svg('text', { class: 'chart-text', x, y: at.high - 4, 'text-anchor': 'middle' }, row.label)];
  });
  return [...across, ...days];
}

function tip(at, row, heads, index) {
  const lines = row.cells.map((cell, place) => html('span', 'chart-key', html('i', `chart-swatch ${tone(place)}`), `${heads[place]}: ${cell.text}`));
  const made = html('div', 'chart-tip', html('strong', '', row.label), ...lines);
  const isLeft = at.x(index) > at.wide / 2;
  made.style.setProperty(isLeft ? 'right' : 'left', `${isLeft ? at.wide - at.x(index) + 12 : at.x(index) + 12}px`);
  return made;
}

function line(at, rows, place) {
  const points = rows.map((row, index) => [at.x(index), at.y(row.cells[place].value)]);
  const marks = points.map(([x, y], index) => opening(MARKS[place % MARKS.length](x, y), rows[index].cells[place]));
  return svg('g', { class: `chart-line chart-form-${place % MARKS.length} ${tone(place)}` }, svg('path', { d: `M${points.join('L')}` }), ...marks);
}

export function lines(place, found) {
  const { heads, rows } = found;
  const plot = html('div', 'chart-plot');
  place.replaceChildren(legend(heads), plot);
  const values = rows.flatMap((row) => row.cells.map((cell) => cell.value));
  const ticks = steps(Math.min(0, ...values), Math.max(1, ...values));
  const at = scales(place, found, ticks);
  const words = new Intl.NumberFormat(document.documentElement.lang);
  const here = svg('path', { class: 'chart-here' });
  plot.append(svg('svg', { viewBox: `0 0 ${at.wide} ${at.high}` }, ...axes(at, rows, ticks, words.format), here, ...heads.map((_, series) => line(at, rows, series))));
  const leave = () => { plot.querySelector('.chart-tip')?.remove(); here.removeAttribute('d'); };
  plot.addEventListener('pointermove', (event) => {
    const index = at.nearest(event.clientX - plot.getBoundingClientRect().left);
    leave();
    here.setAttribute('d', `M${at.x(index)} ${TOP}V${at.high - BOTTOM}`);
    plot.append(tip(at, rows[index], heads, index));
  });
  plot.addEventListener('pointerleave', leave);
}

// --- slices

const MIDDLE = 100;
// The patterns of the swatches (dashboards.css), by tone: the angle of their lines and how far these are apart.
const PATTERNS = [null, [-45, 7], [90, 5], [45, 7], [0, 5]];
let patterns = 0;

function pattern(number) {
  const [angle, step] = PATTERNS[number];
  patterns += 1;
  const ground = svg('rect', { class: `chart-slice ${tone(number)}`, width: step, height: step });
  return svg('pattern', { id: `chart-pattern-${patterns}`, width: step, height: step, patternUnits: 'userSpaceOnUse', patternTransform: `rotate(${angle})` },
    ground, svg('rect', { class: 'chart-ground', width: step, height: 2 }));
}

const at = (part, radius) => `${MIDDLE + radius * Math.sin(2 * Math.PI * part)} ${MIDDLE - radius * Math.cos(2 * Math.PI * part)}`;

function slice(from, to, place) {
  const end = Math.min(to, from + 0.99999);  // an arc from a point to itself is nothing
  const isLong = end - from > 0.5 ? 1 : 0;
  const d = `M${at(from, 96)}A96 96 0 ${isLong} 1 ${at(end, 96)}L${at(end, 44)}A44 44 0 ${isLong} 0 ${at(from, 44)}Z`;
  if (!PATTERNS[place % TONES]) return [svg('path', { class: `chart-slice ${tone(place)}`, d })];
  const lined = pattern(place % TONES);
  return [lined, svg('path', { fill: `url(#${lined.id})`, d })];
}

export function slices(place, { rows }) {
  const total = rows.reduce((sum, row) => sum + row.cells[0].value, 0);
  const share = new Intl.NumberFormat(document.documentElement.lang, { style: 'percent', maximumFractionDigits: 1 });
  let from = 0;
  const parts = rows.map((row, number) => {
    const [cell] = row.cells;
    const words = `${cell.text} (${share.format(cell.value / total)})`;
    const drawn = slice(from, from + cell.value / total, number);
    opening(drawn.at(-1), cell).append(svg('title', {}, `${row.label}: ${words}`));
    from += cell.value / total;
    const key = html('span', 'chart-key', html('i', `chart-swatch ${tone(number)}`), html('span', 'chart-name', row.label), html('span', 'chart-value', words));
    return { drawn, key: opening(key, cell) };
  });
  const round = svg('svg', { class: 'chart-round', viewBox: '0 0 200 200' }, ...parts.flatMap((part) => part.drawn));
  place.replaceChildren(html('div', 'chart-pie', round, html('div', 'chart-keys', ...parts.map((part) => part.key))));
}
