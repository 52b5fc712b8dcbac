// What the card of a call asks of the server, and the styles that it fetches when it first shows.
export async function send(url, body) {
  const token = document.querySelector('meta[name="csrf-token"]')?.content || '';
  const headers = { 'HX-Request': 'true', 'X-CSRFToken': token };
  let answer;
  try { answer = await fetch(url, { method: body ? 'POST' : 'GET', body, headers, credentials: 'same-origin', redirect: 'error' }); } catch { throw new Error(document.querySelector('[data-toasts]').dataset.offline); }
  if (!answer.ok) throw Object.assign(new Error(decodeURIComponent(answer.headers.get('X-Sentence') || '')), { instead: answer.headers.get('X-Instead') });
  return answer.text();
}

const sheets = {};
export function style(href) {
  if (!href || document.querySelector(`link[href="${CSS.escape(href)}"], link[href="${href}"]`)) return Promise.resolve();
  sheets[href] ??= new Promise((done) => {
    const sheet = Object.assign(document.createElement('link'), { rel: 'stylesheet', href, onload: done, onerror: done });
    document.head.append(sheet);
  });
  return sheets[href];
}
