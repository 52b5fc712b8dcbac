// Colors, density and the folded menu, put on <html> before the first paint. Classic script: it must not wait.
(function () {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const read = (key, other) => { try { return localStorage.getItem(key) || other; } catch { return other; } };
  const paint = () => {
    const choice = read('theme', 'system');
    root.dataset.bsTheme = choice === 'system' ? (dark.matches ? 'dark' : 'light') : choice;
    root.dataset.density = read('density', 'comfortable');
    root.dataset.sidebar = read('sidebar', 'open');
  };
  // White words on the accent unless it is a light color (relative luminance, WCAG).
  const accent = document.querySelector('meta[name="accent"]')?.content || '';
  if (/^#[0-9a-f]{6}$/i.test(accent)) {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const part = parseInt(accent.slice(at, at + 2), 16) / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    root.style.setProperty('--accent', accent);
    root.style.setProperty('--accent-on', 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.3 ? '#111' : '#fff');
  }
  root.classList.add('js');
  paint();
  dark.addEventListener('change', paint);
  addEventListener('storage', paint);
  addEventListener('crm:look', paint);
  // Ctrl+K is kept from the browser from the first moment on; palette.js opens at once, or as soon as it has come.
  const isK = (event) => event.key.toLowerCase() === 'k' || (event.code === 'KeyK' && event.key > '~'); // also on Hindi keys
  // What is typed until it has come is kept for it.
  addEventListener('keydown', (event) => {
    const wanted = root.dataset.paletteWanted;
    if (wanted === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') delete root.dataset.paletteWanted;
    else if (event.key === 'Backspace') root.dataset.paletteWanted = wanted.slice(0, -1);
    else if (event.key.length === 1) root.dataset.paletteWanted += event.key;
    else if (event.key !== 'Enter') return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  addEventListener('keydown', (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || !isK(event)) return;
    if (document.body?.classList.contains('signed-out')) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    root.dataset.paletteWanted = '';
    dispatchEvent(new Event('crm:palette'));
  }, true);
})();
