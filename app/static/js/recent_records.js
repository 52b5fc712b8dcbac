// The records that a person has opened last, kept by their browser: number and name, as their pages show them; of this person only.
export const MOST = 8;

// [{ url, text, hint }], newest first; `user`: the id of the person.
export function recentOf(user) {
  try {
    const kept = JSON.parse(localStorage.getItem('recent'));
    return kept?.user === user ? kept.rows.filter((row) => typeof row.url === 'string' && row.url.startsWith('/') && !row.url.startsWith('//')) : [];
  } catch { return []; } // nothing kept, or private mode
}

// Keeps the record of this page, if it is the page of one.
export function remember(user) {
  const head = document.querySelector('.record-name');
  const title = head?.querySelector('h1')?.textContent.trim();
  if (!title) return;
  const row = { url: location.pathname, text: title, hint: head.querySelector('[data-copy]')?.dataset.copy || '' };
  const rows = [row, ...recentOf(user).filter((each) => each.url !== row.url)].slice(0, MOST + 1);
  try { localStorage.setItem('recent', JSON.stringify({ user, rows })); } catch { /* private mode */ }
}

export function forget() {
  try { localStorage.removeItem('recent'); } catch { /* private mode */ }
}
