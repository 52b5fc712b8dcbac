// Draws the charts of a dashboard from their tables, which stay beside them; a click on a bar or point opens its list.
let library = null;
const drawn = new Map();

const look = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Colours by the name of their property, in the theme of the page; each is read once, since that takes a new layout.
const colours = new Map();
const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

function colour(name) {
  if (!colours.has(name)) colours.set(name, resolved(name));
  return colours.get(name);
}

// Colours are read through a probe, because the properties hold color-mix() and var(), which a canvas does not know.
function resolved(name) {
  const probe = document.createElement('span');
  probe.className = 'dash-probe';
  probe.style.setProperty('color', `var(${name})`);
  document.querySelector('.dash').append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  pen.clearRect(0, 0, 1, 1);
  pen.fillStyle = found;
  pen.fillRect(0, 0, 1, 1);
  const [r, g, b] = pen.getImageData(0, 0, 1, 1).data;
  return `rgb(${r},${g},${b})`;
}

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

// Lines differ by form as well as by colour.
const FORMS = [
  { symbol: 'circle', type: 'solid', tone: '--accent-ink' },
  { symbol: 'diamond', type: 'dashed', tone: '--dash-second' },
  { symbol: 'triangle', type: 'dotted', tone: '--ink-2' },
];

const base = () => ({
  animation: false,
  textStyle: { fontFamily: look('--font'), color: colour('--ink-2') },
  tooltip: { trigger: 'axis', renderMode: 'richText', confine: true, backgroundColor: colour('--bg-raised'), borderColor: colour('--line-strong'), textStyle: { color: colour('--ink') } },
});
const axis = () => ({
  axisLine: { lineStyle: { color: colour('--line-strong') } },
  axisTick: { show: false },
  axisLabel: { color: colour('--ink-2'), hideOverlap: true },
  splitLine: { lineStyle: { color: colour('--line') } },
});

function bars({ heads, rows }) {
  const ink = colour('--ink-2');
  return {
    ...base(),
    grid: { left: 4, right: 48, top: 4, bottom: 4, containLabel: true },
    xAxis: { ...axis(), type: 'value', minInterval: 1, axisLabel: { show: false }, splitLine: { show: false } },
    yAxis: { ...axis(), type: 'category', inverse: true, data: rows.map((row) => row.label), axisLabel: { color: ink, width: 190, overflow: 'truncate' } },
    ...(heads.length > 1 && { legend: { top: 0, left: 0, textStyle: { color: ink } }, grid: { left: 4, right: 48, top: 32, bottom: 4, containLabel: true } }),
    series: heads.map((name, series) => ({
      type: 'bar', name, barMaxWidth: 22, cursor: 'pointer',
      itemStyle: { ...patterned(series), borderRadius: [0, 4, 4, 0] },
      label: { show: true, position: 'right', color: ink, formatter: (each) => rows[each.dataIndex].cells[series].text },
      data: rows.map((row) => row.cells[series].value),
    })),
  };
}

// Bars and slices differ by pattern as well as by colour.
const PATTERNS = [
  { tone: '--accent' },
  { tone: '--dash-second', decal: { symbol: 'rect', dashArrayX: [1, 0], dashArrayY: [3, 4], rotation: -Math.PI / 4 } },
  { tone: '--ink-3', decal: { symbol: 'circle', dashArrayX: [[5, 5], [0, 5, 5, 0]], dashArrayY: [5, 0], symbolSize: 0.7 } },
  { tone: '--accent-ink', decal: { symbol: 'rect', dashArrayX: [1, 0], dashArrayY: [2, 5], rotation: Math.PI / 4 } },
  { tone: '--ink-2', decal: { symbol: 'triangle', dashArrayX: [[8, 8], [0, 8, 8, 0]], dashArrayY: [6, 0], symbolSize: 0.7 } },
];
const patterned = (place) => {
  const { tone, decal } = PATTERNS[place % PATTERNS.length];
  return { color: colour(tone), ...(decal && { decal: { ...decal, color: colour('--bg') } }) };
};

function pie({ rows }) {
  const ink = colour('--ink-2');
  return {
    ...base(),
    tooltip: { ...base().tooltip, trigger: 'item' },
    series: [{
      type: 'pie', radius: ['30%', '68%'], cursor: 'pointer',
      label: { color: ink, formatter: (each) => `${each.name}: ${rows[each.dataIndex].cells[0].text} (${each.percent} %)` },
      labelLine: { lineStyle: { color: ink } },
      data: rows.map((row, place) => ({ name: row.label, value: row.cells[0].value, itemStyle: { ...patterned(place), borderColor: colour('--bg'), borderWidth: 2 } })),
    }],
  };
}

function lines({ heads, rows }) {
  return {
    ...base(),
    legend: { top: 0, left: 0, itemWidth: 30, textStyle: { color: colour('--ink-2') } },
    grid: { left: 4, right: 16, top: 36, bottom: 4, containLabel: true },
    xAxis: { ...axis(), type: 'category', boundaryGap: false, data: rows.map((row) => row.label) },
    yAxis: { ...axis(), type: 'value', minInterval: 1 },
    series: heads.map((name, place) => {
      const form = FORMS[place % FORMS.length];
      const tone = colour(form.tone);
      return {
        type: 'line', name, symbol: form.symbol, symbolSize: 7, cursor: 'pointer',
        lineStyle: { type: form.type, width: 2, color: tone }, itemStyle: { color: tone },
        data: rows.map((row) => row.cells[place].value),
      };
    }),
  };
}

// Nothing moves when the chart is drawn: its place is as high as it will be.
function reserve(part, { heads, rows }) {
  const place = part.querySelector('[data-canvas]');
  if (part.dataset.chart === 'bar') place.style.setProperty('height', `${Math.max(3, rows.length) * (12 + 22 * heads.length) + (heads.length > 1 ? 44 : 16)}px`);
  if (!place.hidden) return;
  place.hidden = false;
  part.querySelector('details').open = false;
}

function draw(part, found) {
  const place = part.querySelector('[data-canvas]');
  const kind = part.dataset.chart;
  const chart = drawn.get(part) || library.init(place);
  chart.setOption({ bar: bars, line: lines, pie }[kind](found), true);
  if (drawn.has(part)) return;
  drawn.set(part, chart);
  chart.on('click', (event) => {
    const url = found.rows[event.dataIndex]?.cells[kind === 'pie' ? 0 : event.seriesIndex]?.url;
    if (url) window.location.assign(url);
  });
  new ResizeObserver(() => chart.resize()).observe(place);
}

const charts = () => document.querySelectorAll('[data-chart]');

function drawAll() {
  colours.clear();
  charts().forEach((part) => {
    const found = read(part);
    reserve(part, found);
    if (library) draw(part, found);
    else load();
  });
}

// The library is large: it follows once the page is there and has time. Without it the tables stand for the charts.
let asked = false;
async function load() {
  if (asked) return;
  asked = true;
  if (document.readyState !== 'complete') await new Promise((resolve) => { window.addEventListener('load', resolve, { once: true }); });
  try {
    library = await import(document.getElementById('charts').dataset.library);
    drawAll();
  } catch {
    charts().forEach((part) => {
      part.querySelector('[data-canvas]').hidden = true;
      part.querySelector('details').open = true;
    });
  }
}

drawAll();
document.addEventListener('htmx:afterSettle', drawAll);
new MutationObserver(drawAll).observe(document.documentElement, { attributes: true, attributeFilter: ['data-bs-theme'] });

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
