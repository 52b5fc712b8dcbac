// Draws the moving chart over a picture of web/dashboards/chart_html.py: tooltips, series that can be hidden, a click that opens the list.
// Axes, names and the legend stay those of the picture. charts.js loads it.
import { FORMS, color, forget, look, patterned } from './chart_colors.js';

const drawn = new Map();

function read(part) {
  const table = part.querySelector('table');
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const rows = [...table.tBodies[0].rows].map((row) => ({
    label: row.cells[0].textContent.trim(),
    cells: [...row.cells].slice(1).map((cell) => ({
      value: Number(cell.dataset.value || 0),
      text: (cell.querySelector('a') || cell.firstChild)?.textContent.trim(),
      full: cell.textContent.trim(),
      url: cell.querySelector('a')?.getAttribute('href'),
    })),
  }));
  return { heads: heads.slice(1), rows };
}

// Where the picture has its marks, in pixels of the canvas.
function area(part) {
  const all = part.querySelector('[data-canvas]').getBoundingClientRect();
  const plot = part.querySelector('[data-plot]').getBoundingClientRect();
  return { left: plot.left - all.left, top: plot.top - all.top, width: plot.width, height: plot.height };
}

const base = () => ({
  animation: false,
  textStyle: { fontFamily: look('--font'), color: color('--ink-2') },
  tooltip: { trigger: 'axis', renderMode: 'richText', confine: true, backgroundColor: color('--bg-raised'), borderColor: color('--line-strong'), textStyle: { color: color('--ink'), fontFamily: look('--font'), fontSize: 13 } },
});

const isShown = (part, series) => part.querySelector(`[data-key="${series}"]`)?.getAttribute('aria-pressed') !== 'false';

// The axes of the values and of the names: as long as in the picture, which has their lines and texts.
function axes(part, rows) {
  const { low, high } = part.querySelector('[data-canvas]').dataset;
  return [{ type: 'value', show: false, min: Number(low), max: Number(high) }, { type: 'category', show: false, data: rows.map((row) => row.label) }];
}

function series(part, { heads, rows }, made) {
  return heads.map((name, place) => ({
    name, cursor: 'pointer', tooltip: { valueFormatter: (_value, row) => rows[row]?.cells[place].text },
    data: isShown(part, place) ? rows.map((row) => row.cells[place].value) : [], ...made(place),
  }));
}

function bars(part, found) {
  const [xAxis, yAxis] = axes(part, found.rows);
  const single = found.heads.length === 1;
  return {
    ...base(), grid: area(part), xAxis, yAxis: { ...yAxis, inverse: true },
    series: series(part, found, (place) => ({
      type: 'bar', barWidth: single ? 22 : 18, barGap: `${400 / 18}%`, itemStyle: { ...patterned(place), borderRadius: 3 },
      label: { show: true, position: 'right', distance: 6, fontSize: 12, color: color('--ink-2'), formatter: (each) => found.rows[each.dataIndex].cells[place].full },
    })),
  };
}

function lines(part, found) {
  const [yAxis, xAxis] = axes(part, found.rows);
  return {
    ...base(), grid: area(part), xAxis: { ...xAxis, boundaryGap: false }, yAxis,
    series: series(part, found, (place) => {
      const { tone, type, ...form } = FORMS[place % FORMS.length];
      return { type: 'line', ...form, showAllSymbol: true, lineStyle: { type, width: 2, color: color(tone) }, itemStyle: { color: color(tone) } };
    }),
  };
}

function pie(part, { rows }) {
  const { left, top, width } = area(part);
  return {
    ...base(),
    tooltip: { ...base().tooltip, trigger: 'item' },
    series: [{
      type: 'pie', radius: [width * 0.26, width * 0.48], center: [left + width / 2, top + width / 2], cursor: 'pointer', label: { show: false }, emphasis: { scaleSize: 3 },
      tooltip: { valueFormatter: (_value, row) => rows[row]?.cells[0].text },
      data: rows.map((row, place) => ({ name: row.label, value: row.cells[0].value, itemStyle: { ...patterned(place), borderColor: color('--bg'), borderWidth: 2 } })),
    }],
  };
}

const KINDS = { bar: bars, line: lines, pie };

// Draws a chart or draws it anew; `library`: ECharts.
export function draw(part, library) {
  const found = read(part);
  const chart = drawn.get(part) || begin(part, found, library);
  chart.setOption(KINDS[part.dataset.chart](part, found), true);
  part.classList.add('is-live');
}

function begin(part, found, library) {
  const place = Object.assign(document.createElement('div'), { className: 'chart-live' });
  const body = part.querySelector('[data-canvas]');
  body.append(place);
  const chart = library.init(place);
  drawn.set(part, chart);
  chart.on('click', (event) => {
    const url = found.rows[event.dataIndex]?.cells[part.dataset.chart === 'pie' ? 0 : event.seriesIndex]?.url;
    if (url) window.location.assign(url);
  });
  new ResizeObserver(() => { chart.resize(); draw(part); }).observe(body);
  return chart;
}

new MutationObserver(() => {
  forget();
  drawn.forEach((_chart, part) => draw(part));
}).observe(document.documentElement, { attributes: true, attributeFilter: ['data-bs-theme'] });

document.addEventListener('htmx:afterSettle', () => {
  drawn.forEach((chart, part) => {
    if (part.isConnected) return;
    chart.dispose();
    drawn.delete(part);
  });
});
