// The service worker (scope /): which request is answered by what. Static files come from the cache, pages from the network; without a
// connection a page that the person has opened is shown as it was, else the page that says what is kept.
// The server joins the files of WORKER_FILES in progressive_web_app.py to one script, this one last, and puts before them
// GIVEN: {version, shell, page, forms, idle}.
const STATIC = `crm-static-${GIVEN.version}`;

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
