// The shell: look, tabs, sidebar, menus, tooltips, pictures of people. Everything is found by data- attributes.
const root = document.documentElement;
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const keep = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };

// --- look: theme, density, folded menu
const LOOK = { themeChoice: ['theme', 'system'], densityChoice: ['density', 'comfortable'] };
function pressed() {
  for (const [name, [key, other]] of Object.entries(LOOK)) {
    let now = other;
    try { now = localStorage.getItem(key) || other; } catch { /* private mode */ }
    const attribute = name.replace(/[A-Z]/g, (sign) => `-${sign.toLowerCase()}`);
    $$(`[data-${attribute}] button`).forEach((button) => button.setAttribute('aria-pressed', String(button.value === now)));
  }
}
document.addEventListener('click', (event) => {
  const box = event.target.closest('[data-theme-choice], [data-density-choice]');
  const button = event.target.closest('button');
  if (!box || !button) return;
  keep('themeChoice' in box.dataset ? 'theme' : 'density', button.value);
  dispatchEvent(new Event('crm:look'));
  pressed();
});
pressed();

// --- tabs: on a narrow screen, the one of this page is in sight
for (const tab of $$('.tabs [aria-current]')) {
  const bar = tab.parentElement, place = tab.getBoundingClientRect(), frame = bar.getBoundingClientRect();
  if (place.right > frame.right) bar.scrollLeft += place.right - frame.right + 16;
}

// --- sidebar and drawer
function drawer(open) {
  if (open) root.dataset.drawer = 'open'; else delete root.dataset.drawer;
  if (open) document.querySelector('#sidebar a')?.focus();
}
document.addEventListener('click', (event) => {
  if (event.target.closest('[data-sidebar-toggle]')) {
    keep('sidebar', root.dataset.sidebar === 'folded' ? 'open' : 'folded');
    dispatchEvent(new Event('crm:look'));
  }
  const opener = event.target.closest('[data-drawer-open]');
  if (opener) { event.preventDefault(); drawer(true); }
  if (event.target.closest('[data-drawer-close]')) { event.preventDefault(); drawer(false); }
  if (event.target.closest('[data-dismiss]')) {
    event.target.closest('.note, .toast-note')?.remove();
    document.getElementById('main')?.focus({ preventScroll: true });
  }
});

// --- menus are <details>: one open at a time, closed from outside and by Escape
document.addEventListener('click', (event) => {
  $$('details[data-menu][open]').forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    const menu = event.target.closest?.('details[data-menu][open]');
    if (menu) { menu.open = false; menu.querySelector('summary').focus(); }
    if (root.dataset.drawer) { drawer(false); document.querySelector('[data-drawer-open]')?.focus(); }
  }
  if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    const menu = event.target.closest?.('details[data-menu][open]');
    if (!menu || event.target.closest('input, select, textarea, .ts-wrapper')) return;
    const items = $$('.menu-item, .bell-item a', menu);
    const next = items.indexOf(document.activeElement) + (event.key === 'ArrowDown' ? 1 : -1);
    items[(next + items.length) % items.length]?.focus();
    event.preventDefault();
  }
});

// --- what the palette remembers ends with the session, however that ended
if (document.body.classList.contains('signed-out')) { try { localStorage.removeItem('recent'); } catch { /* private mode */ } }

// --- what a narrow place cuts off, and what an icon of a row means, is told by a tooltip
const CUT = '.clip, .state-label, .rows :is(.state, .row-link, .lines, .person > span), .rows td:not(:has(> :not(i)))';
document.addEventListener('pointerover', ({ target }) => {
  const sign = target.closest?.('.row-call, .row-edit');
  if (sign) sign.title ||= sign.ariaLabel;
  const link = target.closest?.('a.side-link');
  if (link) link.title = root.dataset.sidebar === 'folded' ? link.querySelector('span').textContent : '';
  const cut = target.closest?.(CUT);
  if (cut && !cut.title && (cut.scrollWidth > cut.clientWidth || cut.scrollHeight > cut.clientHeight + 3)) cut.title = cut.textContent;
});

// A picture of a person that can't be loaded gives way to their initials.
function initialsFor(face) {
  const made = Object.assign(document.createElement('span'), { className: face.className, textContent: face.dataset.initials || '?', title: face.title });
  made.setAttribute('aria-hidden', 'true');
  face.replaceWith(made);
}
addEventListener('error', (event) => { if (event.target.matches?.('img.avatar-round')) initialsFor(event.target); }, true);
document.querySelectorAll('img.avatar-round').forEach((face) => { if (face.complete && !face.naturalWidth && face.currentSrc) initialsFor(face); });
