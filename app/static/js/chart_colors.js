// Colors and patterns of the moving charts, in the theme of the page.
export const look = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Colors by the name of their property, in the theme of the page; each is read once, since that takes a new layout.
const colors = new Map();
const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

export function color(name) {
  if (!colors.has(name)) colors.set(name, resolved(name));
  return colors.get(name);
}

// Colors are read through a probe, because the properties hold color-mix() and var(), which a canvas does not know.
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

// As in dashboards.css and _chart_patterns.html: lines differ by form as well as by color, bars and slices by pattern.
export const FORMS = [
  { symbol: 'circle', symbolSize: 7, type: 'solid', tone: '--accent-ink' },
  { symbol: 'diamond', symbolSize: 9, type: [8, 4], tone: '--dash-second' },
  { symbol: 'triangle', symbolSize: 8, type: [2, 3], tone: '--ink-2' },
];
const PATTERNS = [
  { tone: '--accent' },
  { tone: '--dash-second', decal: { symbol: 'rect', dashArrayX: [1, 0], dashArrayY: [3, 7], rotation: -Math.PI / 4 } },
  { tone: '--ink-3', decal: { symbol: 'circle', dashArrayX: [[5, 5], [0, 5, 5, 0]], dashArrayY: [5, 0], symbolSize: 0.7 } },
  { tone: '--accent-ink', decal: { symbol: 'rect', dashArrayX: [1, 0], dashArrayY: [2, 6], rotation: Math.PI / 4 } },
  { tone: '--ink-2', decal: { symbol: 'triangle', dashArrayX: [[8, 8], [0, 8, 8, 0]], dashArrayY: [8, 0], symbolSize: 0.7 } },
];
export const patterned = (place) => {
  const { tone, decal } = PATTERNS[place % PATTERNS.length];
  return { color: color(tone), ...(decal && { decal: { ...decal, color: color('--bg') } }) };
};
// After the theme has changed.
export const forget = () => colors.clear();
