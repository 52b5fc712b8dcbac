// The bell: its panel is fetched when it opens; every badge on the page shows one number.
const bell = document.querySelector('[data-bell]');
const body = bell?.querySelector('[data-bell-body]');

export function unread(number) {
  document.querySelectorAll('[data-unread]').forEach((badge) => {
    badge.textContent = number > 99 ? '99+' : number;
    badge.hidden = !number;
  });
}
function load() { window.htmx?.ajax('GET', bell.dataset.bellUrl, { target: body, swap: 'innerHTML' }); }

bell?.addEventListener('toggle', () => { if (bell.open) load(); });
addEventListener('crm:bell', (event) => {
  unread(event.detail.unread);
  if (bell?.open) load();
});
// After "mark as read" the panel's own number counts.
body?.addEventListener('htmx:afterSwap', () => {
  const now = body.querySelector('[data-bell-unread]');
  if (now) unread(Number(now.dataset.bellUnread));
});
