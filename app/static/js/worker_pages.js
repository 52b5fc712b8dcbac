// The part of the service worker that keeps pages, and shows them without a connection. The server says with each page whose it is and
// whether it may be kept; all pages of a person are forgotten when they sign out, when their session has ended, when somebody else signs
// in, and when what the person may see has changed. A page that the server refuses is no longer kept.
const PAGES = 'crm-pages-';
const META = 'crm-meta';
const MOST = { record: 50, list: 20 };
const REFUSED = [403, 404, 410]; // the person may not see it, or it is gone

// --- who the kept pages belong to
async function meta() {
  const kept = await (await caches.open(META)).match('/');
  return kept ? kept.json() : {};
}
// How many sessions have ended: a page that was asked for before is not kept when it comes after.
let ends = 0;
let turn = Promise.resolve();
function remember(values, began = ends) {
  turn = turn.then(async () => {
    if (began !== ends) return; // whose page it is was said before the session ended
    await (await caches.open(META)).put('/', new Response(JSON.stringify({ ...await meta(), ...values })));
  }).catch(() => {});
  return turn;
}
async function forget() {
  await remember({ person: null });
  for (const name of await caches.keys()) if (name.startsWith(PAGES)) await caches.delete(name);
}

function end() {
  ends += 1;
  return forget();
}

// --- keeping
async function trim(cache, kind) {
  const entries = await Promise.all((await cache.keys()).map(async (key) => [key, (await cache.match(key, { ignoreVary: true }))?.headers.get('X-Crm-Keep')]));
  const own = entries.filter(([, each]) => each === kind);
  for (const [key] of own.slice(0, Math.max(0, own.length - MOST[kind]))) await cache.delete(key, { ignoreVary: true });
}
async function keep(url, response, person, kind) {
  const html = await response.text();
  const headers = new Headers(response.headers);
  ['Content-Encoding', 'Content-Length', 'Vary'].forEach((name) => headers.delete(name));
  const title = /<title>([^<]*)<\/title>/.exec(html)?.[1] || url;
  headers.set('X-Crm-Title', encodeURIComponent(title));
  headers.set('X-Crm-On', String(Date.now()));
  const cache = await caches.open(PAGES + person);
  await cache.delete(url, { ignoreVary: true }); // the newest is the last
  await cache.put(url, new Response(html, { headers }));
  await trim(cache, kind);
  if ((await meta()).person !== person) await caches.delete(PAGES + person); // signed out meanwhile
}
// A page has come: whose is it?
async function look(url, response, began) {
  if (response.type !== 'basic' || !(response.headers.get('Content-Type') || '').startsWith('text/html')) return;
  const person = response.headers.get('X-Crm-Person');
  if (!person) {
    if (response.status < 400 || new URL(url).pathname === '/login/') {
      await end();
      for (const open of await self.clients.matchAll({ type: 'window' })) open.postMessage({ kind: 'signed-out' });
    }
    return;
  }
  if (began !== ends) return;
  const known = await meta();
  const rights = response.headers.get('X-Crm-Rights');
  if (known.person !== person || known.rights !== rights) await forget();
  await remember({ person, rights, seen: Date.now() }, began);
  if (began !== ends) return;
  const kind = response.headers.get('X-Crm-Keep');
  if (response.status === 200 && kind) await keep(url, response, person, kind);
  else if (REFUSED.includes(response.status)) await (await caches.open(PAGES + person)).delete(url, { ignoreVary: true });
}
const bare = (url) => url.split('#')[0];

// --- without a connection
const AWAY = [502, 504]; // of a proxy that reaches no server
async function kept(url) {
  const known = await meta();
  if (known.person && Date.now() - known.seen > GIVEN.idle) await forget(); // as long as a session lasts without use
  else if (known.person) {
    const found = await (await caches.open(PAGES + known.person)).match(bare(url), { ignoreVary: true });
    if (found) {
      const html = (await found.text()).replace('<html ', `<html data-as-of="${found.headers.get('X-Crm-On')}" `);
      return new Response(html, { headers: found.headers });
    }
  }
  return null;
}
const saysNothing = async () => (await caches.match(GIVEN.page, { ignoreVary: true })) || Response.error();
