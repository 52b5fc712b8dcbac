// The page that is shown where none was kept: links to those that are. It loads anew once the CRM can be reached.
const list = document.querySelector('[data-kept]');
const [none, some] = ['none', 'some'].map((each) => document.querySelector(`[data-kept-${each}]`));
const plain = (html) => new DOMParser().parseFromString(html, 'text/html').body.textContent; // titles are kept as the page wrote them

async function entries() {
  const meta = await (await caches.open('crm-meta')).match('/');
  const { person } = meta ? await meta.json() : {};
  if (!person) return [];
  const cache = await caches.open(`crm-pages-${person}`);
  const pages = await Promise.all((await cache.keys()).map(async (key) => ({ url: key.url, headers: (await cache.match(key, { ignoreVary: true })).headers })));
  return pages.reverse();
}
function row({ url, headers }) {
  const made = document.createElement('li');
  const link = Object.assign(document.createElement('a'), { href: url, textContent: plain(decodeURIComponent(headers.get('X-Crm-Title'))).replace(/ · [^·]*$/, '') });
  const when = Object.assign(document.createElement('time'), { className: 'quiet', textContent: new Intl.DateTimeFormat(document.documentElement.lang.replace(/^en$/, 'en-IN'), { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23', numberingSystem: 'latn' }).format(new Date(Number(headers.get('X-Crm-On')))) });
  made.append(link, when);
  return made;
}
entries().catch(() => []).then((found) => {
  list.replaceChildren(...found.map(row));
  none.hidden = found.length > 0;
  some.hidden = !none.hidden;
});
document.querySelector('[data-again]').addEventListener('click', () => location.reload());
addEventListener('online', () => location.reload());
// The browser says "online" before every request gets through, and not at all where only the server was away.
async function reloadWhenReached() {
  try { if ((await fetch('/offline/state', { cache: 'no-store' })).ok) location.reload(); } catch { /* not yet */ }
}
setInterval(reloadWhenReached, 15_000);
