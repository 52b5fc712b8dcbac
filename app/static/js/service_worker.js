// The service worker (scope /). Static files come from the cache, pages from the network. Without a connection a page that the
// person has opened is shown as it was, else the page that says what is kept. The server says with each page whose it is and whether
// it may be kept; all pages of a person are forgotten when they sign out, when their session has ended, when somebody else signs in, and
// when what the person may see has changed. A page that the server refuses is no longer kept.
// GIVEN, which the server puts before this file: {version, store, shell, page, forms, idle}.
importScripts(GIVEN.store);

const STATIC = `crm-static-${GIVEN.version}`;
const PAGES = 'crm-pages-';
const META = 'crm-meta';
const MOST = { record: 50, list: 20 };
const FORMS = new RegExp(GIVEN.forms);
const AWAY = [502, 504]; // of a proxy that reaches no server
const REFUSED = [403, 404, 410]; // the person may not see it, or it is gone
const labels = new Map(); // key of a form -> {label, user}, told by its page

// --- who the kept pages belong to
async function meta() {
  const kept = await (await caches.open(META)).match('/');
  return kept ? kept.json() : {};
}
let turn = Promise.resolve();
function remember(values) {
  turn = turn.then(async () => (await caches.open(META)).put('/', new Response(JSON.stringify({ ...await meta(), ...values })))).catch(() => {});
  return turn;
}
// How many sessions have ended: a page that was asked for before is not kept when it comes after.
let ends = 0;
async function forget() {
  await remember({ person: null });
  for (const name of await caches.keys()) if (name.startsWith(PAGES)) await caches.delete(name);
}

function end() {
  ends += 1;
  return forget();
}

// --- a new version takes over at once; pages of the one before keep their files
self.addEventListener('install', (event) => event.waitUntil((async () => {
  await (await caches.open(STATIC)).addAll([...GIVEN.shell, new Request(GIVEN.page, { cache: 'reload' })]);
  await self.skipWaiting();
})()));
self.addEventListener('activate', (event) => event.waitUntil((async () => {
  const known = await meta();
  const stay = [STATIC, known.version === STATIC ? known.before : known.version];
  for (const name of await caches.keys()) if (name.startsWith('crm-static-') && !stay.includes(name)) await caches.delete(name);
  if (known.version !== STATIC) await remember({ version: STATIC, before: known.version });
  await self.clients.claim();
})()));

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
  await remember({ person, rights, seen: Date.now() });
  const kind = response.headers.get('X-Crm-Keep');
  if (response.status === 200 && kind) await keep(url, response, person, kind);
  else if (REFUSED.includes(response.status)) await (await caches.open(PAGES + person)).delete(url, { ignoreVary: true });
}
const bare = (url) => url.split('#')[0];

// --- answering
async function fromStatic(request) {
  const isNamed = new URL(request.url).searchParams.has('v'); // by its hash, so it never changes
  const kept = await caches.match(request, { ignoreVary: true });
  if (kept && isNamed) return kept;
  try {
    const response = await fetch(request);
    if (response.status === 200 && response.type === 'basic') { const copy = response.clone(); caches.open(STATIC).then((cache) => cache.put(request, copy)).catch(() => {}); }
    return response;
  } catch (error) {
    if (kept) return kept;
    throw error;
  }
}
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
async function page(event) {
  const { url } = event.request;
  const began = ends;
  let response = null;
  try { response = await fetch(event.request); } catch { /* no connection */ }
  if (response && !AWAY.includes(response.status)) {
    const copy = response.clone();
    event.waitUntil(look(bare(url), copy, began).catch(() => {})); // a full disk must not cost the page
    return response;
  }
  return (await kept(url)) || response || saysNothing();
}
// A form that is sent by leaving the page: kept if nobody answers.
async function form(event) {
  const { request } = event;
  const copy = request.clone();
  let response = null;
  try { response = await fetch(request); } catch { /* no connection */ }
  if (response && !AWAY.includes(response.status)) return response;
  const data = [...await copy.formData()];
  const fields = data.filter(([name, value]) => typeof value === 'string' && !['once', 'csrf_token'].includes(name));
  const key = data.find(([name]) => name === 'once')?.[1];
  const told = labels.get(key) || {};
  const user = told.user || (await meta()).person;
  if (!user) return response || saysNothing();
  const { pathname, search } = new URL(request.url);
  await self.crmOutbox.add({
    key: key || crypto.randomUUID(), user, url: pathname + search, fields, label: told.label || '', at: Date.now(), tried: navigator.onLine ? Date.now() : null,
    state: key ? 'waiting' : 'unsure', sentence: '', hadFiles: data.some(([, value]) => typeof value !== 'string' && value.size > 0),
  });
  new BroadcastChannel('crm-outbox').postMessage('changed');
  return Response.redirect(new URL(request.referrer || '/', location.origin).href, 303);
}
// Any other form: its page stays as it is, with all that was typed, and says so.
async function stay(event) {
  try { return await fetch(event.request); } catch {
    (await self.clients.get(event.clientId))?.postMessage({ kind: 'not-sent' });
    return new Response(null, { status: 204 });
  }
}
async function leave(event) {
  try { return await fetch(event.request); } catch { await end(); return saysNothing(); }
}
self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (origin !== location.origin) return;
  if (request.method === 'GET' && pathname.startsWith('/static/')) { event.respondWith(fromStatic(request)); return; }
  if (request.mode !== 'navigate') return;
  if (request.method === 'GET') event.respondWith(page(event));
  else if (request.method === 'POST' && pathname === '/logout/') event.respondWith(leave(event));
  else if (request.method === 'POST' && FORMS.test(pathname)) event.respondWith(form(event));
  else if (request.method === 'POST' && event.clientId) event.respondWith(stay(event));
});

// --- what pages say
const TOLD = {
  label: ({ key, label, user }) => labels.set(key, { label, user }),
  ended: end,
  // The page was there before this worker: it is kept now, with its files; the page for all others in its language.
  async hello({ url, files, language }) {
    if ((await meta()).language !== language) { await (await caches.open(STATIC)).add(new Request(GIVEN.page, { cache: 'reload' })); await remember({ language }); }
    if (!url) return;
    const began = ends;
    const cache = await caches.open(STATIC);
    await Promise.allSettled(files.map((file) => cache.add(file)));
    const response = await fetch(url, { redirect: 'error', credentials: 'same-origin' });
    await look(bare(url), response, began);
  },
};
self.addEventListener('message', (event) => {
  if (new URL(event.source?.url || 'about:blank').origin !== location.origin) return;
  event.waitUntil(Promise.resolve(TOLD[event.data?.kind]?.(event.data)).catch(() => {}));
});
