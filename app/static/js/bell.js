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
// Do not refresh while a snooze menu or delivery log is open.
const atRest = (part) => part && !part.querySelector('details[open]') && !part.contains(document.activeElement);

bell?.addEventListener('toggle', () => { if (bell.open) load(); });
addEventListener('crm:bell', (event) => {
  unread(event.detail.unread);
  if (bell?.open && !body.querySelector('.bell-more[open]')) load();
  const page = document.getElementById('notices');
  if (atRest(page) && Number(page.dataset.bellUnread) !== event.detail.unread) {
    window.htmx?.ajax('GET', location.href, { target: page, swap: 'outerHTML', select: '#notices' });
  }
});
// After "mark as read" or a snooze, use the count of the response.
document.addEventListener('htmx:load', (event) => {
  const { elt } = event.detail;
  const now = elt.matches?.('[data-bell-unread]') ? elt : elt.querySelector?.('[data-bell-unread]');
  if (now) unread(Number(now.dataset.bellUnread));
});
// The browser is asked by a click only, and only until the person has decided.
document.addEventListener('htmx:load', () => document.querySelectorAll('[data-ask-desktop]').forEach((button) => { button.hidden = window.Notification?.permission !== 'default'; }));
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-ask-desktop]');
  if (button) { await Notification.requestPermission(); button.hidden = Notification.permission !== 'default'; }
});
// Choosing a kind submits the filter.
document.addEventListener('change', (event) => { if (event.target.matches('[data-submits]')) event.target.form.requestSubmit(); });
